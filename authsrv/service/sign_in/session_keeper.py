"""Sessions as the service keeps them: sealed in cookies, and what was revoked, in the store.

A cookie is worth what the store says of it. What is revoked is one session, or all that one log-in
led to (its family), or all that a user began before a moment. A store that has forgotten would
bring them all back; so whatever was issued before the store began counts as revoked.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Hashable
from typing import Final

from authsrv.errors import SessionError
from authsrv.service.sites.people import fold_text
from authsrv.sessions.sealed import check_session, read_session
from authsrv.sessions.sealing import Audience, Sealer, SealPurpose
from authsrv.sessions.session import MAX_SESSION_SECONDS, Session
from authsrv.stores.base import Purpose, Store

__all__ = ["SessionKeeper"]

_TIME = struct.Struct(">d")
_REVOKED = b"revoked"
# Sessions that were read lately: to decrypt and to check one again says the same, and takes longer
# than the rest of an ask. What is no session is not kept.
_MOST_KEPT: Final = 1_024
_HOUR = 3_600.0
# Of one user in an hour; far more than a person signs in and out.
_MAX_REVOCATIONS = 60


class SessionKeeper:
    """Opens sessions and revokes them.

    Args:
        store: Where revocations are remembered.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read = functools.lru_cache(_MOST_KEPT)(_read_known)

    async def open(
        self,
        sealer: Sealer,
        text: str,
        audience: Audience,
        now: float,
        *,
        group_digest: str | None = None,
        purpose: SealPurpose = SealPurpose.SESSION,
    ) -> Session:
        """Read a session's cookie, and ask the store whether it still counts.

        The arguments are those of `open_session`.

        Raises:
            SessionError: As `open_session`; or it was revoked, or is older than the store.
            StoreError: The store cannot tell.
        """
        known = self._read(sealer, text, audience, purpose)
        check_session(known.session, now, group_digest=group_digest)
        self._check_age(known.session)
        state = self._store.state_at_once()
        if not known.is_free_at(now, state):
            await self._ask_store(known)
            # What changed since the state was asked for changes it, too.
            known.free_at, known.state = now, state
        return known.session

    def read(
        self,
        sealer: Sealer,
        text: str,
        audience: Audience,
        *,
        purpose: SealPurpose = SealPurpose.SESSION,
    ) -> Session:
        """Read a session's cookie to end it, whether or not it still counts.

        Raises:
            SessionError: It is none of ours.
        """
        return read_session(sealer, text, audience, purpose)

    async def revoke(self, session: Session, now: float) -> None:
        """Revoke one session.

        Raises:
            StoreError: The store cannot remember it.
        """
        if await self._has_room(session, now):
            await self._put(_key(b"sid", session.sid), _REVOKED, session.ends_at)

    async def revoke_family(self, session: Session, now: float) -> None:
        """Revoke all that came of the log-in which this session came of, on every host.

        Raises:
            StoreError: The store cannot remember it.
        """
        if await self._has_room(session, now):
            key = _key(b"family", session.family)
            await self._put(key, _REVOKED, now + MAX_SESSION_SECONDS)

    async def revoke_user(self, principal: str, now: float) -> None:
        """Revoke all that a user has begun until now; a new log-in counts again.

        Active Directory takes a name in any case, and so do tickets have it; so case and
        compatibility forms do not count here.

        Args:
            principal: With its realm, such as "alice@EXAMPLE.ORG".
            now: Unix seconds.

        Raises:
            StoreError: The store cannot remember it.
        """
        await self._put(
            _key(b"user", fold_text(principal)), _TIME.pack(now), now + MAX_SESSION_SECONDS
        )

    async def _has_room(self, session: Session, now: float) -> bool:
        """Whether one more entry of a user is kept; else all that is the user's is revoked at once.

        So nobody fills the store by signing in and out.
        """
        key = _key(b"revocations", fold_text(session.principal))
        count = await self._store.count(Purpose.REVOKED, key, _HOUR)
        if count <= _MAX_REVOCATIONS:
            return True
        await self.revoke_user(session.principal, now)
        return False

    async def _put(self, key: bytes, value: bytes, expires_at: float) -> None:
        await self._store.put(Purpose.REVOKED, key, value, expires_at)

    async def check(self, session: Session) -> None:
        """Ask the store whether a session still counts.

        Raises:
            SessionError: It was revoked, or is older than the store.
            StoreError: The store cannot tell.
        """
        self._check_age(session)
        await self._ask_store(_Known(session))

    def _check_age(self, session: Session) -> None:
        # A session knows whole seconds only.
        if session.issued_at < int(self._store.born_at):
            raise SessionError("the session is older than the memory of what was revoked")

    async def _ask_store(self, known: _Known) -> None:
        is_out, is_family_out, until = await self._store.get_many(Purpose.REVOKED, known.keys)
        if is_out is not None or is_family_out is not None:
            raise SessionError("the session was signed out")
        if until is not None and known.session.authenticated_at <= _TIME.unpack(until)[0]:
            raise SessionError("all sessions of the user were revoked")


class _Known:
    """A session that was read, and when it was not revoked."""

    __slots__ = ("free_at", "keys", "session", "state")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.keys = (
            _key(b"sid", session.sid),
            _key(b"family", session.family),
            _key(b"user", fold_text(session.principal)),
        )
        self.free_at: float | None = None
        self.state: Hashable | None = None

    def is_free_at(self, now: float, state: Hashable | None) -> bool:
        """Whether the store would say so again: nothing changed in it, and the clock goes on."""
        if state is None or state != self.state:
            return False
        return self.free_at is not None and self.free_at <= now


def _read_known(sealer: Sealer, text: str, audience: Audience, purpose: SealPurpose) -> _Known:
    return _Known(read_session(sealer, text, audience, purpose))


def _key(kind: bytes, name: str) -> bytes:
    return hashlib.sha256(kind + b"\0" + name.encode()).digest()
