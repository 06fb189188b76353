"""One table of the tokens that a server of Kerberos refuses: how each is made, and what is told.

The tests drive every way in by it: the provider by itself, HTTP, streams and the calls of SSPI.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from initiators import NTLM_NEGOTIATE, fresh_token, newcomer, rewrapped

from authsrv.codecs.der.writer import build_frame
from authsrv.codecs.kerberos.messages import parse_ap_req
from authsrv.codecs.spnego import KERBEROS, NEGOEX, NTLM, build_neg_token_init, unwrap_spnego
from authsrv.devrealm import EncryptionType, Realm
from authsrv.errors import (
    AuthsrvError,
    ClockSkewError,
    EncryptionTypeError,
    InvalidTokenError,
    KeyVersionError,
    LogonDeniedError,
    MechanismError,
    ReplayError,
    TicketExpiredError,
    WrongServiceError,
)
from authsrv.providers.base import SecurityProvider
from authsrv.providers.gssapi import GssapiProvider
from authsrv.providers.pyspnego import PyspnegoProvider
from authsrv.providers.replay import MITReplayCache

__all__ = ["REFUSALS", "Attempt", "Ground", "Refusal"]

PATTERN = bytes(range(1, 256))
LOCALHOST = re.escape("HTTP/localhost@AUTHSRV.TEST")


@dataclass(frozen=True, slots=True)
class Ground:
    """What tokens and servers are made from: a realm, its keytab, and a folder for more."""

    realm: Realm
    keytab: Path
    folder: Path

    def service(self, name: str) -> str:
        """A service of the realm, which may be there already, as "class@host"."""
        if name not in _ADDED.setdefault(id(self.realm), set()):
            self.realm.add_service(name)
            _ADDED[id(self.realm)].add(name)
        return name.replace("/", "@")


_ADDED: dict[int, set[str]] = {}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A token, who refuses it, and what is told.

    Args:
        provider: The server's.
        token: What the client sends.
        detail: A pattern for the cause in words; it must match all of them.
        before: A token that is let in before.
        after: A token that is let in afterwards: the server goes on.
        line: What the line of the log holds besides.
    """

    provider: SecurityProvider
    token: bytes
    detail: str
    before: bytes | None = None
    after: bytes | None = None
    line: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row: the recipe, the error, and HTTP's answer."""

    make: Callable[[Ground], Attempt] = field(repr=False)
    error: type[AuthsrvError]
    status: int = 401


def _plain(token: bytes, detail: str) -> Callable[[Ground], Attempt]:
    return lambda ground: Attempt(GssapiProvider(ground.keytab), token, detail)


def _replayed(shell: str) -> Callable[[Ground], Attempt]:
    def make(ground: Ground) -> Attempt:
        token, provider = fresh_token(), GssapiProvider(ground.keytab)
        return Attempt(provider, rewrapped(token)[shell], "the token was used before", token)

    return make


def _replayed_to_mit(shell: str) -> Callable[[Ground], Attempt]:
    def make(ground: Ground) -> Attempt:
        token, provider = fresh_token(), GssapiProvider(ground.keytab, replay=MITReplayCache())
        words, native = "the ticket's authenticator was used before", 'native="GSS major 0x'
        return Attempt(provider, rewrapped(token)[shell], words, token, line=native)

    return make


def _for_another_service(ground: Ground) -> Attempt:
    token = fresh_token(ground.service("HTTP/strange.test"))
    words = f"the ticket is for HTTP/strange.test@AUTHSRV.TEST; the keytab has keys for {LOCALHOST}"
    return Attempt(GssapiProvider(ground.keytab), token, words, after=fresh_token())


def _for_a_service_that_is_not_accepted(ground: Ground) -> Attempt:
    strange = ground.service("HTTP/strange.test")
    names = ["HTTP/localhost", "HTTP/strange.test"]
    keytab = ground.realm.write_keytab(ground.folder / "both", names)
    words = "the ticket is for HTTP/strange.test@AUTHSRV.TEST; this service is HTTP/localhost"
    provider = GssapiProvider(keytab, service="HTTP/localhost")
    return Attempt(provider, fresh_token(strange), words, after=fresh_token())


def _of_another_key_version(ground: Ground) -> Attempt:
    name = ground.service("HTTP/rolled.test")
    keytab = ground.realm.write_keytab(ground.folder / "old", ["HTTP/rolled.test"])
    new = ground.realm.rotate_key("HTTP/rolled.test")
    words = (
        f"the ticket for HTTP/rolled.test@AUTHSRV.TEST has key version {new}; "
        rf"the keytab has (\d+, )*{new - 1}"
    )
    cache = ground.realm.login(newcomer(ground.realm))
    return Attempt(GssapiProvider(keytab), fresh_token(name, cache=cache), words)


