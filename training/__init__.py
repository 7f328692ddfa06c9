"""Data sets, labels, splits, fitting, evaluation, tuning, tracking and the registry."""

__all__: list[str] = []
