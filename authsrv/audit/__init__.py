"""What happened, as records, and as lines of a log."""
