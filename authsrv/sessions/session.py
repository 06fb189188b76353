"""A session: who logged in, how, when, and how long that counts. Rules are asked of it each time.

It ends after idle time, after absolute time, and with the ticket, whatever comes first. Renewal
moves the idle end alone.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from authsrv.core.identity import Identity, split_principal
from authsrv.core.settings import as_number
from authsrv.errors import ConfigError, SessionError, TicketExpiredError

__all__ = [
    "ID_BYTES",
    "MAX_CLOCK_AHEAD_SECONDS",
    "MAX_GROUP_BYTES",
    "MAX_MECHANISM_BYTES",
    "MAX_PRINCIPAL_BYTES",
    "MAX_SESSION_SECONDS",
    "PASSWORD",
    "Session",
    "SessionLengths",
    "begin_session",
    "continue_session",
    "digest_of_groups",
    "new_id",
]

PASSWORD: Final = "password"  # noqa: S105
"""The mechanism of a session whose password we checked ourselves."""

ID_BYTES: Final = 16
"""The length of a sid and of a family, before base64url makes 22 characters of it."""

MAX_SESSION_SECONDS: Final = 7 * 86_400
"""No session is longer; so long a sealing key must open."""

MAX_CLOCK_AHEAD_SECONDS: Final = 60
"""What was issued further in the future is refused: the clock of a machine is wrong, or was."""

# Together they fit into one cookie.
MAX_PRINCIPAL_BYTES: Final = 512
"""How long a principal may be, in UTF-8."""

MAX_MECHANISM_BYTES: Final = 32
"""How long the name of a mechanism may be, in UTF-8."""

MAX_GROUP_BYTES: Final = 2_048
"""How long all groups together may be, in UTF-8, with one byte for each."""

_MAX_TIME = 2**32 - 1
# A cookie is renewed ten times at most while the idle time runs.
_RENEWALS = 10
_ID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
_NO_DIGEST = "A" * 22


def new_id() -> str:
    """Make a sid or a family: 128 random bits in base64url."""
    return secrets.token_urlsafe(ID_BYTES)


def digest_of_groups(names: Iterable[str]) -> str:
    """Tell one set of groups from another, as 22 characters; order and doubles do not count.

    Args:
        names: The groups that a site's rules and headers name. A session has only seen which of
            these its user is in, so another set needs another log-in.
    """
    parts = [name.encode("utf-8", "surrogatepass") for name in sorted(set(names))]
    whole = b"".join(b"%d:%s" % (len(part), part) for part in parts)
    return base64.urlsafe_b64encode(hashlib.sha256(whole).digest()[:ID_BYTES]).decode()[:22]


@dataclass(frozen=True, slots=True)
class SessionLengths:
    """How long a session lasts at most; the ticket's end may come before.

    Args:
        idle_seconds: Without a request.
        absolute_seconds: However much it is used.
        password_absolute_seconds: The same, where it began with a password that we checked.

    Raises:
        ConfigError: One of them is not a number, is too small or too large, or the idle time is
            longer than the absolute time.
    """

    idle_seconds: float = 3_600
    absolute_seconds: float = 36_000
    password_absolute_seconds: float = 36_000

    def __post_init__(self) -> None:
        for name in ("idle_seconds", "absolute_seconds", "password_absolute_seconds"):
            if not 1 <= as_number(getattr(self, name), name) <= MAX_SESSION_SECONDS:
                raise ConfigError(f"{name} must be between 1 and {MAX_SESSION_SECONDS}")
        if self.idle_seconds > self.absolute_seconds:
            raise ConfigError("idle_seconds must not be more than absolute_seconds")

    def absolute(self, mechanism: str) -> float:
        """The absolute time of a session that began with this mechanism."""
        if mechanism != PASSWORD:
            return self.absolute_seconds
        return min(self.absolute_seconds, self.password_absolute_seconds)


@dataclass(frozen=True, slots=True)
class Session:
    """A client that has logged in; times are Unix seconds.

    `begin_session` and `continue_session` make it.

    Args:
        sid: Names the session: 16 random bytes in base64url.
        family: The same for all sessions that one log-in led to, on whatever host.
        principal: The authenticated name, such as "alice@EXAMPLE.ORG".
        mechanism: What authenticated it: that of the identity, or PASSWORD.
        channel_bound: Whether the log-in was bound to the channel.
        groups: Those of the groups in `group_digest` that the client is in.
        groups_truncated: Whether groups are missing. Then no rule may take comfort in the absence
            of one.
        authenticated_at: When the client proved who it is.
        issued_at: When this state of it was sealed.
        idle_ends_at: When it is over if it is not used.
        ends_at: When it is over.
        group_digest: `digest_of_groups` of those that were asked about.

    Raises:
        SessionError: A text is empty, unprintable or too long, or the times are out of order.
    """

    sid: str
    family: str
    principal: str
    mechanism: str
    channel_bound: bool
    groups: tuple[str, ...]
    groups_truncated: bool
    authenticated_at: int
    issued_at: int
    idle_ends_at: int
    ends_at: int
    group_digest: str = _NO_DIGEST

    def __post_init__(self) -> None:
        for text in (self.sid, self.family, self.group_digest):
            if _ID.fullmatch(text) is None:
                raise SessionError("the session has a malformed id")
        _demand_text("principal", self.principal, MAX_PRINCIPAL_BYTES)
        _demand_text("mechanism", self.mechanism, MAX_MECHANISM_BYTES)
        groups = self.groups
        if groups and not (all(groups) and "".join(groups).isprintable()):
            raise SessionError("the session has an empty or unprintable group")
        if _size_of(groups) > MAX_GROUP_BYTES:
            raise SessionError("the session has too many groups")
        began, issued, idle, end = (
            self.authenticated_at,
            self.issued_at,
            self.idle_ends_at,
            self.ends_at,
        )
        if not 0 <= began <= issued <= idle <= end <= _MAX_TIME:
            raise SessionError("the times of the session are out of order")

    @property
    def realm(self) -> str | None:
        """The realm of the principal, or None where the name has none."""
        return split_principal(self.principal)[1]

    def is_renewal_due(self, now: float) -> bool:
        """Whether a tenth of the idle time is over, and renewal would still move its end."""
        idle_seconds = self.idle_ends_at - self.issued_at
        is_due = now - self.issued_at >= idle_seconds / _RENEWALS
        return is_due and self.idle_ends_at < self.ends_at

    def renewed(self, now: float) -> Session:
        """The session as it is after a request: the same, but idle from now on.

        Args:
            now: Unix seconds, within the session.
        """
        # Another machine's clock may have been ahead.
        issued_at = max(int(now), self.issued_at)
        idle_seconds = self.idle_ends_at - self.issued_at
        idle_ends_at = min(issued_at + idle_seconds, self.ends_at)
        return replace(self, issued_at=issued_at, idle_ends_at=idle_ends_at)

    def check_times(self, now: float) -> None:
        """Refuse a session that is over, or that has not begun.

        Raises:
            SessionError: One of both; the detail says which.
        """
        if now >= self.ends_at:
            raise SessionError("the session is over: its time or its ticket ended")
        if now >= self.idle_ends_at:
            raise SessionError("the session is over: it was not used for too long")
        if self.issued_at > now + MAX_CLOCK_AHEAD_SECONDS:
            raise SessionError("the session was issued in the future")


def begin_session(
    identity: Identity,
    lengths: SessionLengths,
    now: float,
    *,
    mechanism: str | None = None,
    groups: Iterable[str] = (),
    group_digest: str = _NO_DIGEST,
) -> Session:
    """Begin a session, and a family, for a client that has just proved who it is.

    Args:
        identity: The client.
        lengths: How long the session lasts at most.
        now: Unix seconds.
        mechanism: PASSWORD where the proof was one; None for what the identity says.
        groups: Of the groups behind `group_digest`, those that the client is in; the weightiest
            first. What does not fit into a cookie, or is not printable, is left out, and the
            session says that groups are missing.
        group_digest: `digest_of_groups` of those that were asked about.

    Raises:
        TicketExpiredError: The ticket ends before a session could begin.
        SessionError: The principal is too long for a cookie.
    """
    mechanism = mechanism or identity.mechanism
    began = int(now)
    ends_at = began + int(lengths.absolute(mechanism))
    if identity.expires_at is not None:
        ends_at = min(ends_at, int(identity.expires_at.timestamp()))
    if ends_at <= now:
        raise TicketExpiredError("the ticket has ended, so no session can begin")
    wanted = tuple(dict.fromkeys(groups))
    fitting = _fitting(wanted)
    return Session(
        sid=new_id(),
        family=new_id(),
        principal=identity.principal,
        mechanism=mechanism,
        channel_bound=identity.channel_bound,
        groups=fitting,
        groups_truncated=fitting != wanted,
        authenticated_at=began,
        issued_at=began,
        idle_ends_at=min(began + int(lengths.idle_seconds), ends_at),
        ends_at=ends_at,
        group_digest=group_digest,
    )


def continue_session(
    session: Session,
    lengths: SessionLengths,
    now: float,
    *,
    groups: Iterable[str] = (),
    group_digest: str = _NO_DIGEST,
) -> Session:
    """Make another session of the same log-in and family, for another host.

    Args:
        session: The session at the login host.
        lengths: How long sessions last where this one is for, from the log-in on; it never lasts
            longer than the one that it comes from.
        now: Unix seconds.
        groups: As for `begin_session`; those of the other session do not count.
        group_digest: As for `begin_session`.

    Raises:
        SessionError: The session is over, or would be over there.
    """
    session.check_times(now)
    longest = session.authenticated_at + int(lengths.absolute(session.mechanism))
    ends_at = min(session.ends_at, longest)
    issued_at = max(int(now), session.authenticated_at)
    if ends_at <= now:
        raise SessionError("the session is over: the log-in is too long ago for the site")
    wanted = tuple(dict.fromkeys(groups))
    fitting = _fitting(wanted)
    return replace(
        session,
        sid=new_id(),
        groups=fitting,
        groups_truncated=fitting != wanted,
        issued_at=issued_at,
        idle_ends_at=min(issued_at + int(lengths.idle_seconds), ends_at),
        ends_at=ends_at,
        group_digest=group_digest,
    )


def _fitting(groups: tuple[str, ...]) -> tuple[str, ...]:
    """Those that can be told, up to the first that does not fit any more."""
    room, fitting = MAX_GROUP_BYTES, []
    for group in groups:
        if not group or not group.isprintable():
            continue
        room -= _size_of((group,))
        if room < 0:
            break
        fitting.append(group)
    return tuple(fitting)


def _size_of(groups: tuple[str, ...]) -> int:
    return len("".join(groups).encode()) + len(groups)


def _demand_text(what: str, text: str, limit: int) -> None:
    # What is printable has no surrogates, so UTF-8 can tell all of it.
    if not text.strip() or not text.isprintable() or len(text.encode()) > limit:
        raise SessionError(f"the session has no {what} that it could tell")
