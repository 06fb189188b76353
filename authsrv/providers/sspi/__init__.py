"""SSPI itself: Windows' secur32, or sspi-rs elsewhere."""
