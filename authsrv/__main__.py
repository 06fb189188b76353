"""`python -m authsrv` is the command `authsrv`."""
