"""What the market can absorb: order books, and proxies where only bars exist."""
