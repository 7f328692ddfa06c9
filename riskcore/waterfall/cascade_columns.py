"""The columns of the tables a cascade reads and writes: one row a leg, so that what belongs together lies together."""

TRIGGER, SIZE, ENTRY, CASH, ROW = range(5)
"""Of a queued leg: liquidation price, signed size, entry price, cash of its pool, and the row of that."""
QUEUE_COLUMNS = 5
DONE, PROCEEDS, EQUITY, CLOSED_ROW = range(4)
"""Of a close: size filled, signed money for it, equity of the pool after, and the row of that."""
CLOSE_COLUMNS = 4
