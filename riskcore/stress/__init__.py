"""Shocks to prices, volatility, depth, correlation, pegs and oracles, and what they do to books and funds."""
