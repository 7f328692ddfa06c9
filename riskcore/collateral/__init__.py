"""Collateral: haircuts from volatility, weights, depegs, concentration, wrong-way risk, conversion."""
