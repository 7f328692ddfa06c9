"""From the first warning to socialised loss: closing positions, insurance funds, auto-deleveraging."""
