"""The conformance kit: every provider passes every check, and every check can fail."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from initiators import (
    KERBEROS_MECH,
    GssapiInitiator,
    LateInitiator,
    PyspnegoInitiator,
    ntlm_credential,
)

from authsrv.core.attributes import ContextAttribute
from authsrv.core.identity import Identity
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Refused,
    Result,
)
from authsrv.errors import (
    AuthsrvError,
    ConfigError,
    InvalidTokenError,
    LogonDeniedError,
    ProviderFaultError,
    StateError,
)
from authsrv.providers.base import ContextRequest, SecurityContext
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.pyspnego import NTLMPolicy, PyspnegoProvider
from authsrv.providers.replay import MITReplayCache
from authsrv.providers.scripted import ALICE, Act, ScriptedProvider
from authsrv.stores.memory import MemoryStore
from authsrv.testing.conformance import CHECKS, Case, check_provider
from authsrv.testing.handshakes import Client

PASSWORD = b"open sesame"


class Porter:
    """The honest script: a challenge, used once, and a proof of a password."""

    def __init__(self) -> None:
        self._open: set[bytes] = set()

    def greet(self, token: bytes) -> Act:
        if token != b"hello":
            return Refused(InvalidTokenError("that is no greeting"))
        return Continue(self.challenge())

    def challenge(self) -> bytes:
        challenge = os.urandom(16)
        self._open.add(challenge)
        return challenge

    def judge(self, token: bytes) -> Act:
        if len(token) != 48:
            return Refused(InvalidTokenError("that is no proof"))
        challenge, proof = token[:16], token[16:]
        if challenge not in self._open or proof != prove(PASSWORD, challenge):
            return Refused(LogonDeniedError("the proof is wrong"))
        self._open.discard(challenge)
        return Established(ALICE, b"welcome")


def prove(password: bytes, challenge: bytes) -> bytes:
    return hashlib.sha256(password + challenge).digest()


@dataclass
class Visitor:
    """The client of Porter."""

    password: bytes = PASSWORD
    _legs: int = 0

    def step(self, token: bytes | None) -> bytes | None:
        self._legs += 1
        if token is None:
            return b"hello"
        if self._legs == 2:
            return token + prove(self.password, token)
        assert token == b"welcome"
        return None


def scripted_provider() -> ScriptedProvider:
    porter = Porter()
    return ScriptedProvider([porter.greet, porter.judge])


def completing_provider() -> ScriptedProvider:
    """The same with CompleteAuthToken in each leg, where SSPI's other codes lead."""
    porter = Porter()

    def greet(token: bytes) -> Act:
        answer = porter.greet(token)
        return CompleteAndContinue() if isinstance(answer, Continue) else answer

    def judge(token: bytes) -> Act:
        answer = porter.judge(token)
        return CompleteNeeded() if isinstance(answer, Established) else answer

    challenge: Act = lambda token: Continue(porter.challenge())  # noqa: E731
    return ScriptedProvider([greet, challenge, judge, Established(ALICE, b"welcome")])


def scripted_case(make_provider: Callable[[], ScriptedProvider] = scripted_provider) -> Case:
    return Case(make_provider, Visitor, lambda: Visitor(b"open barley"), ALICE.principal)


@pytest.fixture
def kerberos_case(
    request: pytest.FixtureRequest,
    kerberos_environment: dict[str, str],
    kerberos_keytab: Path,
    foreign_service: str,
    tmp_path: Path,
) -> Case:
    """A Kerberos provider by its short name, and a client by its short name."""
    provider, client = request.param
    memory = MemoryStore()
    makers: dict[str, Callable[[], GssapiProvider | PyspnegoProvider]] = {
        "default": lambda: GssapiProvider(kerberos_keytab),
        "file2": lambda: GssapiProvider(
            kerberos_keytab, replay=MITReplayCache.in_memory(f"conformance-{os.getpid()}")
        ),
        "process": lambda: GssapiProvider(kerberos_keytab, replay=memory),
        "service": lambda: GssapiProvider(kerberos_keytab, service="HTTP/localhost"),
        "pyspnego": PyspnegoProvider,
    }
    clients: dict[str, Callable[[str], Client]] = {
        "gssapi": GssapiInitiator,
        "late": LateInitiator,
        "raw": lambda service: GssapiInitiator(service, mechanism=KERBEROS_MECH),
        "pyspnego": lambda service: PyspnegoInitiator(hostname=service.partition("@")[2]),
        "pyspnego-raw": lambda service: PyspnegoInitiator(
            hostname=service.partition("@")[2], protocol="kerberos"
        ),
    }
    make_client = clients[client]
    return Case(
        makers[provider],
        lambda: make_client("HTTP@localhost"),
        lambda: make_client(foreign_service),
        "alice@AUTHSRV.TEST",
    )


