"""Who sends a request: by the ticket that it carries, or by its session. A ticket decides.

A client that sends both is the ticket's, wholly: the session of before is revoked, whoever's it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from authsrv.audit.records import AdmissionBasis
from authsrv.core.identity import Identity
from authsrv.core.results import Established, Refused
from authsrv.errors import AuthsrvError, ForbiddenRealmError, MechanismError, SessionError
from authsrv.handshake.driver import Leg
from authsrv.http.headers import build_challenge
from authsrv.service.asks.served import Ask
from authsrv.service.sign_in.cookie_names import SESSION
from authsrv.service.sign_in.session_keeper import SessionKeeper
from authsrv.service.sites.groups import NO_GROUPS, GroupSet
from authsrv.service.sites.people import Subject
from authsrv.sessions.session import Session

__all__ = ["Claimant", "Claimants", "TicketRefused", "subject_of"]

_ONE_LEG = "the client did not begin with Kerberos, and behind a proxy a handshake has one leg"


@dataclass(frozen=True, slots=True)
class Claimant:
    """A client whose identity is proved.

    Args:
        subject: As rules see it.
        basis: By what it was proved.
        identity: The handshake's; None where it was a session.
        session: The session; None where it was a ticket.
        challenge: The WWW-Authenticate field by which we prove ourselves, if there is one.
    """

    subject: Subject
    basis: AdmissionBasis
    identity: Identity | None = None
    session: Session | None = None
    challenge: str | None = field(default=None, repr=False)

    def authenticated_at(self, now: float) -> float:
        """When the client proved who it is, in Unix seconds."""
        return now if self.session is None else self.session.authenticated_at


@dataclass(frozen=True, slots=True)
class TicketRefused:
    """A ticket that was not accepted, with what it led to.

    Args:
        error: The cause.
        leg: What the ticket led to.
        sent: The client's token.
        token: What tells the client of it; empty for nothing.
    """

    error: AuthsrvError
    leg: Leg
    sent: bytes = field(repr=False)
    token: bytes = field(default=b"", repr=False)


class Claimants:
    """Finds out who sends requests.

    Args:
        keeper: Who knows which sessions count.
    """

    def __init__(self, keeper: SessionKeeper) -> None:
        self._keeper = keeper

    async def by_ticket(self, ask: Ask, token: bytes) -> Claimant | TicketRefused:
        """Drive the handshake that a token begins; it has to be done with this one token.

        Raises:
            AuthsrvError: The handshake could not begin.
        """
        handshake = ask.served.acceptor.create_handshake()
        leg = await handshake.advance(token)
        match leg.result:
            case Established(identity=identity, token=proof):
                challenge = build_challenge(proof) if proof else None
                return Claimant(
                    Subject.of_identity(identity, ask.served.groups_of(identity)),
                    AdmissionBasis.TICKET,
                    identity=identity,
                    challenge=challenge,
                )
            case Refused(error=error, token=answer):
                return TicketRefused(error, leg, token, answer)
            case _:
                # Proxies share connections, so nothing may wait on one for a second leg.
                handshake.close()
                return TicketRefused(MechanismError(_ONE_LEG), leg, token)

    async def by_session(self, ask: Ask) -> Claimant | None:
        """Read the session's cookie; None where there is none.

        Raises:
            SessionError: There is one that does not count.
            ForbiddenRealmError: It is of a realm that the site does not let in.
            StoreError: Whether it counts cannot be told.
        """
        if not ask.served.has_sessions:
            return None
        text = ask.cookies.read(SESSION)
        if text is None:
            return None
        session = await self._keeper.open(
            ask.served.sealer, text, ask.audience, ask.now, group_digest=ask.served.group_digest
        )
        if ask.served.names_realms:
            ask.served.check_realm(Identity(session.principal, session.mechanism))
        return Claimant(subject_of(session, ask.now), AdmissionBasis.SESSION, session=session)

    async def end_family(self, ask: Ask) -> Session | None:
        """Revoke all that came of the log-in that the session's cookie came of.

        A session that is over, or that another setting has made worthless, may have kin elsewhere
        that still count; so it is asked for its family alone.

        Returns:
            The session; None where there is none, or none of ours.

        Raises:
            StoreError: It cannot be revoked.
        """
        try:
            text = ask.cookies.read(SESSION)
            if text is None:
                return None
            session = self._keeper.read(ask.served.sealer, text, ask.audience)
        except SessionError:
            return None
        await self._keeper.revoke_family(session, ask.now)
        return session

    async def end_session_beside(self, ask: Ask) -> Session | None:
        """Revoke the session that came together with a ticket, if it counted, and give it back.

        Raises:
            StoreError: It cannot be revoked.
        """
        try:
            beside = await self.by_session(ask)
        except (SessionError, ForbiddenRealmError):
            return None
        if beside is None or beside.session is None:
            return None
        await self._keeper.revoke(beside.session, ask.now)
        return beside.session


def subject_of(session: Session, now: float) -> Subject:
    """The client of a session, as rules see it."""
    return Subject(
        session.principal,
        session.mechanism,
        session.channel_bound,
        groups=_groups_of(session),
        age_seconds=now - session.authenticated_at,
    )


def _groups_of(session: Session) -> GroupSet:
    if not session.groups and not session.groups_truncated:
        return NO_GROUPS
    return GroupSet(frozenset(session.groups), session.groups_truncated)
