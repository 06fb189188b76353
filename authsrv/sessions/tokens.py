"""Signed tokens (JWT, RFC 7519) that tell an application who the client is, and the key set.

ES256 is the only algorithm. An application verifies with the published key set and has to demand:
the algorithm ES256, the type "authsrv+jwt", our URL as issuer, and its own host as audience.

Each site has keys of its own, all made of one ring: what is signed for one site does not verify
with the key set of another.

joserfc takes some 40 ms to load, so it is loaded with the first signer.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from authsrv.core.settings import as_instance
from authsrv.errors import ConfigError
from authsrv.sessions.keyring import KeyKind, KeyRing, RingKey

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

__all__ = ["TOKEN_ALGORITHM", "TOKEN_SECONDS", "TOKEN_TYPE", "TokenClaims", "TokenSigner"]

TOKEN_ALGORITHM: Final = "ES256"  # noqa: S105
"""The algorithm of every token."""

TOKEN_TYPE: Final = "authsrv+jwt"  # noqa: S105
"""The `typ` of every token, so that none is taken for a JWT of another kind (RFC 8725 3.11)."""

TOKEN_SECONDS: Final = 300
"""How long a token is good for."""

# The order of the group of P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# 128 bits more than the order has: no scalar is likelier than another (FIPS 186-5 A.2.1).
_SEED_BYTES = 48


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token says of the client.

    Args:
        host: The host that the client asked for: the audience.
        principal: The authenticated name: the subject.
        groups: The client's groups; a list without any is told as an empty one.
        truncated: Whether groups are missing, which the token tells.
        name: The client's name as people write it; None where it is unknown, and not told then.
        mail: The client's mail address; None likewise.
        sid: The session; None where there is none, and not told then.
    """

    host: str
    principal: str
    groups: tuple[str, ...] = ()
    truncated: bool = False
    name: str | None = None
    mail: str | None = None
    sid: str | None = None


class TokenSigner:
    """Signs the tokens of a site.

    Args:
        ring: Keys for signing.
        issuer: The service's own URL.
        site: The name of the site.

    Raises:
        ConfigError: The ring is not for signing, or issuer or site is empty.
    """

    def __init__(self, ring: KeyRing, *, issuer: str, site: str) -> None:
        if as_instance(KeyRing, ring, "ring").kind is not KeyKind.SIGNING:
            raise ConfigError("the keys of the ring are not for signing")
        if not as_instance(str, issuer, "issuer") or not as_instance(str, site, "site"):
            raise ConfigError("the issuer and the site of tokens must not be empty")
        self._ring = ring
        self._issuer = issuer
        self._keys = {key.key_id: _key_of(key, site) for key in ring.keys}

    def sign(self, claims: TokenClaims, now: float) -> str:
        """Make a token that is good from now on, for `TOKEN_SECONDS`.

        Args:
            claims: What it says.
            now: Unix seconds.
        """
        from joserfc import jwt

        key = self._keys[self._ring.current(now).key_id]
        header = {"alg": TOKEN_ALGORITHM, "typ": TOKEN_TYPE, "kid": key.kid}
        told = _told(claims)
        issued_at = int(now)
        told |= {
            "iss": self._issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": issued_at,
            "exp": issued_at + TOKEN_SECONDS,
        }
        return jwt.encode(header, told, key, algorithms=[TOKEN_ALGORITHM], default_type=None)

    def key_set(self) -> dict[str, Any]:
        """The public keys as a JWK set (RFC 7517 section 5), the newest first.

        A key is in it before it signs, and as long as the ring has it; so who keeps the set for a
        while verifies the tokens of the next key, too.
        """
        return {"keys": [key.as_dict(private=False) for key in self._keys.values()]}


def _told(claims: TokenClaims) -> dict[str, Any]:
    told: dict[str, Any] = {
        "aud": claims.host,
        "sub": claims.principal,
        "groups": list(claims.groups),
    }
    if claims.truncated:
        told["truncated"] = True
    known = {"name": claims.name, "email": claims.mail, "sid": claims.sid}
    return told | {name: value for name, value in known.items() if value is not None}


def _key_of(key: RingKey, site: str) -> ECKey:
    from joserfc.jwk import ECKey

    info = b"authsrv ES256 key of site\0" + site.encode()
    seed = HKDF(SHA256(), _SEED_BYTES, salt=None, info=info).derive(key.secret)
    scalar = int.from_bytes(seed) % (_ORDER - 1) + 1
    private = ec.derive_private_key(scalar, ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = ECKey.import_key(pem, {"use": "sig", "alg": TOKEN_ALGORITHM})
    made.ensure_kid()  # the thumbprint of RFC 7638
    return made