def ntlm_case(protocol: str) -> Case:
    def client(password: str) -> PyspnegoInitiator:
        credential = ntlm_credential("DOMAIN\\alice", password)
        return PyspnegoInitiator(credential, protocol=protocol)

    return Case(
        lambda: PyspnegoProvider(ntlm=NTLMPolicy.ON),
        lambda: client("Pässword 1"),
        lambda: client("Pässword 2"),
        "DOMAIN\\alice",
    )


@pytest.mark.parametrize("check", CHECKS)
def test_the_fake_passes(check: str) -> None:
    CHECKS[check](scripted_case())


@pytest.mark.parametrize("check", CHECKS)
def test_the_fake_passes_with_complete_auth_token_in_every_leg(check: str) -> None:
    CHECKS[check](scripted_case(completing_provider))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "kerberos_case",
    [
        ("default", "gssapi"),
        ("default", "raw"),
        ("default", "late"),
        ("default", "pyspnego"),
        ("file2", "gssapi"),
        ("process", "gssapi"),
        ("process", "late"),
        ("process", "pyspnego-raw"),
        ("service", "gssapi"),
        ("pyspnego", "gssapi"),
        ("pyspnego", "raw"),
        ("pyspnego", "late"),
        ("pyspnego", "pyspnego"),
    ],
    ids=lambda pair: "-with-client-".join(pair),
    indirect=True,
)
def test_a_kerberos_package_passes(check: str, kerberos_case: Case) -> None:
    CHECKS[check](kerberos_case)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])
def test_pyspnego_with_ntlm_switched_on_passes(check: str, protocol: str, ntlm_users: Path) -> None:
    CHECKS[check](ntlm_case(protocol))


def test_the_whole_kit_runs_in_one_call() -> None:
    check_provider(scripted_case())


# From here on: providers that are broken on purpose, one or more for each check.


class Wrapper:
    """A context that breaks one thing and leaves the rest to an honest one."""

    def __init__(self, inner: SecurityContext) -> None:
        self.inner = inner

    def step(self, token: bytes) -> Result:
        return self.inner.step(token)

    def complete(self) -> Result:
        return self.inner.complete()

    def query(self, attribute: ContextAttribute) -> object:
        return self.inner.query(attribute)

    def delete(self) -> None:
        self.inner.delete()


@dataclass
class Broken:
    """A provider whose contexts are wrapped, and whose name and check can be wrong."""

    wrapper: type[Wrapper] = Wrapper
    name: str = "broken"
    fault: Exception | None = None

    def __post_init__(self) -> None:
        self._honest = scripted_provider()

    def create_context(self, request: ContextRequest) -> Wrapper:
        return self.wrapper(self._honest.create_context(request))

    def check(self) -> None:
        if self.fault is not None:
            raise self.fault


class NamesAnother(Wrapper):
    def step(self, token: bytes) -> Result:
        result = super().step(token)
        if isinstance(result, Established):
            return Established(Identity("mallory@AUTHSRV.TEST", "scripted"), result.token)
        return result


class MakesABadProof(Wrapper):
    def step(self, token: bytes) -> Result:
        result = super().step(token)
        if isinstance(result, Established):
            return Established(result.identity, b"not welcome")
        return result


class LetsAllProofsIn(Wrapper):
    def step(self, token: bytes) -> Result:
        return Established(ALICE, b"welcome") if len(token) == 48 else super().step(token)


class BlamesItself(Wrapper):
    """It takes a wrong password for a fault of its own."""

    def step(self, token: bytes) -> Result:
        result = super().step(token)
        if isinstance(result, Refused) and isinstance(result.error, LogonDeniedError):
            return Refused(ProviderFaultError("out of order"))
        return result


class RunsOut(Broken):
    made = 0

    def create_context(self, request: ContextRequest) -> Wrapper:
        self.made += 1
        if self.made > 100:
            raise OSError("too many contexts")
        return super().create_context(request)


class DeletesOnce(Wrapper):
    deleted = False

    def delete(self) -> None:
        if self.deleted:
            raise KeyError("deleted already")
        self.deleted = True


class IsImmortal(Wrapper):
    def delete(self) -> None:
        pass


class BeginsAnew(Wrapper):
    """It takes a new handshake where one has ended."""

    established = False

    def step(self, token: bytes) -> Result:
        if self.established:
            return Continue(b"again")
        result = super().step(token)
        self.established = isinstance(result, Established)
        return result


