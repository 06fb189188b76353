"""The vocabulary that all other packages share: values, and nothing that waits or blocks."""
