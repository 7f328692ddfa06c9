"""What one account looks like: geometry, history, behaviour."""
