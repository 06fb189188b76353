"""A session as bytes, which are what is sealed: compact, and each session in one form only.

A byte that tells the format; a byte of flags; three ids of 16 bytes: sid, family, digest of the
groups; four times of 4 bytes, big-endian: authenticated, issued, idle end, end; then, in UTF-8 with
a NUL between each and the next: principal, mechanism, groups. None of them can have a NUL in it.

A release that tells more of a session changes the first byte. Sessions of another format are
refused, as if there were none.
"""

from __future__ import annotations

import base64
import struct
from typing import Final

from authsrv.errors import SessionError
from authsrv.sessions.session import (
    ID_BYTES,
    MAX_GROUP_BYTES,
    MAX_MECHANISM_BYTES,
    MAX_PRINCIPAL_BYTES,
    Session,
)

__all__ = ["MAX_SESSION_BYTES", "SESSION_FORMAT", "decode_session", "encode_session"]

SESSION_FORMAT: Final = 1
"""The first byte of a session."""

_HEAD = struct.Struct(f">BB{3 * ID_BYTES}s4I")
_CHANNEL_BOUND, _GROUPS_TRUNCATED = 1, 2
_ALL_FLAGS = _CHANNEL_BOUND | _GROUPS_TRUNCATED

MAX_SESSION_BYTES: Final = (
    _HEAD.size + MAX_PRINCIPAL_BYTES + 1 + MAX_MECHANISM_BYTES + MAX_GROUP_BYTES
)
"""No session is longer."""


def encode_session(session: Session) -> bytes:
    """Write a session; at most MAX_SESSION_BYTES."""
    flags = session.channel_bound * _CHANNEL_BOUND | session.groups_truncated * _GROUPS_TRUNCATED
    ids = b"".join(map(_id_bytes, (session.sid, session.family, session.group_digest)))
    times = (session.authenticated_at, session.issued_at, session.idle_ends_at, session.ends_at)
    head = _HEAD.pack(SESSION_FORMAT, flags, ids, *times)
    return head + "\0".join((session.principal, session.mechanism, *session.groups)).encode()


def decode_session(content: bytes) -> Session:
    """Read what `encode_session` wrote.

    Raises:
        SessionError: It is of another format, cut, too long, or tells what no session can be.
    """
    if content[:1] != bytes([SESSION_FORMAT]):
        raise SessionError("the session is of another format")
    try:
        _, flags, ids, began, issued, idle, end = _HEAD.unpack_from(content)
        principal, mechanism, *groups = content[_HEAD.size :].decode().split("\0")
    except (struct.error, ValueError):
        raise SessionError("the session is malformed") from None
    if flags & ~_ALL_FLAGS:
        raise SessionError("the session has unknown flags")
    return Session(
        sid=_id_text(ids[:16]),
        family=_id_text(ids[16:32]),
        principal=principal,
        mechanism=mechanism,
        channel_bound=bool(flags & _CHANNEL_BOUND),
        groups=tuple(groups),
        groups_truncated=bool(flags & _GROUPS_TRUNCATED),
        authenticated_at=began,
        issued_at=issued,
        idle_ends_at=idle,
        ends_at=end,
        group_digest=_id_text(ids[32:]),
    )


def _id_bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def _id_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content)[:22].decode()
