"""Cookies of the application's host: the session, and what is remembered of how it is sought."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from authsrv.audit.records import SignInWay
from authsrv.core.identity import Identity
from authsrv.errors import SessionError
from authsrv.http.cookies import build_cookie_deletion, build_set_cookie
from authsrv.service.asks.claimants import Claimant
from authsrv.service.asks.served import Ask
from authsrv.service.sign_in.cookie_names import OUT, SESSION, STEP, TRIED
from authsrv.service.sites.groups import GroupSet
from authsrv.service.trail import Trail
from authsrv.sessions.sealed import open_note, seal_note, seal_session
from authsrv.sessions.sealing import SealPurpose
from authsrv.sessions.session import Session, begin_session, continue_session

__all__ = ["SessionCookies"]

_TRIED_SECONDS: Final = 60
_OUT_SECONDS: Final = 86_400
_MAX_TRIES: Final = 3


class SessionCookies:
    """Makes cookies for one host's ask or page, and reads those that are no session.

    Args:
        trail: Where the beginning of a session is told.
    """

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def begin(
        self, ask: Ask, identity: Identity, way: SignInWay, before: Session | None = None
    ) -> str:
        """Begin a session for a client that has just proved who it is; gives the Set-Cookie field.

        Args:
            ask: The ask, or the request for a page.
            identity: The client.
            way: How it proved that.
            before: The session that this one takes the place of.

        Raises:
            SessionError: The client's name does not fit into a cookie.
            TicketExpiredError: The ticket has ended.
        """
        served = ask.served
        groups = served.groups_of(identity)
        session = begin_session(
            identity,
            served.lengths,
            ask.now,
            groups=sorted(groups.names),
            group_digest=served.group_digest,
        )
        session = _with_cut_of(groups, session)
        if before is not None and before.principal == session.principal:
            # The same user goes on; who signs out ends what came of both.
            session = replace(session, family=before.family)
        return self._start(ask, session, way)

    def take_over(self, ask: Ask, session: Session) -> str:
        """Begin a session for what the login host handed over; gives the Set-Cookie field.

        Raises:
            SessionError: It is over, or would be over here.
        """
        served = ask.served
        identity = Identity(session.principal, session.mechanism)
        groups = served.groups_of(identity)
        begun = continue_session(
            session,
            served.lengths,
            ask.now,
            groups=sorted(groups.names),
            group_digest=served.group_digest,
        )
        return self._start(ask, _with_cut_of(groups, begun), SignInWay.HAND_OVER)

    def _start(self, ask: Ask, session: Session, way: SignInWay) -> str:
        self._trail.signed_in(ask, way, session)
        return self.write(ask, session)

    def renew(self, ask: Ask, claimant: Claimant) -> str | None:
        """Move the end of a session that is in use; gives the Set-Cookie field."""
        session = claimant.session
        return None if session is None else self.write(ask, session.renewed(ask.now))

    def write(self, ask: Ask, session: Session) -> str:
        """The Set-Cookie field of a session; the browser forgets it when it ends itself."""
        value = seal_session(ask.served.sealer, session, ask.audience, ask.now)
        return build_set_cookie(SESSION, value)

    def tried(self, ask: Ask) -> str:
        """The Set-Cookie field that says that the browser was asked for a ticket, once more."""
        return self._note(ask, SealPurpose.TRIED, TRIED, _TRIED_SECONDS, _byte(self.tries(ask) + 1))

    def was_tried(self, ask: Ask) -> bool:
        """Whether the browser was asked for a ticket a moment ago."""
        return self.tries(ask) > 0

    def has_given_up(self, ask: Ask) -> bool:
        """Whether the browser came without a session so often that there is something wrong."""
        return self.tries(ask) >= _MAX_TRIES

    def step_up(self, ask: Ask, session: Session | None, seconds: float) -> str:
        """The Set-Cookie field that says that a client is to prove once more who it is.

        Args:
            ask: The ask.
            session: The session that does not do; None where it was a ticket.
            seconds: After what time it may be asked for that again.
        """
        return self._note(ask, SealPurpose.STEP, STEP, max(1, int(seconds)), _name_of(session))

    def has_stepped_up(self, ask: Ask, session: Session | None) -> bool:
        """Whether the client has proved once more who it is, since it was asked to."""
        before = self._read(ask, SealPurpose.STEP, STEP)
        return before is not None and before != _name_of(session)

    def out(self, ask: Ask) -> str:
        """The Set-Cookie field that says that the user has signed out."""
        return self._note(ask, SealPurpose.OUT, OUT, _OUT_SECONDS, _byte(1))

    def is_out(self, ask: Ask) -> bool:
        """Whether the user has signed out in this browser."""
        return self._count(ask, SealPurpose.OUT, OUT) > 0

    def tries(self, ask: Ask) -> int:
        """How often the browser was asked within a minute."""
        return self._count(ask, SealPurpose.TRIED, TRIED)

    def forget(self, *names: str) -> tuple[str, ...]:
        """The Set-Cookie fields that delete cookies."""
        return tuple(build_cookie_deletion(name) for name in names)

    def _note(self, ask: Ask, purpose: SealPurpose, name: str, seconds: int, payload: bytes) -> str:
        value = seal_note(
            ask.served.sealer,
            purpose,
            ask.audience,
            payload,
            now=ask.now,
            lifetime_seconds=seconds,
        )
        return build_set_cookie(name, value, max_age=seconds)

    def _count(self, ask: Ask, purpose: SealPurpose, name: str) -> int:
        note = self._read(ask, purpose, name)
        return note[0] if note else 0

    def _read(self, ask: Ask, purpose: SealPurpose, name: str) -> bytes | None:
        try:
            text = ask.cookies.read(name)
            if text is None:
                return None
            return open_note(ask.served.sealer, purpose, ask.audience, text, now=ask.now)
        except SessionError:
            return None


def _with_cut_of(groups: GroupSet, session: Session) -> Session:
    """Note in a session that its source of groups did not tell all of them."""
    if not groups.is_truncated:
        return session
    return replace(session, groups_truncated=True)


def _byte(count: int) -> bytes:
    return bytes([min(count, 255)])


def _name_of(session: Session | None) -> bytes:
    return b"" if session is None else session.sid.encode()
