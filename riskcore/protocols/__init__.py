"""Venues whose arithmetic is their own: integers with a rounding at each step, health, net margin, auctions."""
