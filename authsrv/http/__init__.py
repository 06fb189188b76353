"""The rules of HTTP authentication, without a server: fields in, decisions out."""
