"""A session of alice at the wiki, with keys that are the same in every run."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st

from authsrv.core.identity import Identity
from authsrv.sessions.keyring import KeyKind, KeyRing, RingKey
from authsrv.sessions.sealing import Audience, Sealer
from authsrv.sessions.session import MAX_GROUP_BYTES, Session, new_id

__all__ = ["ALICE", "LOGIN", "NOW", "OLD_KEY", "SEALER", "WIKI", "a_session", "ring", "sessions"]

NOW = 1_790_000_000
ALICE = Identity("alice@EXAMPLE.ORG", "kerberos")
WIKI = Audience("wiki.example.org", "wiki")
LOGIN = Audience("login.example.org", "login")
OLD_KEY = RingKey(b"\1" * 32, NOW - 1_000)


def ring(*secrets: bytes, kind: KeyKind = KeyKind.SEALING) -> KeyRing:
    """A ring of keys from the newest to the oldest, which are used since 1,000 s ago and longer."""
    keys = [RingKey(secret * 32, NOW - 1_000 * n) for n, secret in enumerate(secrets, 1)]
    return KeyRing(kind, tuple(keys))


SEALER = Sealer(ring(b"\1"))


def a_session(**changes: Any) -> Session:
    """A session that began at NOW, of an hour idle and ten in all."""
    told: dict[str, Any] = {
        "sid": new_id(),
        "family": new_id(),
        "principal": "alice@EXAMPLE.ORG",
        "mechanism": "kerberos",
        "channel_bound": False,
        "groups": ("staff", "Köche"),
        "groups_truncated": False,
        "authenticated_at": NOW,
        "issued_at": NOW,
        "idle_ends_at": NOW + 3_600,
        "ends_at": NOW + 36_000,
    }
    return Session(**told | changes)


_TEXTS = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable() and text.strip())
_IDS = st.binary(min_size=16, max_size=16).map(
    lambda content: base64.urlsafe_b64encode(content).decode().rstrip("=")
)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """Any session that there can be."""
    times = sorted(draw(st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=4)))
    groups = draw(st.lists(_TEXTS, max_size=12))
    assert sum(len(group.encode()) + 1 for group in groups) <= MAX_GROUP_BYTES
    return Session(
        draw(_IDS),
        draw(_IDS),
        draw(_TEXTS),
        draw(_TEXTS.filter(lambda text: len(text.encode()) <= 32)),
        draw(st.booleans()),
        tuple(groups),
        draw(st.booleans()),
        *times,
        group_digest=draw(_IDS),
    )
