"""How a session gets from the login host to an application's host.

No cookie reaches both. So the application's host gives the browser a nonce and sends it to the
login host with a sealed order; the login host sends it back with a code that counts once, for a
minute, and only at that host and in that browser.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from authsrv.errors import HandOverError, SessionError
from authsrv.sessions.codec import decode_session, encode_session
from authsrv.sessions.sealed import open_note, seal_note
from authsrv.sessions.sealing import Audience, Sealer, SealPurpose
from authsrv.sessions.session import Session
from authsrv.stores.base import Claim, Purpose, Store

__all__ = ["LOGIN_SITE", "Granted", "Order", "issue_code", "open_order", "place_order", "redeem"]

LOGIN_SITE = "(login host)"
"""In the place of a site's name in what is sealed for the login host; no site is called so."""

# What stands in the store is for whoever brings its code, and says itself where that counts.
_AT_REST = Audience("(store)", LOGIN_SITE)
_ORDER_SECONDS = 1_800.0
_CODE_SECONDS = 60.0
# Longer than a code counts, so that a late one can be told from one that never was.
_REMEMBERED_SECONDS = 600.0
_RANDOM_BYTES = 32
_MAX_CODE = 64


@dataclass(frozen=True, slots=True)
class Order:
    """What an application's host asks of the login host.

    Args:
        audience: Host and site that the session is to be for.
        return_to: Path and query to go back to, made by us.
        nonce_digest: SHA-256 of the nonce in the browser's cookie, in hexadecimal.
        is_step_up: Whether the session that there is does not do, so that the user has to prove
            once more who it is.
    """

    audience: Audience
    return_to: str
    nonce_digest: str
    is_step_up: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """What a code was good for: the login host's session, the path to go back to, and for what."""

    session: Session = field(repr=False)
    return_to: str
    is_step_up: bool


def place_order(
    sealer: Sealer,
    login_host: str,
    audience: Audience,
    return_to: str,
    now: float,
    *,
    is_step_up: bool = False,
) -> tuple[str, str]:
    """Make the nonce for the browser's cookie, and the sealed order for the login host."""
    nonce = secrets.token_urlsafe(_RANDOM_BYTES)
    content = [audience.host, audience.site, return_to, _digest(nonce), is_step_up]
    sealed = seal_note(
        sealer,
        SealPurpose.ORDER,
        Audience(login_host, LOGIN_SITE),
        json.dumps(content).encode(),
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
    host, site, return_to, digest, is_step_up = json.loads(content)
    return Order(Audience(host, site), return_to, digest, is_step_up)


async def issue_code(
    store: Store, sealer: Sealer, order: Order, session: Session, now: float
) -> str:
    """Make a code for an order, and remember what it is good for.

    Raises:
        StoreError: The store cannot remember it.
    """
    code = secrets.token_urlsafe(_RANDOM_BYTES)
    encoded = encode_session(session).hex()
    where = [order.audience.host, order.audience.site]
    content = [*where, order.return_to, order.nonce_digest, order.is_step_up, encoded]
    # Sealed, so that nothing that stands in a store makes an identity.
    sealed = seal_note(
        sealer,
        SealPurpose.HAND_OVER,
        _AT_REST,
        json.dumps(content).encode(),
        now=now,
        lifetime_seconds=_CODE_SECONDS,
    )
    key = _store_key(b"code", code)
    await store.put(Purpose.HAND_OVER, key, sealed.encode(), now + _REMEMBERED_SECONDS)
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
    sealed = await store.get(Purpose.HAND_OVER, _store_key(b"code", code))
    if sealed is None:
        raise HandOverError("the code never was, or was forgotten long ago")
    used = Claim(Purpose.HAND_OVER, _store_key(b"used", code), now + _REMEMBERED_SECONDS)
    if not await store.check_and_store(used):
        raise HandOverError("the code was used before")
    host, site, return_to, nonce_digest, is_step_up, session = _open_grant(sealer, sealed, now)
    if Audience(host, site) != audience:
        raise HandOverError("the code was made for another host")
    if nonce is None or not hmac.compare_digest(_digest(nonce), nonce_digest):
        raise HandOverError("the code was made for another browser")
    return Granted(decode_session(bytes.fromhex(session)), return_to, is_step_up)


def _open_grant(sealer: Sealer, sealed: bytes, now: float) -> list[Any]:
    try:
        content = open_note(sealer, SealPurpose.HAND_OVER, _AT_REST, sealed.decode(), now=now)
    except SessionError as error:
        raise HandOverError(error.detail) from None
    grant: list[Any] = json.loads(content)
    return grant


def _digest(nonce: str) -> str:
    return hashlib.sha256(b"nonce\0" + nonce.encode()).hexdigest()


def _store_key(kind: bytes, code: str) -> bytes:
    return hashlib.sha256(kind + b"\0" + code.encode()).digest()
