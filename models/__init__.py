"""Estimators: arrays in, probabilities or quantiles out."""

__all__: list[str] = []
