"""What may be used once, and for what: the values that pass between providers and stores."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

__all__ = ["KEY_BYTES", "Claim", "Purpose"]

KEY_BYTES = 32
"""The length of every key in a store: that of a SHA-256 digest."""


class Purpose(enum.Enum):
    """What a key in a store stands for. The same key under two purposes is two things."""

    # Members are singletons. Enum hashes their names, in Python, at every look-up.
    __hash__ = object.__hash__

    REPLAY = "replay"
    """A token that was accepted."""
    HAND_OVER = "hand-over"
    """A code that hands a session over to another host."""
    REVOKED = "revoked"
    """A session that was ended before its time."""
    TRIES = "tries"
    """How often a password was tried."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that may be used once.

    Args:
        purpose: What it is.
        key: A digest of 32 bytes; never a secret itself.
        expires_at: Until when its second use has to be refused, in Unix seconds; after that it may
            be forgotten, as it is not accepted any more for its age.

    Raises:
        ValueError: A value is of the wrong type or length, or not finite.
    """

    purpose: Purpose
    key: bytes = field(repr=False)
    expires_at: float

    def __post_init__(self) -> None:
        if type(self.purpose) is not Purpose:
            raise ValueError("the purpose of a claim must be a Purpose")
        if type(self.key) is not bytes or len(self.key) != KEY_BYTES:
            raise ValueError(f"the key of a claim must be bytes, {KEY_BYTES} of them")
        if type(self.expires_at) not in (int, float) or not math.isfinite(self.expires_at):
            raise ValueError("the expiry of a claim must be a number of seconds")
