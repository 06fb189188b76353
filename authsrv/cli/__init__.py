"""The command `authsrv`."""
