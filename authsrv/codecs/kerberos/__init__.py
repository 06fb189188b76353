"""Kerberos' messages, as far as they are read here; RFC 4120 section 5 defines them."""
