"""What is paid and pressed: funding, basis, open interest, taker flow, forced flow."""
