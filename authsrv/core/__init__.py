"""The vocabulary that all other rooms share: values, and nothing that waits or blocks."""
