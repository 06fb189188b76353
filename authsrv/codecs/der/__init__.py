"""The ASN.1 Distinguished Encoding Rules, strictly: RFC 4120 and RFC 4178 are written in them."""
