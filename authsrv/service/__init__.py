"""The standalone auth service: it answers a reverse proxy's question "who is this?"."""
