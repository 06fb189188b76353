"""Kerberos' messages, as far as they are read here."""
