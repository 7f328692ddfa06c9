"""What features are made of: expressions over bars, run as one compiled program in batch and in stream."""
