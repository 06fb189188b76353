"""NTLM, as far as it is read here: message headers, and the proof of a password."""
