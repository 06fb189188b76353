"""The two sides of a handshake."""

from __future__ import annotations

import enum

__all__ = ["Role"]


class Role(enum.Enum):
    """Which side of the handshake this is.

    Source: RFC 2743 section 1.1.
    """

    ACCEPTOR = "acceptor"
    """The server: the peer's token comes first."""
    INITIATOR = "initiator"
    """The client: its first step has no token of the peer's, and is an empty one."""
