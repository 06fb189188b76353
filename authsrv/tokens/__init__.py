"""Codecs for the tokens of the handshake: pure functions over bytes, no I/O, no state.

Modules: `der` (the encoding below), `spnego` (RFC 4178), `kerberos` (RFC 4120 and 4121), `ntlm`
(MS-NLMP, the header only) and `peek` (what a token is, for logs and for the replay cache).

All parsers are strict. Where one specification allows a single encoding, another one is refused:
two parsers that read the same bytes differently are how a replay cache is evaded.
"""
