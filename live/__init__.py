"""Feeds, the scoring loop, alerts and the service."""

__all__: list[str] = []
