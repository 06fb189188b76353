"""How a token that a server of Kerberos refuses is made, and what is told of it."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gssapi.raw as gss
import pytest
from answers import accept, identity_of
from initiators import (
    INTEGRITY,
    KERBEROS_MECH,
    SPNEGO_MECH,
    fresh_token,
    newcomer,
    rewrapped,
)
from tickets import Edit, edited, flagged_invalid, with_authenticator, with_content

from authsrv.codecs.kerberos.messages import parse_ap_req
from authsrv.codecs.spnego import unwrap_spnego
from authsrv.devrealm import EncryptionType, Realm
from authsrv.providers.base import SecurityProvider
from authsrv.providers.gssapi import GssapiProvider
from authsrv.providers.pyspnego import PyspnegoProvider
from authsrv.providers.replay import MITReplayCache

__all__ = [
    "CACHES",
    "CLIENTS",
    "LOCALHOST",
    "PATTERN",
    "Attempt",
    "Ground",
    "Recipe",
    "altered",
    "edited_inside",
    "expired",
    "for_a_service_that_is_not_accepted",
    "for_an_alias",
    "for_another_service",
    "not_permitted",
    "not_valid_yet",
    "ntlm",
    "of_an_encryption_type_without_a_key",
    "of_another_key_version",
    "over_an_untrusted_path",
    "plain",
    "replayed",
    "replayed_with_options",
    "skewed",
    "with_the_wrong_key",
    "with_unknown_authenticator",
    "written_in_the_authenticator",
]

PATTERN = bytes(range(1, 256))
LOCALHOST = "HTTP/localhost@AUTHSRV.TEST"
REPLAYED = "the ticket's authenticator was used before"
NATIVE = r'native="GSS major 0x[1-9a-f]\w*, minor 0x\w+"'

# MIT tells us nothing of its refusal where the client asked for no answer: no KRB-ERROR.
CLIENTS: Mapping[str, Mapping[str, Any]] = {
    "SPNEGO": {},
    "raw": {"mechanism": KERBEROS_MECH},
    "SPNEGO, not mutual": {"flags": [INTEGRITY]},
    "raw, not mutual": {"mechanism": KERBEROS_MECH, "flags": [INTEGRITY]},
}
"""The kinds of clients, by what `fresh_token` takes."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What tokens and servers are made from.

    Args:
        realm: The realm that everybody shares.
        keytab: Its keytab.
        folder: A folder for more.
        monkeypatch: What it changes lasts for the test.
        chain: Makes three realms, each of which trusts the one before.
    """

    realm: Realm
    keytab: Path
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    chain: Callable[[], tuple[Realm, Realm, Realm]]

    @property
    def provider(self) -> GssapiProvider:
        return GssapiProvider(self.keytab)

    def new_service(self) -> str:
        """A service that no other test has met."""
        name = f"HTTP/{newcomer(self.realm)}.test"
        self.realm.add_service(name)
        return name

    def write_keytab(self, *services: str, **settings: Any) -> Path:
        return self.realm.write_keytab(self.folder / "keytab", services, **settings)

    def configure(self, text: str) -> None:
        """Let libkrb5 read one more file before that of the realm."""
        extra = self.folder / "extra.conf"
        extra.write_text(text)
        self.monkeypatch.setenv("KRB5_CONFIG", f"{extra}:{os.environ['KRB5_CONFIG']}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A token, who refuses it, and what is told.

    Args:
        provider: The server's.
        token: What the client sends.
        detail: A pattern for the cause in words; it must match all of them.
        before: A token that is let in before.
        after: A token that is let in afterwards: the server goes on.
        line: A pattern for what the line of the log holds besides.
        times: How often it is refused so, one time after the other.
        check: Whether the numbers that the pattern found are right.
    """

    provider: SecurityProvider
    token: bytes
    detail: str
    before: bytes | None = None
    after: bytes | None = None
    line: str = ""
    times: int = 1
    check: Callable[[re.Match[str]], bool] = bool


