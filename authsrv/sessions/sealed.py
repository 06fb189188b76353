"""Sessions as the values of cookies, and short-lived values beside them."""

from __future__ import annotations

import struct

from authsrv.core.settings import as_member
from authsrv.errors import ConfigError, SessionError
from authsrv.sessions.codec import decode_session, encode_session
from authsrv.sessions.sealing import Audience, Sealer, SealPurpose
from authsrv.sessions.session import MAX_CLOCK_AHEAD_SECONDS, Session

__all__ = [
    "check_session",
    "open_note",
    "open_session",
    "read_session",
    "seal_note",
    "seal_session",
]

_SESSIONS = frozenset({SealPurpose.SESSION, SealPurpose.LOGIN_SESSION})
_SPAN = struct.Struct(">II")


def seal_session(
    sealer: Sealer,
    session: Session,
    audience: Audience,
    now: float,
    *,
    purpose: SealPurpose = SealPurpose.SESSION,
) -> str:
    """Make the value of a session's cookie; at most `MAX_SEALED_CHARACTERS`.

    Args:
        sealer: The keys.
        session: The session.
        audience: The host and the site that the cookie is for.
        now: Unix seconds; it chooses the key.
        purpose: LOGIN_SESSION for the cookie of the login host.

    Raises:
        ConfigError: The purpose is not one of both.
    """
    return sealer.seal(_of_session(purpose), audience, encode_session(session), now)


def open_session(
    sealer: Sealer,
    text: str,
    audience: Audience,
    now: float,
    *,
    group_digest: str | None = None,
    purpose: SealPurpose = SealPurpose.SESSION,
) -> Session:
    """Read the value of a session's cookie.

    Whether the session was revoked, a store has to be asked.

    Args:
        sealer: The keys.
        text: The cookie's value, from the client.
        audience: The host and the site that the request is for.
        now: Unix seconds.
        group_digest: `digest_of_groups` of those that the site names now; None where the site names
            none, and any session will do.
        purpose: LOGIN_SESSION at the login host. An ask never takes that one.

    Raises:
        SessionError: It is malformed, of another format, sealed with an unknown key, forged, of
            another host or site, or is the cookie of the login host; it is over, or was issued in
            the future; or the site names other groups than at the log-in.
        ConfigError: The purpose is not one of both.
    """
    session = read_session(sealer, text, audience, purpose)
    check_session(session, now, group_digest=group_digest)
    return session


def read_session(
    sealer: Sealer, text: str, audience: Audience, purpose: SealPurpose = SealPurpose.SESSION
) -> Session:
    """The first half of `open_session`: what says the same each time. It may be over.

    Raises:
        SessionError: As of `open_session`, where it is not about times and groups.
        ConfigError: The purpose is not one of both.
    """
    return decode_session(sealer.open(_of_session(purpose), audience, text))


def check_session(session: Session, now: float, *, group_digest: str | None = None) -> None:
    """The other half of `open_session`: whether it counts now.

    Raises:
        SessionError: As of `open_session`, where it is about times and groups.
    """
    session.check_times(now)
    if group_digest is not None and session.group_digest != group_digest:
        raise SessionError("the site names other groups than when the session began")


def seal_note(
    sealer: Sealer,
    purpose: SealPurpose,
    audience: Audience,
    payload: bytes,
    *,
    now: float,
    lifetime_seconds: float,
) -> str:
    """Seal a value that is not a session and counts for a limited time.

    Args:
        sealer: The keys.
        purpose: What it is.
        audience: Where it counts.
        payload: At most 8 bytes less than `MAX_PAYLOAD_BYTES`.
        now: Unix seconds.
        lifetime_seconds: How long it counts.

    Raises:
        LocalError: The payload is too large.
        ConfigError: The purpose is a session's.
    """
    span = _SPAN.pack(int(now), int(now + lifetime_seconds))
    return sealer.seal(_of_note(purpose), audience, span + payload, now)


def open_note(
    sealer: Sealer, purpose: SealPurpose, audience: Audience, text: str, *, now: float
) -> bytes:
    """Open what `seal_note` sealed, as long as it counts.

    Raises:
        SessionError: It is malformed, of another format, sealed with an unknown key, forged, or of
            another purpose, host or site; it is over, or was sealed in the future.
        ConfigError: The purpose is a session's.
    """
    purpose = _of_note(purpose)
    content = sealer.open(purpose, audience, text)
    if len(content) < _SPAN.size:
        raise SessionError(f"the sealed {purpose.value} is malformed: it has no times")
    begins_at, ends_at = _SPAN.unpack_from(content)
    if now >= ends_at:
        raise SessionError(f"the sealed {purpose.value} is over")
    if begins_at > now + MAX_CLOCK_AHEAD_SECONDS:
        raise SessionError(f"the sealed {purpose.value} was issued in the future")
    return content[_SPAN.size :]


def _of_session(purpose: SealPurpose) -> SealPurpose:
    purpose = as_member(SealPurpose, purpose, "purpose")
    if purpose not in _SESSIONS:
        raise ConfigError(f"purpose must be that of a session, not {purpose.value}")
    return purpose


def _of_note(purpose: SealPurpose) -> SealPurpose:
    purpose = as_member(SealPurpose, purpose, "purpose")
    if purpose in _SESSIONS:
        raise ConfigError(f"purpose must not be that of a session: {purpose.value}")
    return purpose
