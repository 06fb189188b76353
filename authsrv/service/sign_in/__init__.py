"""Signing in and out: the pages of sites and of the login host, sessions, hand-over, passwords."""
