"""Values that only we can make and read, in the hands of clients: cookies, states, CSRF tokens.

A sealed value is base64url without padding of: a byte that tells the format, the id of the key
(8 bytes), a random nonce (12), and the payload in AES-256-GCM-SIV with its tag (16). SIV (RFC 8452)
because nonces are random and made by many workers: two equal ones show that two payloads are equal,
and nothing more.

What it is for, and the host and the site that it is for, are authenticated with it. So a value is
worth nothing as another one, at another host, or on another site.

A release that changes the format changes the byte; cookies of another format are refused, which a
client with a ticket does not notice and one with a password answers by a log-in.
"""

from __future__ import annotations

import base64
import binascii
import enum
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from authsrv.core.settings import as_instance, as_member
from authsrv.errors import ConfigError, LocalError, SessionError
from authsrv.sessions.keyring import KeyKind, KeyRing

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "MAX_SEALED_CHARACTERS",
    "SEALING_FORMAT",
    "Audience",
    "SealPurpose",
    "Sealer",
]

SEALING_FORMAT: Final = 1
"""The first byte of what is sealed."""

MAX_SEALED_CHARACTERS: Final = 3_840
"""A longer text is not even decoded: with name and attributes, a cookie stays below 4 kB."""

_FORMAT_BYTE = bytes([SEALING_FORMAT])
_KEY_AT, _NONCE_AT, _SEALED_AT, _TAG = 1, 9, 21, 16

MAX_PAYLOAD_BYTES: Final = MAX_SEALED_CHARACTERS * 3 // 4 - _SEALED_AT - _TAG
"""What can be sealed at most."""


class SealPurpose(enum.Enum):
    """What a sealed value is; one of a purpose is worth nothing as another."""

    SESSION = "session"
    LOGIN_SESSION = "login-session"
    """The session at the login host; no ask takes it."""

    HAND_OVER = "hand-over"
    NONCE = "nonce"
    TRIED = "tried"
    STEP = "step"
    OUT = "out"
    DEVICE = "device"
    CSRF = "csrf"
    ORDER = "order"
    """What an application's host asks of the login host."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Where a sealed value counts. From the configuration, never what a client sent as it is.

    Args:
        host: The host in exact lower-case ASCII, with its port where the site's hosts have one.
        site: The name of the site.

    Raises:
        ConfigError: One of them is not such a text.
    """

    host: str
    site: str

    def __post_init__(self) -> None:
        host = as_instance(str, self.host, "host")
        if not host.isascii() or not host.isprintable() or host != host.lower() or " " in host:
            raise ConfigError("the host of an audience must be in lower-case ASCII")
        site = as_instance(str, self.site, "site")
        if not site.isprintable():
            raise ConfigError("the site of an audience must be printable")
        if not 0 < len(host) <= 255 or not 0 < len(site) <= 255:
            raise ConfigError("host and site of an audience must have 1 to 255 characters")


class Sealer:
    """Seals and opens with the keys of a ring; may be shared among threads.

    Raises:
        ConfigError: The ring is not for sealing, or this build of the library cryptography has no
            AES-GCM-SIV. There is no other cipher to fall back to: machines that share keys must
            read each other's cookies.
    """

    def __init__(self, ring: KeyRing) -> None:
        if as_instance(KeyRing, ring, "ring").kind is not KeyKind.SEALING:
            raise ConfigError("the keys of the ring are not for sealing")
        self._ring = ring
        self._ciphers = _ciphers(ring)

    def __repr__(self) -> str:
        return f"<Sealer with {len(self._ciphers)} keys>"

    def seal(self, purpose: SealPurpose, audience: Audience, payload: bytes, now: float) -> str:
        """Seal a payload with the key that is current.

        Args:
            purpose: What it is.
            audience: Where it counts.
            payload: At most MAX_PAYLOAD_BYTES.
            now: Unix seconds; it chooses the key, and is not sealed.

        Returns:
            At most MAX_SEALED_CHARACTERS of base64url.

        Raises:
            LocalError: The payload is too large; who takes it from a client has to bound it.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise LocalError(f"{len(payload)} bytes are too many to be sealed")
        key_id = self._ring.current(now).key_id
        nonce = secrets.token_bytes(_SEALED_AT - _NONCE_AT)
        sealed = self._ciphers[key_id].encrypt(nonce, payload, _bound_to(purpose, audience))
        whole = base64.urlsafe_b64encode(_FORMAT_BYTE + key_id + nonce + sealed)
        return whole.rstrip(b"=").decode()

    def open(self, purpose: SealPurpose, audience: Audience, text: str) -> bytes:
        """Open what was sealed for this purpose and audience, with whatever key of the ring.

        Args:
            purpose: What it has to be.
            audience: Where it has to count.
            text: From a client.

        Raises:
            SessionError: It is malformed, of another format, sealed with a key that is not in the
                ring, or forged: changed, or sealed for another purpose, host or site.
        """
        sealed = _decoded(text)
        if sealed[:_KEY_AT] != _FORMAT_BYTE:
            raise SessionError(f"the {_name(purpose)} is of another format: {sealed[0]}")
        cipher = self._ciphers.get(sealed[_KEY_AT:_NONCE_AT])
        if cipher is None:
            raise SessionError(f"the {_name(purpose)} was sealed with an unknown key")
        bound_to = _bound_to(purpose, audience)
        try:
            return cipher.decrypt(sealed[_NONCE_AT:_SEALED_AT], sealed[_SEALED_AT:], bound_to)
        except InvalidTag:
            raise SessionError(
                f"the {_name(purpose)} is forged, or is of another purpose, host or site"
            ) from None


def _ciphers(ring: KeyRing) -> Mapping[bytes, AESGCMSIV]:
    try:
        return {key_id: AESGCMSIV(key.secret) for key_id, key in ring.by_id.items()}
    except UnsupportedAlgorithm:
        raise ConfigError(
            "the library cryptography was built without AES-GCM-SIV: "
            "install its wheel from PyPI, or build it with OpenSSL 3.2 or newer"
        ) from None


def _decoded(text: str) -> bytes:
    """Decode base64url; one text is one value."""
    length = len(text)
    if length > MAX_SEALED_CHARACTERS:
        raise SessionError(f"the sealed value is malformed: {length} characters are too many")
    try:
        encoded = text.encode("ascii")
        sealed = base64.urlsafe_b64decode(encoded + b"=" * (-length % 4))
    except (UnicodeEncodeError, binascii.Error):
        raise SessionError("the sealed value is malformed: it is not base64url") from None
    if len(sealed) < _SEALED_AT + _TAG:
        raise SessionError(f"the sealed value is malformed: {length} characters are too few")
    # The decoder skips what is no letter of its alphabet, takes "+" for "-", and leaves the last
    # bits alone.
    if base64.urlsafe_b64encode(sealed).rstrip(b"=") != encoded:
        raise SessionError("the sealed value is malformed: it is not written as we write it")
    return sealed


def _bound_to(purpose: SealPurpose, audience: Audience) -> bytes:
    """The additional data: each part with its length, so that no two lists of parts are equal."""
    kind = as_member(SealPurpose, purpose, "purpose").value.encode()
    host, site = audience.host.encode(), audience.site.encode()
    lengths = b"%d %d %d " % (len(kind), len(host), len(site))
    return b"".join((_FORMAT_BYTE, lengths, kind, host, site))


def _name(purpose: SealPurpose) -> str:
    return f"sealed {as_member(SealPurpose, purpose, 'purpose').value}"