Recipe = Callable[[Ground], Attempt]


def plain(token: bytes, detail: str) -> Recipe:
    return lambda ground: Attempt(ground.provider, token, re.escape(detail))


def ntlm(provider: str, token: bytes) -> Recipe:
    words = "the client sent NTLM, which is off here: it has no Kerberos ticket for this service"

    def make(ground: Ground) -> Attempt:
        made = ground.provider if provider == "gssapi" else PyspnegoProvider()
        return Attempt(made, token, words, line="token=NTLM,")

    return make


# Where it is remembered what was used, what is told of a replay, and by what the log shows it.
CACHES: Mapping[str, tuple[Callable[[], MITReplayCache | None], str, str]] = {
    "this machine's store": (lambda: None, "the token was used before", ""),
    "MIT's cache": (MITReplayCache, REPLAYED, NATIVE),
}
"""The kinds of replay protection that a server shares with others."""


def _again(ground: Ground, cache: str, first: bytes, second: bytes) -> Attempt:
    make, detail, line = CACHES[cache]
    provider = GssapiProvider(ground.keytab, replay=make())
    return Attempt(provider, second, detail, first, line=line, times=2)


def replayed(shell: str, client: Mapping[str, Any], cache: str) -> Recipe:
    """A token for the second time, in one of the shells of `rewrapped`."""

    def make(ground: Ground) -> Attempt:
        token = fresh_token(**client)
        return _again(ground, cache, token, rewrapped(token)[shell])

    return make


def replayed_with_options(options: str, cache: str) -> Recipe:
    """Found by mutation: odd bits and octets, and nothing that asks for an answer."""

    def make(ground: Ground) -> Attempt:
        token = fresh_token(flags=[INTEGRITY])
        # RFC 4120 section 5.5.1: a BIT STRING whose first octet counts bits that are unused.
        return _again(ground, cache, token, with_content(token, bytes(5), bytes.fromhex(options)))

    return make


def for_another_service(ground: Ground) -> Attempt:
    service = ground.new_service()
    words = f"the ticket is for {service}@AUTHSRV.TEST; the keytab has keys for {LOCALHOST}"
    token = fresh_token(service.replace("/", "@"))
    # One keytab, and the key of no other service of the realm.
    provider = GssapiProvider(ground.write_keytab("HTTP/localhost"))
    return Attempt(provider, token, re.escape(words), after=fresh_token(), line=NATIVE)


def for_a_service_that_is_not_accepted(ground: Ground) -> Attempt:
    service = ground.new_service()
    words = f"the ticket is for {service}@AUTHSRV.TEST; this service is HTTP/localhost"
    keytab = ground.write_keytab("HTTP/localhost", service)
    provider = GssapiProvider(keytab, service="HTTP/localhost")
    token = fresh_token(service.replace("/", "@"))
    return Attempt(provider, token, re.escape(words), after=fresh_token())


def of_another_key_version(ground: Ground) -> Attempt:
    service = ground.new_service()
    keytab = ground.write_keytab(service)
    new = ground.realm.rotate_key(service)
    words = f"the ticket for {service}@AUTHSRV.TEST has key version {new}; the keytab has {new - 1}"
    return Attempt(GssapiProvider(keytab), fresh_token(service.replace("/", "@")), re.escape(words))


def of_an_encryption_type_without_a_key(ground: Ground) -> Attempt:
    keytab = ground.write_keytab("HTTP/localhost", enctypes=[EncryptionType.AES128_SHA1])
    words = (
        f"the ticket for {LOCALHOST} is encrypted with aes256-cts-hmac-sha1-96; "
        "the keytab has only aes128-cts-hmac-sha1-96"
    )
    return Attempt(GssapiProvider(keytab), fresh_token(), re.escape(words))


