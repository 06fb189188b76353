"""How a session gets from the login host to an application's host.

No cookie reaches both. So the application's host gives the browser a nonce and sends it to the
login host with a sealed order; the login host sends it back with a code that counts once, for a
minute, and only at that host and in that browser.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from authsrv.errors import HandOverError, SessionError
from authsrv.sessions.codec import decode_session, encode_session
from authsrv.sessions.sealed import open_note, seal_note
from authsrv.sessions.sealing import Audience, Sealer, SealPurpose
from authsrv.sessions.session import Session
from authsrv.stores.base import Purpose, Store

__all__ = ["LOGIN_SITE", "Granted", "Order", "issue_code", "open_order", "place_order", "redeem"]

LOGIN_SITE = "(login host)"
"""In the place of a site's name in what is sealed for the login host; no site is called so."""

# What stands in the store is for whoever brings its code, and says itself where that counts.
_AT_REST = Audience("(store)", LOGIN_SITE)
_ORDER_SECONDS = 1_800.0
_CODE_SECONDS = 60.0
# Longer than a code counts, so that a late one can be told from one that never was.
_REMEMBERED_SECONDS = 180.0
_RANDOM_BYTES = 32
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")
_MAX_CODE = 64
# Of one user in a minute.
_MAX_CODES = 60
_USED = b"used"
_SEPARATOR = b"\0"


@dataclass(frozen=True, slots=True)
class Order:
    """What an application's host asks of the login host.

    Args:
        audience: Host and site that the session is to be for.
        return_to: Path and query to go back to, made by us.
        nonce_digest: SHA-256 of the nonce in the browser's cookie, in hexadecimal.
        is_fresh: Whether the user has to log in anew, whoever is logged in.
    """

    audience: Audience
    return_to: str
    nonce_digest: str
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """What a code was good for: the login host's session, and the path to go back to."""

    session: Session = field(repr=False)
    return_to: str


def place_order(
    sealer: Sealer,
    login_host: str,
    audience: Audience,
    return_to: str,
    now: float,
    *,
    is_fresh: bool = False,
    nonce: str | None = None,
) -> tuple[str, str]:
    """Make the nonce for the browser's cookie, and the sealed order for the login host.

    A nonce that the browser has, from its other tabs, stays: so each of them finds its way back.
    """
    if nonce is None or _NONCE.fullmatch(nonce) is None:
        nonce = secrets.token_urlsafe(_RANDOM_BYTES)
    kind = "fresh" if is_fresh else "any"
    parts = (kind, audience.host, audience.site, _digest(nonce), return_to)
    sealed = seal_note(
        sealer,
        SealPurpose.ORDER,
        Audience(login_host, LOGIN_SITE),
        # None of them has a separator: they are printable.
        _SEPARATOR.join(part.encode() for part in parts),
        now=now,
        lifetime_seconds=_ORDER_SECONDS,
    )
    return nonce, sealed


def open_order(sealer: Sealer, login_host: str, text: str, now: float) -> Order:
    """Read an order that came to the login host.

    Raises:
        HandOverError: It is none of ours, or is too old.
    """
    try:
        content = open_note(
            sealer, SealPurpose.ORDER, Audience(login_host, LOGIN_SITE), text, now=now
        )
    except SessionError as error:
        raise HandOverError(error.detail) from None
    kind, host, site, digest, return_to = content.decode().split("\0")
    return Order(Audience(host, site), return_to, digest, kind == "fresh")


async def issue_code(
    store: Store, sealer: Sealer, order: Order, session: Session, now: float
) -> str:
    """Make a code for an order, and remember what it is good for.

    Raises:
        HandOverError: The user was given so many codes that others would find no room.
        StoreError: The store cannot remember it.
    """
    user = hashlib.sha256(b"codes\0" + session.principal.encode()).digest()
    if await store.count(Purpose.HAND_OVER, user, _CODE_SECONDS) > _MAX_CODES:
        raise HandOverError(f"the user was given more than {_MAX_CODES} codes within a minute")
    code = secrets.token_urlsafe(_RANDOM_BYTES)
    audience = order.audience
    told = (audience.host, audience.site, order.nonce_digest, order.return_to)
    parts = (*(part.encode() for part in told), encode_session(session))
    # Sealed, so that nothing that stands in a store makes an identity.
    sealed = seal_note(
        sealer,
        SealPurpose.HAND_OVER,
        _AT_REST,
        _SEPARATOR.join(parts),
        now=now,
        lifetime_seconds=_CODE_SECONDS,
    )
    await store.put(Purpose.HAND_OVER, _store_key(code), sealed.encode(), now + _REMEMBERED_SECONDS)
    return code


async def redeem(
    store: Store, sealer: Sealer, code: str, nonce: str | None, audience: Audience, now: float
) -> Granted:
    """Take a code, once, whatever comes of it.

    Args:
        store: Where it is remembered.
        sealer: The keys.
        code: From the client.
        nonce: The browser's, from its cookie.
        audience: Host and site that it came to.
        now: Unix seconds.

    Raises:
        HandOverError: It never was, was used, is too old, or is of another browser or host; the
            detail says which.
        StoreError: The store cannot tell.
    """
    if len(code) > _MAX_CODE:
        raise HandOverError("the code is too long to be one of ours")
    key = _store_key(code)
    sealed = await store.take(Purpose.HAND_OVER, key)
    if sealed is None:
        raise HandOverError("the code never was, or was forgotten long ago")
    await store.put(Purpose.HAND_OVER, key, _USED, now + _REMEMBERED_SECONDS)
    if sealed == _USED:
        raise HandOverError("the code was used before")
    return _open_grant(sealer, sealed.decode(), nonce, audience, now)


def _open_grant(
    sealer: Sealer, sealed: str, nonce: str | None, audience: Audience, now: float
) -> Granted:
    try:
        content = open_note(sealer, SealPurpose.HAND_OVER, _AT_REST, sealed, now=now)
        # A session is bytes, and may have separators.
        host, site, digest, return_to, session = content.split(_SEPARATOR, 4)
        if Audience(host.decode(), site.decode()) != audience:
            raise HandOverError("the code was made for another host")
        if nonce is None or not hmac.compare_digest(_digest(nonce).encode(), digest):
            raise HandOverError("the code was made for another browser")
        return Granted(decode_session(session), return_to.decode())
    except SessionError as error:
        raise HandOverError(error.detail) from None


def _digest(nonce: str) -> str:
    return hashlib.sha256(b"nonce\0" + nonce.encode()).hexdigest()


def _store_key(code: str) -> bytes:
    return hashlib.sha256(b"code\0" + code.encode()).digest()
