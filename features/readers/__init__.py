"""Readers of what users have: market folders, exchange archives, chains, order-book feeds, account events."""