def not_permitted(client: Mapping[str, Any]) -> Recipe:
    """A ticket with a key of RC4, where krb5.conf wants no such keys any more."""

    def make(ground: Ground) -> Attempt:
        service = ground.new_service()
        ground.realm.rotate_key(service, enctypes=[EncryptionType("arcfour-hmac")])
        provider = GssapiProvider(ground.write_keytab(service))
        tokens = [fresh_token(service.replace("/", "@"), **client) for _ in range(2)]
        identity_of(accept(provider, tokens[0]))
        ground.configure("[libdefaults]\n permitted_enctypes = aes256-cts\n")
        words = (
            "krb5.conf (permitted_enctypes, allow_rc4) does not permit rc4-hmac, "
            "which the request needs"
        )
        return Attempt(provider, tokens[1], re.escape(words))

    return make


def _not_ours(kvno: int) -> str:
    return re.escape(
        f"the ticket for {LOCALHOST} was altered, "
        f"or the keytab's key (version {kvno}) is not the KDC's"
    )


def with_the_wrong_key(ground: Ground) -> Attempt:
    """The keytab has a key of the right version and type, and it is another one."""
    path = ground.write_keytab("HTTP/localhost")
    content = path.read_bytes()
    entries = GssapiProvider(path).keytab.snapshot().entries
    # In each record the key is followed by the long version number.
    for entry in entries:
        size = {17: 16, 18: 32}[entry.enctype]
        at = content.index(entry.enctype.to_bytes(2) + size.to_bytes(2)) + 4
        content = content[:at] + bytes(size) + content[at + size :]
    path.write_bytes(content)
    return Attempt(GssapiProvider(path), fresh_token(), _not_ours(entries[0].kvno))


def altered(part: str, at: int, client: Mapping[str, Any]) -> Recipe:
    """A byte of a ciphertext is another one."""

    def make(ground: Ground) -> Attempt:
        token = fresh_token(**client)
        request = parse_ap_req(unwrap_spnego(token))
        cipher = bytearray(getattr(request, part))
        cipher[at] ^= 1
        other = token.replace(getattr(request, part), cipher)
        assert request.ticket_kvno is not None
        words = {
            "ticket_cipher": _not_ours(request.ticket_kvno),
            "authenticator_cipher": "the ticket's authenticator was altered",
        }
        return Attempt(ground.provider, other, words[part], after=token)

    return make


def with_unknown_authenticator(ground: Ground) -> Attempt:
    """Its encryption type is another one, which is not the server's fault."""
    token = fresh_token(mechanism=KERBEROS_MECH)
    request = parse_ap_req(token)
    at = token.index(request.authenticator_cipher)
    kind = token.rindex(request.authenticator_enctype.to_bytes(1), 0, at)
    other = token[:kind] + b"\x13" + token[kind + 1 :]
    return Attempt(ground.provider, other, "the ticket's authenticator was altered", after=token)


def _told_at(instant: str) -> float:
    """How many seconds ago a time that is told is."""
    ago = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(instant)
    return ago.total_seconds()


def expired(client: Mapping[str, Any]) -> Recipe:
    def make(ground: Ground) -> Attempt:
        cache = ground.realm.expired_login(newcomer(ground.realm))
        token = fresh_token(cache=cache, **client)
        return Attempt(
            ground.provider, token, r"the ticket expired (\d+) s ago, at (\S+Z)", check=right
        )

    def right(found: re.Match[str]) -> bool:
        # An hour behind, and five minutes long.
        return abs(int(found[1]) - 3300) < 60 and abs(_told_at(found[2]) - int(found[1])) < 60

    return make


def not_valid_yet(ground: Ground) -> Attempt:
    cache = ground.realm.premature_login(newcomer(ground.realm))
    return Attempt(
        ground.provider,
        fresh_token(cache=cache),
        r"the ticket is not valid before (\S+Z)",
        check=lambda found: abs(_told_at(found[1]) + 3600) < 60,
    )


