"""Security support providers, the only code that may block."""
