"""The auth service: it answers a reverse proxy's question who a client is."""