def _of_an_encryption_type_without_a_key(ground: Ground) -> Attempt:
    keytab = ground.realm.write_keytab(
        ground.folder / "aes128", ["HTTP/localhost"], enctypes=[EncryptionType.AES128_SHA1]
    )
    words = (
        f"the ticket for {LOCALHOST} is encrypted with aes256-cts-hmac-sha1-96; "
        "the keytab has only aes128-cts-hmac-sha1-96"
    )
    return Attempt(GssapiProvider(keytab), fresh_token(), words)


def _expired(ground: Ground) -> Attempt:
    cache = ground.realm.expired_login(newcomer(ground.realm))
    words = r"the ticket expired 33\d\d s ago, at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    return Attempt(GssapiProvider(ground.keytab), fresh_token(cache=cache), words)


def _skewed(seconds: int, words: str) -> Callable[[Ground], Attempt]:
    def make(ground: Ground) -> Attempt:
        cache = ground.realm.skewed_login(newcomer(ground.realm), seconds)
        return Attempt(GssapiProvider(ground.keytab), fresh_token(cache=cache), words)

    return make


def _altered(part: str, words: str) -> Callable[[Ground], Attempt]:
    def make(ground: Ground) -> Attempt:
        token = fresh_token()
        cipher = getattr(parse_ap_req(unwrap_spnego(token)), part)
        altered = token.replace(cipher, bytes((cipher[0] ^ 1,)) + cipher[1:])
        return Attempt(GssapiProvider(ground.keytab), altered, words, after=token)

    return make


def _ntlm(provider: str, token: bytes) -> Callable[[Ground], Attempt]:
    words = "the client sent NTLM, which is off here: it has no Kerberos ticket for this service"

    def make(ground: Ground) -> Attempt:
        is_gssapi = provider == "gssapi"
        made = GssapiProvider(ground.keytab) if is_gssapi else PyspnegoProvider()
        return Attempt(made, token, words, line="token=NTLM,")

    return make


def _rows() -> Iterable[tuple[str, Refusal]]:
    for name, token, offered in (
        ("an unknown mechanism", build_neg_token_init(["1.2.3.4"], PATTERN), "OID 1.2.3.4"),
        (
            "two unknown mechanisms",
            build_neg_token_init(["1.2.3.4", NEGOEX], PATTERN),
            "OID 1.2.3.4, NegoEx",
        ),
        ("a frame of an unknown mechanism", build_frame("1.2.3.4", PATTERN), "OID 1.2.3.4"),
    ):
        words = f"the client offers {offered}; only Kerberos is accepted here"
        yield name, Refusal(_plain(token, words), MechanismError)
    for provider in ("gssapi", "pyspnego"):
        wrapped = build_neg_token_init([NTLM], NTLM_NEGOTIATE)
        for name, token in (("NTLM", NTLM_NEGOTIATE), ("NTLM in SPNEGO", wrapped)):
            yield f"{name}, {provider}", Refusal(_ntlm(provider, token), MechanismError)
    for shell in ("as sent", "raw", "MS-Kerberos first"):
        yield f"a replay, {shell}", Refusal(_replayed(shell), ReplayError)
        yield f"a replay, {shell}, MIT's", Refusal(_replayed_to_mit(shell), ReplayError)
    yield "another service", Refusal(_for_another_service, WrongServiceError)
    yield "a service not accepted", Refusal(_for_a_service_that_is_not_accepted, WrongServiceError)
    yield "another key version", Refusal(_of_another_key_version, KeyVersionError)
    yield "no key of its type", Refusal(_of_an_encryption_type_without_a_key, EncryptionTypeError)
    yield "an expired ticket", Refusal(_expired, TicketExpiredError)
    ahead, behind = r"the client's clock is 4(19|2\d) s ahead of ours", "4(19|2\\d) s behind ours"
    yield "a clock ahead", Refusal(_skewed(420, ahead), ClockSkewError)
    yield (
        "a clock behind",
        Refusal(_skewed(-420, f"the client's clock is {behind}"), ClockSkewError),
    )
    ticket = f"the ticket for {LOCALHOST} was altered, or the keytab's key .*"
    yield "an altered ticket", Refusal(_altered("ticket_cipher", ticket), LogonDeniedError)
    yield (
        "an altered authenticator",
        Refusal(
            _altered("authenticator_cipher", "the ticket's authenticator was altered"),
            LogonDeniedError,
        ),
    )
    for name, token in (
        ("any bytes", PATTERN),
        ("a frame cut off", b"\x60\x82\xff\xff" + PATTERN),
        ("no AP-REQ", build_frame(KERBEROS, b"\x01\x00" + PATTERN)),
        ("no token in SPNEGO", build_neg_token_init([KERBEROS], PATTERN)),
        (
            "no AP-REQ in SPNEGO",
            build_neg_token_init([KERBEROS], build_frame(KERBEROS, b"\x01\x00" + PATTERN)),
        ),
        ("no AP-REP", build_frame(KERBEROS, b"\x02\x00" + PATTERN)),
    ):
        words = "the (Kerberos )?token .*"
        yield f"garbage: {name}", Refusal(_plain(token, words), InvalidTokenError)


REFUSALS: dict[str, Refusal] = dict(_rows())