class AcceptsGarbage(Wrapper):
    def step(self, token: bytes) -> Result:
        return Established(ALICE, b"welcome") if len(token) > 1_000 else super().step(token)


class RaisesForGarbage(Wrapper):
    def step(self, token: bytes) -> Result:
        if len(token) > 1_000:
            raise struct.error("unpack requires a buffer of 4 bytes")
        return super().step(token)


class RaisesAnErrorOfOurs(Wrapper):
    def step(self, token: bytes) -> Result:
        if len(token) > 1_000:
            raise InvalidTokenError("it belongs into a Refused")
        return super().step(token)


class AnswersNoResult(Wrapper):
    def step(self, token: bytes) -> Result:
        return None if len(token) > 1_000 else super().step(token)  # type: ignore[return-value]


class BlamesItselfForGarbage(Wrapper):
    def step(self, token: bytes) -> Result:
        if len(token) > 1_000:
            return Refused(ProviderFaultError("out of order"))
        return super().step(token)


class GoesOnWithGarbage(Wrapper):
    def step(self, token: bytes) -> Result:
        return Continue(b"more") if len(token) > 1_000 else super().step(token)


class TakesHalves(Wrapper):
    """The beginning of a greeting is enough for it."""

    def step(self, token: bytes) -> Result:
        if token != b"hello" and b"hello".startswith(token):
            return Established(ALICE)
        return super().step(token)


class BelievesTheToken(Wrapper):
    """It names whoever the unprotected part of the token names."""

    def step(self, token: bytes) -> Result:
        if len(token) == 48:
            return Established(Identity(token[:1].hex(), "scripted"))
        return super().step(token)


class RaisesForAlterations(Wrapper):
    def step(self, token: bytes) -> Result:
        if len(token) == 48:
            result = super().step(token)
            if isinstance(result, Refused):
                raise ValueError("checksum mismatch")
            return result
        return super().step(token)


class ForgetsNothing(Porter):
    """A porter whose challenges can be used again."""

    def challenge(self) -> bytes:
        self._open.add(bytes(16))
        return bytes(16)


def replayable_provider() -> ScriptedProvider:
    porter = ForgetsNothing()
    return ScriptedProvider([porter.greet, porter.judge])


class ShowsItselfInErrors(Wrapper):
    def step(self, token: bytes) -> Result:
        result = super().step(token)
        if isinstance(result, Refused):
            return Refused(InvalidTokenError(f"cannot read {token!r}"))
        return result


class ShowsItselfInHex(Wrapper):
    def step(self, token: bytes) -> Result:
        result = super().step(token)
        if isinstance(result, Refused):
            return Refused(InvalidTokenError(f"cannot read {token[3:].hex(' ', 32)}"))
        return result


class LogsTokens(Wrapper):
    def step(self, token: bytes) -> Result:
        logging.getLogger("broken.provider").debug("step %s", b"".join([token]).hex().upper())
        return super().step(token)


class RemembersAloud(Wrapper):
    last = b""

    def step(self, token: bytes) -> Result:
        self.last = token
        return super().step(token)

    def __repr__(self) -> str:
        return f"<context after {self.last!r}>"


class CompletesAlways(Wrapper):
    def complete(self) -> Result:
        return Established(ALICE)


class RaisesForCompletion(Wrapper):
    def complete(self) -> Result:
        raise StateError("nothing asked for it")


class TellsAnother(Wrapper):
    def query(self, attribute: ContextAttribute) -> object:
        told = super().query(attribute)
        return "mallory@AUTHSRV.TEST" if attribute is ContextAttribute.NAMES else told


class TellsTooEarly(Wrapper):
    def query(self, attribute: ContextAttribute) -> object:
        try:
            return super().query(attribute)
        except StateError:
            return ""


class TellsTooLong(Wrapper):
    deleted = False

    def query(self, attribute: ContextAttribute) -> object:
        return ALICE.principal if self.deleted else super().query(attribute)

    def delete(self) -> None:
        self.deleted = True


class RaisesForAttributes(Wrapper):
    def query(self, attribute: ContextAttribute) -> object:
        if attribute is ContextAttribute.SIZES:
            raise KeyError(attribute)
        return super().query(attribute)


def is_claim(token: bytes) -> bool:
    return re.match(rb"\xa1.\x30.\xa0\x03\x0a\x01\x00", token, re.DOTALL) is not None


class BelievesFirstClaims(Wrapper):
    def step(self, token: bytes) -> Result:
        return Established(ALICE) if is_claim(token) else super().step(token)


class BelievesLaterClaims(Wrapper):
    """What pyspnego's own acceptor does after the challenge."""

    greeted = False

    def step(self, token: bytes) -> Result:
        if self.greeted and is_claim(token):
            return Established(ALICE)
        self.greeted = True
        return super().step(token)


