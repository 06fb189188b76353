"""Every provider that there is on this machine, with its clients."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from backends import Backend

from authsrv.core.credentials import Password
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Refused,
    Result,
)
from authsrv.core.status import SecurityStatus as S
from authsrv.devrealm import Realm
from authsrv.errors import LogonDeniedError
from authsrv.providers.pyspnego import NTLMPolicy, PyspnegoProvider
from authsrv.providers.scripted import ALICE, ScriptedProvider
from authsrv.providers.sspi.provider import SspiProvider, SspiRsUse
from authsrv.testing.handshakes import Client

if sys.platform != "win32":
    from initiators import GssapiInitiator, LateInitiator, PyspnegoInitiator, ntlm_credential

    from authsrv.providers.gssapi.acceptor import GssapiProvider

NTLM_USERS = "DOMAIN:alice:Pässword 1\n"


class Echo:
    """The client of the scripts: it says its name in every leg."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.legs = 0

    def step(self, token: bytes | None) -> bytes | None:
        self.legs += 1
        return None if token == b"proof" else self.name


def judge(token: bytes) -> Result:
    if token == b"alice":
        return Established(ALICE, b"proof")
    return Refused(LogonDeniedError("not alice"))


def completed(_: bytes) -> Result:
    return Established(ALICE, b"proof")


def scripted(request: pytest.FixtureRequest) -> Backend:
    return Backend(
        "scripted",
        lambda: ScriptedProvider([Continue(b"next"), judge]),
        lambda: Echo(b"alice"),
        lambda: Echo(b"mallory"),
        ALICE.principal,
        (S.SEC_I_CONTINUE_NEEDED, S.SEC_E_OK),
    )


def scripted_completing(request: pytest.FixtureRequest) -> Backend:
    denied: list[bytes] = []

    def ask(token: bytes) -> Result:
        denied.append(token)
        return CompleteNeeded()

    return Backend(
        "scripted-completing",
        lambda: ScriptedProvider(
            [CompleteAndContinue(), Continue(b"next"), ask, lambda _: judge(denied.pop())]
        ),
        lambda: Echo(b"alice"),
        lambda: Echo(b"mallory"),
        ALICE.principal,
        (S.SEC_I_COMPLETE_AND_CONTINUE, S.SEC_I_COMPLETE_NEEDED),
    )


def kerberos(request: pytest.FixtureRequest) -> Backend:
    request.getfixturevalue("kerberos_environment")
    request.getfixturevalue("service_elsewhere")
    keytab: Path = request.getfixturevalue("kerberos_keytab")
    return Backend(
        "gssapi",
        lambda: GssapiProvider(keytab),
        lambda: GssapiInitiator("HTTP@localhost"),
        lambda: GssapiInitiator("HTTP@sspi-elsewhere.test"),
        "alice@AUTHSRV.TEST",
        (S.SEC_E_OK,),
    )


def kerberos_late(request: pytest.FixtureRequest) -> Backend:
    """SPNEGO whose first guess is wrong: the ticket comes in the second leg, a MIC in the third."""
    in_one_leg = kerberos(request)
    return replace(
        in_one_leg,
        name="gssapi-late",
        make_client=LateInitiator,
        make_stranger=lambda: LateInitiator("HTTP@sspi-elsewhere.test"),
        statuses=(S.SEC_I_CONTINUE_NEEDED, S.SEC_I_CONTINUE_NEEDED, S.SEC_E_OK),
    )


def pyspnego_ntlm(request: pytest.FixtureRequest) -> Backend:
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    users: Path = request.getfixturevalue("tmp_path") / "ntlm-users"
    users.write_text(NTLM_USERS, encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    monkeypatch.setenv("LM_COMPAT_LEVEL", "5")

    def client(password: str) -> Client:
        return PyspnegoInitiator(ntlm_credential("DOMAIN\\alice", password), protocol="ntlm")

    return Backend(
        "pyspnego",
        lambda: PyspnegoProvider(ntlm=NTLMPolicy.ON),
        lambda: client("Pässword 1"),
        lambda: client("Pässword 2"),
        "DOMAIN\\alice",
        (S.SEC_I_CONTINUE_NEEDED, S.SEC_E_OK),
    )


@pytest.fixture(scope="session")
def service_elsewhere(kerberos_realm: Realm) -> None:
    """A service of the realm whose keys are not in the realm's keytab."""
    kerberos_realm.add_service("HTTP/sspi-elsewhere.test")


def sspi_rs(request: pytest.FixtureRequest) -> Backend:
    def client(password: str) -> Client:
        return PyspnegoInitiator(ntlm_credential("DOMAIN\\alice", password), protocol="ntlm")

    known = Password("alice", "Pässword 1", "DOMAIN")
    return Backend(
        "sspi",
        lambda: SspiProvider("NTLM", credential=known, sspi_rs=SspiRsUse.FOR_TESTS),
        lambda: client("Pässword 1"),
        lambda: client("Pässword 2"),
        "DOMAIN\\alice",
        (S.SEC_I_CONTINUE_NEEDED, S.SEC_I_COMPLETE_NEEDED),
    )


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], Backend]] = {
    "scripted": scripted,
    "scripted-completing": scripted_completing,
    "gssapi": kerberos,
    "gssapi-late": kerberos_late,
    "pyspnego": pyspnego_ntlm,
    "sspi": sspi_rs,
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """One provider after the other."""
    if sys.platform == "win32" and not request.param.startswith("scripted"):
        pytest.skip("the other providers are not those of this system")
    return BACKENDS[request.param](request)