def skewed(seconds: int, client: Mapping[str, Any]) -> Recipe:
    direction = "ahead of" if seconds > 0 else "behind"

    def make(ground: Ground) -> Attempt:
        cache = ground.realm.skewed_login(newcomer(ground.realm), seconds)
        return Attempt(
            ground.provider,
            fresh_token(cache=cache, **client),
            rf"the client's clock is (\d+) s {direction} ours",
            check=lambda found: abs(int(found[1]) - abs(seconds)) < 10,
        )

    return make


def edited_inside(edit: Edit, detail: str, client: Mapping[str, Any]) -> Recipe:
    """A ticket that says something else, with the service's own key."""

    def make(ground: Ground) -> Attempt:
        snapshot = ground.provider.keytab.snapshot()
        token = edited(fresh_token(**client), snapshot, edit)
        return Attempt(ground.provider, token, re.escape(detail))

    return make


def written_in_the_authenticator(edit: Edit, detail: str, client: Mapping[str, Any]) -> Recipe:
    """What whoever has a ticket can do; the detail is a pattern."""

    def make(ground: Ground) -> Attempt:
        snapshot = ground.provider.keytab.snapshot()
        token = with_authenticator(fresh_token(**client), snapshot, edit)
        return Attempt(ground.provider, token, detail)

    return make


def for_an_alias(detail: str, client: Mapping[str, Any]) -> Recipe:
    """The keytab has the key by another name, as one of Active Directory may."""

    def make(ground: Ground) -> Attempt:
        good, wrong = (fresh_token(**client).replace(b"localhost", b"localhoax") for _ in range(2))
        token = edited(wrong, ground.provider.keytab.snapshot(), flagged_invalid)
        return Attempt(ground.provider, token, re.escape(detail), good)

    return make


def over_an_untrusted_path(client: Mapping[str, Any]) -> Recipe:
    """A user of the first realm asks for the last one's service, by way of the second."""
    words = (
        "the path of realms from alice@A.TEST to C.TEST is not trusted: "
        "capaths in krb5.conf say which are"
    )

    def make(ground: Ground) -> Attempt:
        chain = ground.chain()
        for name, value in chain[0].environment("alice").items():
            ground.monkeypatch.setenv(name, value)
        tokens = [_crossing(chain, client) for _ in range(2)]
        provider = GssapiProvider(chain[2].keytab)
        # The acceptor is in the last realm.
        own = str(chain[2].keytab.with_name("krb5.conf"))
        ground.monkeypatch.setenv("KRB5_CONFIG", own)
        ground.configure("[capaths]\n A.TEST = {\n  C.TEST = B.TEST\n }\n")
        assert identity_of(accept(provider, tokens[0])).principal == "alice@A.TEST"
        ground.monkeypatch.setenv("KRB5_CONFIG", own)
        return Attempt(provider, tokens[1], re.escape(words))

    return make


def _crossing(realms: tuple[Realm, Realm, Realm], client: Mapping[str, Any]) -> bytes:
    a, b, c = realms
    kdcs = "".join(
        f" {realm.name} = {{\n  kdc = 127.0.0.1:{realm._running.port}\n }}\n" for realm in (b, c)
    )
    a.configure(f"[realms]\n{kdcs}[capaths]\n A.TEST = {{\n  C.TEST = B.TEST\n }}\n")
    name = gss.import_name(b"HTTP/localhost@C.TEST", gss.NameType.kerberos_principal)
    store = {b"ccache": f"FILE:{a.login('alice')}".encode()}
    mechs = [KERBEROS_MECH, SPNEGO_MECH]
    credential = gss.acquire_cred_from(store, None, mechs=mechs, usage="initiate").creds
    settings = {"mech": SPNEGO_MECH, "flags": client.get("flags")}
    token = gss.init_sec_context(name, credential, **settings).token
    assert token is not None
    return token
