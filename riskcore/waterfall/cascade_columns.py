"""The columns of the table a cascade writes: one row a close, so that what belongs together lies together."""

DONE, PROCEEDS, EQUITY, CLOSED_ROW = range(4)
"""Size filled, signed money for it, equity of the pool after, and the row of that."""
CLOSE_COLUMNS = 4
