"""The two sides of a handshake."""

from __future__ import annotations

import enum

__all__ = ["Role"]


class Role(enum.Enum):
    """Which side of the handshake this is."""

    ACCEPTOR = "acceptor"
    """The server: the peer's token comes first."""
    INITIATOR = "initiator"
    """The client: its first step has an empty token, since the peer has sent none yet."""
