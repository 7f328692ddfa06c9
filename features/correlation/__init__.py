"""How prices move together."""
