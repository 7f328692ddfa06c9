"""One portfolio over several venues: transfers that take time, contagion, what pooling is worth."""
