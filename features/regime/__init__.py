"""In what state the market is: filtered regimes and change-points."""
