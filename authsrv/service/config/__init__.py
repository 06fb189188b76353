"""The configuration: read, checked, explained, probed, and renewed while the service runs."""
