"""Tokens as an application meets them: verified by PyJWT from the published key set alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from logged_in import NOW, ring

from authsrv.errors import ConfigError
from authsrv.sessions.keyring import KeyKind, KeyRing, RingKey
from authsrv.sessions.tokens import TOKEN_SECONDS, TOKEN_TYPE, TokenClaims, TokenSigner

ISSUER = "https://login.example.org"
HOST = "wiki.example.org"
KEYS = ring(b"\1", b"\2", kind=KeyKind.SIGNING)
ALICE = TokenClaims(HOST, "alice@EXAMPLE.ORG", ("staff", "Köche"), sid="0123456789abcdefghijkA")


def signer(keys: KeyRing = KEYS, **changes: str) -> TokenSigner:
    return TokenSigner(keys, **{"issuer": ISSUER, "site": "wiki"} | changes)


SIGNER = signer()
TOKEN = SIGNER.sign(ALICE, NOW)


def verified(
    token: str, *, key_set: dict[str, Any] | None = None, audience: str = HOST, now: float = NOW
) -> dict[str, Any]:
    """What an application does with PyJWT; the times are checked against NOW by hand."""
    keys = jwt.PyJWKSet.from_dict(key_set or SIGNER.key_set())
    header = jwt.get_unverified_header(token)
    if header.get("typ") != TOKEN_TYPE:
        raise jwt.InvalidTokenError("another type")
    claims: dict[str, Any] = jwt.decode(
        token,
        keys[header.get("kid")],
        algorithms=["ES256"],
        audience=audience,
        issuer=ISSUER,
        options={
            "require": ["iss", "aud", "sub", "exp", "iat", "jti"],
            "verify_exp": False,
            "verify_iat": False,
        },
    )
    if not claims["iat"] <= now < claims["exp"]:
        raise jwt.ExpiredSignatureError("over")
    return claims


def part(content: dict[str, Any] | bytes) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def header_of(token: str) -> dict[str, Any]:
    return jwt.get_unverified_header(token)


def with_header(**changes: Any) -> str:
    """The token with another header and the signature of before."""
    _, claims, signature = TOKEN.split(".")
    return ".".join((part(header_of(TOKEN) | changes), claims, signature))


class TestTokens:
    def test_an_application_reads_who_the_client_is(self) -> None:
        claims = verified(TOKEN)
        assert claims.pop("jti")
        assert claims == {
            "iss": ISSUER,
            "aud": HOST,
            "sub": "alice@EXAMPLE.ORG",
            "groups": ["staff", "Köche"],
            "sid": "0123456789abcdefghijkA",
            "iat": NOW,
            "exp": NOW + 300,
        }

    def test_another_library_reads_the_same(self) -> None:
        keys: Any = KeySet.import_key_set(SIGNER.key_set())  # type: ignore[arg-type]
        token = joserfc_jwt.decode(TOKEN, keys, algorithms=["ES256"])
        assert token.claims == verified(TOKEN)

    def test_what_is_known_is_told_and_what_is_not_is_left_out(self) -> None:
        whole = TokenClaims(HOST, "alice", (), True, "Alice Ä", "alice@example.org")
        claims = verified(SIGNER.sign(whole, NOW + 0.9))
        assert claims["groups"] == []
        assert claims["truncated"] is True
        assert (claims["name"], claims["email"]) == ("Alice Ä", "alice@example.org")
        assert "sid" not in claims
        assert not {"truncated", "name", "email"} & verified(TOKEN).keys()

    def test_its_header_is_exact(self) -> None:
        kid = SIGNER.key_set()["keys"][0]["kid"]
        assert header_of(TOKEN) == {"alg": "ES256", "typ": "authsrv+jwt", "kid": kid}

    def test_each_has_an_id_of_its_own(self) -> None:
        assert len({verified(SIGNER.sign(ALICE, NOW))["jti"] for _ in range(20)}) == 20

    def test_it_is_over_after_five_minutes(self) -> None:
        assert verified(TOKEN, now=NOW + TOKEN_SECONDS - 1)
        with pytest.raises(jwt.ExpiredSignatureError):
            verified(TOKEN, now=NOW + TOKEN_SECONDS)


class TestKeySet:
    def test_it_holds_public_keys_only(self) -> None:
        published = SIGNER.key_set()
        assert published.keys() == {"keys"}
        assert len(published["keys"]) == 2
        for key in published["keys"]:
            assert key.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
            assert (key["kty"], key["crv"], key["use"], key["alg"]) == (
                "EC",
                "P-256",
                "sig",
                "ES256",
            )

    def test_the_same_ring_makes_the_same_keys_everywhere(self) -> None:
        assert signer().key_set() == SIGNER.key_set()

    def test_it_overlaps_before_and_after_a_rotation(self) -> None:
        rotated = KEYS.rotated(NOW, delay_seconds=300, keep_seconds=3_600)
        after = signer(rotated)
        # Whoever kept the old set verifies until the new key is used, and the new set tells both.
        assert verified(after.sign(ALICE, NOW + 299), now=NOW + 299)
        assert verified(TOKEN, key_set=after.key_set())
        by_new = after.sign(ALICE, NOW + 300)
        assert verified(by_new, key_set=after.key_set(), now=NOW + 300)
        with pytest.raises(KeyError):
            verified(by_new, now=NOW + 300)

    def test_a_key_that_was_taken_out_verifies_nothing(self) -> None:
        only_new = KeyRing(KeyKind.SIGNING, (RingKey(b"\3" * 32, NOW),))
        with pytest.raises(KeyError):
            verified(TOKEN, key_set=signer(only_new).key_set())


class TestAttacks:
    def test_without_an_algorithm(self) -> None:
        _, claims, signature = TOKEN.split(".")
        for alg in ("none", "None", "NONE"):
            header = part(header_of(TOKEN) | {"alg": alg})
            for forged in (f"{header}.{claims}.", f"{header}.{claims}.{signature}"):
                with pytest.raises(jwt.InvalidTokenError):
                    verified(forged)

    @pytest.mark.parametrize("form", ["x and y", "PEM", "JWK"])
    def test_hs256_with_the_public_key_as_the_secret(self, form: str) -> None:
        key = SIGNER.key_set()["keys"][0]
        x, y = (base64.urlsafe_b64decode(key[name] + "=") for name in "xy")
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + x + y)
        secret = {
            "x and y": x + y,
            "PEM": point.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "JWK": json.dumps(key).encode(),
        }[form]
        signed = part(header_of(TOKEN) | {"alg": "HS256"}) + "." + TOKEN.split(".")[1]
        digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        with pytest.raises(jwt.InvalidTokenError):
            verified(f"{signed}.{part(digest)}")

    @pytest.mark.parametrize("place", ["jku", "jwk", "x5u"])
    def test_a_key_that_the_token_itself_brings(self, place: str) -> None:
        mine = ec.generate_private_key(ec.SECP256R1())
        brought: Any = "https://evil.test/keys"
        if place == "jwk":
            brought = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(mine.public_key()))
        headers = header_of(TOKEN) | {place: brought}
        claims = verified(TOKEN) | {"sub": "admin@EXAMPLE.ORG"}
        forged = jwt.encode(claims, mine, algorithm="ES256", headers=headers)
        with pytest.raises(jwt.InvalidSignatureError):
            verified(forged)
        with pytest.raises(jwt.InvalidSignatureError):
            verified(with_header(**{place: brought}))

    def test_at_another_application(self) -> None:
        with pytest.raises(jwt.InvalidAudienceError):
            verified(TOKEN, audience="blog.example.org")

    def test_at_another_site_even_where_the_audience_is_not_checked(self) -> None:
        others = signer(site="blog").key_set()
        assert not {key["kid"] for key in others["keys"]} & {
            key["kid"] for key in SIGNER.key_set()["keys"]
        }
        with pytest.raises(KeyError):
            verified(TOKEN, key_set=others)

    def test_of_another_issuer(self) -> None:
        with pytest.raises(jwt.InvalidIssuerError):
            verified(signer(issuer="https://other.example.org").sign(ALICE, NOW))

    @pytest.mark.parametrize("kid", ["", "0", "../key", None])
    def test_an_unknown_key_id(self, kid: str | None) -> None:
        with pytest.raises((KeyError, jwt.InvalidTokenError)):
            verified(with_header(kid=kid))

    def test_a_key_id_of_another_key_of_ours(self) -> None:
        with pytest.raises(jwt.InvalidSignatureError):
            verified(with_header(kid=SIGNER.key_set()["keys"][1]["kid"]))

    @pytest.mark.parametrize("kind", ["JWT", "at+jwt", "AUTHSRV+JWT"])
    def test_another_type(self, kind: str) -> None:
        with pytest.raises(jwt.InvalidTokenError):
            verified(with_header(typ=kind))

    def test_changed_claims(self) -> None:
        header, _, signature = TOKEN.split(".")
        claims = part(verified(TOKEN) | {"groups": ["admins"]})
        with pytest.raises(jwt.InvalidSignatureError):
            verified(f"{header}.{claims}.{signature}")


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"ring": ring(b"\1")}, "not for signing"),
        ({"ring": None}, "ring"),
        ({"issuer": ""}, "issuer"),
        ({"site": ""}, "site"),
        ({"site": None}, "site"),
    ],
)
def test_settings_that_make_no_tokens_are_refused(given: Any, setting: str) -> None:
    settings: Any = {"ring": KEYS, "issuer": ISSUER, "site": "wiki"} | given
    with pytest.raises(ConfigError, match=setting):
        TokenSigner(**settings)


def test_the_library_of_tokens_is_loaded_by_nothing_else_of_sessions() -> None:
    code = (
        "import sys, authsrv.sessions.sealed, authsrv.sessions.keyring;"
        "print([name for name in sys.modules if name.startswith('joserfc')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
