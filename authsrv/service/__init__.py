"""The standalone service: it answers what a reverse proxy asks about each request."""
