"""The ask of a proxy: read, decided, answered."""
