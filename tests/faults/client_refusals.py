"""The other table of refusals: why a client of Kerberos has no token, or trusts no answer.

The tests drive every way out by it: the initiator by itself, streams and HTTP, each with and
without SPNEGO. What a server is told has a table of its own: `refusals`.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from answers import accept, token_of
from client_strategies import Answer
from initiators import newcomer
from recipes import Ground

from authsrv.codecs.spnego import NTLM, NegState, build_neg_token_resp
from authsrv.core.credentials import ClientCredential, ClientKeytab, TicketCache
from authsrv.core.results import Refused
from authsrv.errors import (
    AuthorityError,
    AuthsrvError,
    ClockSkewError,
    ConfigError,
    KeyVersionError,
    LogonDeniedError,
    MechanismError,
    MutualAuthenticationError,
    NoCredentialError,
    ReplayError,
    TargetUnknownError,
    TicketExpiredError,
)
from authsrv.providers.base import InitiatorRequest
from authsrv.providers.gssapi import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism
from authsrv.providers.replay import MITReplayCache

__all__ = ["CLIENT_REFUSALS", "ClientRefusal", "Meeting"]

HERE = "HTTP/localhost"


@dataclass(frozen=True, slots=True)
class Meeting:
    """A client, the service that it wants to talk to, and what it tells.

    Args:
        detail: A pattern for the cause in words; it must match all of them.
        credential: What the client authenticates with; None for what the environment holds.
        target: The service.
        answer: What the service answers to the first token; None where there is no such token.
        mend: Brings it about that the same client has a token afterwards.
    """

    detail: str
    credential: ClientCredential | None = None
    target: str = HERE
    answer: Answer | None = None
    mend: Callable[[], None] | None = None


Recipe = Callable[[Ground, InitiatorMechanism], Meeting]


@dataclass(frozen=True, slots=True)
class ClientRefusal:
    """A row: the recipe and the error."""

    make: Recipe = field(repr=False)
    error: type[AuthsrvError]


# No first token.


def _nobody(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    for name, value in ground.realm.environment().items():
        ground.monkeypatch.setenv(name, value)
    ground.monkeypatch.setenv("KRB5CCNAME", "FILE:/nowhere/cache")
    return Meeting("there is no ticket in the environment's credential cache")


def _nobody_by_name(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    return Meeting("there is no ticket in the credential cache /nowhere", TicketCache("/nowhere"))


def _expired(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    # Its clock is right, and its ticket an hour old.
    cache = ground.realm.expired_login(newcomer(ground.realm))
    ground.realm.set_clock_skew(cache, 0)
    words = re.escape(f"the ticket in the credential cache {cache} has expired")
    return Meeting(words, TicketCache(cache), ground.new_service())


def _unknown_service(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    """MIT would quote the realm that it made up for the host."""
    return Meeting("the KDC knows no service HTTP/nobody.test", target="HTTP/nobody.test")


def _configured(ground: Ground, text: str) -> Callable[[], None]:
    """Give Kerberos another configuration; the result takes it back."""
    path = ground.folder / "krb5.conf"
    path.write_text(text)
    before = ground.realm.environment()["KRB5_CONFIG"]
    ground.monkeypatch.setenv("KRB5_CONFIG", str(path))
    return lambda: ground.monkeypatch.setenv("KRB5_CONFIG", before)


def _without_kdc(ground: Ground) -> str:
    """The realm's configuration, with a KDC that does not listen."""
    text = Path(ground.realm.environment()["KRB5_CONFIG"].split(":")[0]).read_text()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    changed, count = re.subn(r"kdc = 127\.0\.0\.1:\d+", f"kdc = 127.0.0.1:{port}", text)
    assert count == 1
    return changed


