"""What option chains say: implied volatility, skew, term structure."""