class KeepsOneState(Broken):
    """All its contexts share one script."""

    def create_context(self, request: ContextRequest) -> Wrapper:
        if not hasattr(self, "_only"):
            self._only = IsImmortal(self._honest.create_context(request))
        return self._only


Maker = Callable[[], Broken | ScriptedProvider]

BROKEN: list[tuple[str, Maker]] = [
    ("describes_itself", lambda: Broken(name="")),
    ("describes_itself", lambda: Broken(name="two\nlines")),
    ("describes_itself", lambda: Broken(fault=ConfigError("not so"))),
    ("names_the_client", lambda: Broken(NamesAnother)),
    ("names_the_client", lambda: Broken(MakesABadProof)),
    ("refuses_strangers", lambda: Broken(LetsAllProofsIn)),
    ("refuses_strangers", lambda: Broken(BlamesItself)),
    ("creates_many_contexts", RunsOut),
    ("deletes_twice", lambda: Broken(DeletesOnce)),
    ("refuses_after_deletion", lambda: Broken(IsImmortal)),
    ("ends_when_established", lambda: Broken(BeginsAnew)),
    ("refuses_garbage", lambda: Broken(AcceptsGarbage)),
    ("refuses_garbage", lambda: Broken(RaisesForGarbage)),
    ("refuses_garbage", lambda: Broken(RaisesAnErrorOfOurs)),
    ("refuses_garbage", lambda: Broken(AnswersNoResult)),
    ("refuses_garbage", lambda: Broken(BlamesItselfForGarbage)),
    ("refuses_garbage", lambda: Broken(GoesOnWithGarbage)),
    ("refuses_truncated_tokens", lambda: Broken(TakesHalves)),
    ("withstands_altered_tokens", lambda: Broken(BelievesTheToken)),
    ("withstands_altered_tokens", lambda: Broken(RaisesForAlterations)),
    ("withstands_altered_tokens", lambda: Broken(BlamesItself)),
    ("refuses_replays", replayable_provider),
    ("tells_attributes", lambda: Broken(TellsAnother)),
    ("tells_attributes", lambda: Broken(TellsTooEarly)),
    ("tells_attributes", lambda: Broken(TellsTooLong)),
    ("tells_attributes", lambda: Broken(RaisesForAttributes)),
    ("keeps_tokens_to_itself", lambda: Broken(ShowsItselfInErrors)),
    ("keeps_tokens_to_itself", lambda: Broken(ShowsItselfInHex)),
    ("keeps_tokens_to_itself", lambda: Broken(LogsTokens)),
    ("keeps_tokens_to_itself", lambda: Broken(RemembersAloud)),
    ("refuses_completion_unasked", lambda: Broken(CompletesAlways)),
    ("refuses_completion_unasked", lambda: Broken(RaisesForCompletion)),
    ("refuses_claimed_completion", lambda: Broken(BelievesFirstClaims)),
    ("refuses_claimed_completion", lambda: Broken(BelievesLaterClaims)),
    ("keeps_contexts_apart", KeepsOneState),
    ("works_in_parallel", KeepsOneState),
]


@pytest.mark.parametrize(("check", "make_provider"), BROKEN)
def test_a_package_that_is_broken_on_purpose_fails_its_check(
    check: str, make_provider: Callable[[], ScriptedProvider]
) -> None:
    with pytest.raises((AssertionError, KeyError)):
        CHECKS[check](scripted_case(make_provider))


def test_every_check_has_a_package_that_fails_it() -> None:
    assert {check for check, _ in BROKEN} == set(CHECKS)


def test_the_wrapper_alone_breaks_nothing() -> None:
    check_provider(Case(Broken, Visitor, lambda: Visitor(b"open barley"), ALICE.principal))


def test_a_client_that_gives_up_is_not_taken_for_a_good_end() -> None:
    class Mute:
        def step(self, token: bytes | None) -> bytes | None:
            return None if token else b"hello"

    case = Case(scripted_provider, Mute, Mute, ALICE.principal)
    for check in ("names_the_client", "refuses_strangers", "refuses_claimed_completion"):
        with pytest.raises(AssertionError, match="nothing to say"):
            CHECKS[check](case)


def test_an_error_of_a_package_is_told_by_its_type_and_not_by_its_text() -> None:
    with pytest.raises(AssertionError) as caught:
        CHECKS["refuses_garbage"](scripted_case(lambda: Broken(RaisesForGarbage)))  # type: ignore[arg-type,return-value]
    assert str(caught.value).startswith("raised error for a client's bytes")
    assert not isinstance(caught.value.__cause__, AuthsrvError)
