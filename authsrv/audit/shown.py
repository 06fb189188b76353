"""What a refused token shows without a key, for its line in the log."""

from __future__ import annotations

from authsrv.codecs.inspect import peek

__all__ = ["shown_by"]


def shown_by(token: bytes) -> tuple[str, str | None]:
    """The mechanism and the service that a token shows; nothing of it is authenticated.

    Args:
        token: From the client, untrusted; empty where there was none, which shows nothing.
    """
    if not token:
        return "", None
    shown = peek(token)
    return shown.mechanism.label, None if shown.ap_req is None else shown.ap_req.service