def _no_answer(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    mend = _configured(ground, _without_kdc(ground))
    return Meeting("no KDC of the realm answers", mend=mend)


def _no_answer_to_a_login(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    mend = _configured(ground, _without_kdc(ground))
    credential = ClientKeytab(ground.keytab, HERE)
    return Meeting("no KDC of the realm answers", credential, mend=mend)


def _no_kdc_known(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    text = "[libdefaults]\n default_realm = AUTHSRV.TEST\n dns_lookup_kdc = false\n"
    return Meeting("no KDC is known for the realm", mend=_configured(ground, text))


def _wrong_clock(seconds: int) -> Recipe:
    def make(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
        cache = ground.realm.login(newcomer(ground.realm))
        ground.realm.set_clock_skew(cache, seconds)
        words = "our clock differs from the KDC's by more than is allowed"
        return Meeting(words, TicketCache(cache))

    return make


def _absent_keytab(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    words = f"there is no ticket in the keytab /nowhere for {HERE}"
    return Meeting(words, ClientKeytab("/nowhere", HERE))


def _keytab_of_others(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    words = f"there is no ticket in the keytab {ground.keytab} for HTTP/other.test"
    return Meeting(re.escape(words), ClientKeytab(ground.keytab, "HTTP/other.test"))


def _no_kerberos_name(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    words = f"the principal of the keytab {ground.keytab} for a@B@C is no Kerberos name"
    return Meeting(re.escape(words), ClientKeytab(ground.keytab, "a@B@C"))


def _old_key(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    service = ground.new_service()
    keytab = ground.write_keytab(service)
    ground.realm.rotate_key(service)
    words = f"the KDC does not take the key of the keytab {keytab} for {service}"
    return Meeting(re.escape(words), ClientKeytab(keytab, service))


def _damaged_cache(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    cache = ground.folder / "cache"
    cache.write_bytes(b"\x05\x04 no cache")
    return Meeting(re.escape(f"the credential cache {cache} is damaged"), TicketCache(cache))


def _cache_of_no_type(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    words = "the credential cache NOSUCH:x is of a type that libkrb5 does not know"
    return Meeting(words, TicketCache("NOSUCH:x"))


# What the server says.


def _refusal_of(acceptor: GssapiProvider, times: int = 1) -> Answer:
    """A server that refuses the token when it comes for the last of some times."""

    def answer(token: bytes) -> bytes:
        result = [accept(acceptor, token) for _ in range(times)][-1]
        assert isinstance(result, Refused), result
        return result.token

    return answer


def _another_key(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    service = ground.new_service()
    keytab = ground.write_keytab(service)
    ground.realm.rotate_key(service)
    words = f"{service} cannot read our ticket: its keys are not those of the KDC"
    answer = _refusal_of(GssapiProvider(keytab))
    return Meeting(re.escape(words), target=service, answer=answer)


def _seen_before(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    words = f"{HERE} has seen our authenticator before"
    # MIT's own cache answers with a KRB-ERROR; ours, which is asked afterwards, with none.
    provider = GssapiProvider(ground.keytab, replay=MITReplayCache())
    return Meeting(words, answer=_refusal_of(provider, times=2))


def _its_clock_differs(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    cache = ground.realm.skewed_login(newcomer(ground.realm), 4000)
    words = f"our clock differs from that of {HERE} by more than is allowed"
    return Meeting(words, TicketCache(cache), answer=_refusal_of(ground.provider))


def _expired_to_it(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    cache = ground.realm.expired_login(newcomer(ground.realm))
    words = f"{HERE} says that our ticket has expired"
    return Meeting(words, TicketCache(cache), answer=_refusal_of(ground.provider))


def _says(token: bytes, detail: str) -> Recipe:
    return lambda ground, mechanism: Meeting(detail, answer=lambda first: token)


# Its proof.

_NO_PROOF = f"the token does not prove that the server is {HERE}"


def _altered_proof(position: float) -> Recipe:
    def make(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
        def answer(token: bytes) -> bytes:
            proof = bytearray(token_of(accept(ground.provider, token)))
            proof[int(position * len(proof))] ^= 1
            return bytes(proof)

        return Meeting(_NO_PROOF, answer=answer)

    return make


def _proof_for_somebody_else(ground: Ground, mechanism: InitiatorMechanism) -> Meeting:
    def answer(token: bytes) -> bytes:
        other = GssapiInitiatorProvider(mechanism=mechanism).create_initiator(
            InitiatorRequest(HERE)
        )
        try:
            return token_of(accept(ground.provider, token_of(other.step(b""))))
        finally:
            other.delete()

    return Meeting(_NO_PROOF, answer=answer)


CLIENT_REFUSALS: dict[str, ClientRefusal] = {
    "nobody has logged in": ClientRefusal(_nobody, NoCredentialError),
    "nobody has logged in, by name": ClientRefusal(_nobody_by_name, NoCredentialError),
    "the ticket has expired": ClientRefusal(_expired, NoCredentialError),
    "an unknown service": ClientRefusal(_unknown_service, TargetUnknownError),
    "no KDC answers": ClientRefusal(_no_answer, AuthorityError),
    "no KDC answers a login": ClientRefusal(_no_answer_to_a_login, AuthorityError),
    "no KDC is known": ClientRefusal(_no_kdc_known, AuthorityError),
    "the clock is ahead": ClientRefusal(_wrong_clock(4000), ClockSkewError),
    "the clock is behind": ClientRefusal(_wrong_clock(-4000), ClockSkewError),
    "no keytab": ClientRefusal(_absent_keytab, NoCredentialError),
    "a keytab of others": ClientRefusal(_keytab_of_others, NoCredentialError),
    "no Kerberos name": ClientRefusal(_no_kerberos_name, ConfigError),
    "an old key": ClientRefusal(_old_key, NoCredentialError),
    "a damaged cache": ClientRefusal(_damaged_cache, NoCredentialError),
    "a cache of no type": ClientRefusal(_cache_of_no_type, ConfigError),
    "the server has another key": ClientRefusal(_another_key, KeyVersionError),
    "the server has seen the token": ClientRefusal(_seen_before, ReplayError),
    "the server's clock differs": ClientRefusal(_its_clock_differs, ClockSkewError),
    "the ticket has expired to the server": ClientRefusal(_expired_to_it, TicketExpiredError),
    "a plain no": ClientRefusal(
        _says(build_neg_token_resp(NegState.REJECT), f"{HERE} refuses us"), LogonDeniedError
    ),
    "a wish for NTLM": ClientRefusal(
        _says(
            build_neg_token_resp(NegState.ACCEPT_INCOMPLETE, NTLM, b"NTLMSSP\x00"),
            f"{HERE} wants NTLM; only Kerberos is spoken here",
        ),
        MechanismError,
    ),
    **{
        f"no proof: {name}": ClientRefusal(make, MutualAuthenticationError)
        for name, make in (
            ("garbage", _says(b"garbage", _NO_PROOF)),
            ("an empty frame", _says(b"\x60\x00", _NO_PROOF)),
            (
                "accept-completed",
                _says(build_neg_token_resp(NegState.ACCEPT_COMPLETED), _NO_PROOF),
            ),
            ("altered at its begin", _altered_proof(0)),
            ("altered in the middle", _altered_proof(0.5)),
            ("altered at its end", _altered_proof(0.999)),
            ("for somebody else", _proof_for_somebody_else),
        )
    },
}
