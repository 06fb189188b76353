"""The package over SSPI with Wine's secur32: real loading, real calls, real denials.

Wine tells neither who has logged on nor by which package (SECPKG_ATTR_NAMES, PACKAGE_INFO), so
that a logon that succeeds lets nobody in; where a test is about what comes after, it tells them.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import spnego
import sspilib.raw as raw
from aiohttp import web
from answers import error_of

from authsrv.aiohttp import AppRunner, current_identity, setup
from authsrv.core.attributes import ContextAttribute, ContextSizes, PackageInfo
from authsrv.core.results import Continue, Established, Result
from authsrv.core.status import SecurityStatus, WindowsCode
from authsrv.errors import (
    ConfigError,
    InvalidTokenError,
    LogonDeniedError,
    NoCredentialError,
    ProviderFaultError,
    UnavailableError,
    UnexpectedTokenError,
    UnsupportedFunctionError,
)
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.machine import State
from authsrv.providers.base import ContextRequest, InitiatorRequest, SecurityContext
from authsrv.providers.sspi import provider as sspi
from authsrv.providers.sspi.provider import SspiProvider

S = SecurityStatus
PASSWORD = os.environ["TESTS_NTLM_PASSWORD"]
INBOUND, OUTBOUND = raw.CredentialUse.SECPKG_CRED_INBOUND, raw.CredentialUse.SECPKG_CRED_OUTBOUND

each_package = pytest.mark.parametrize("name", ["NTLM", "Negotiate"])


class Ntlm:
    """pyspnego's NTLM client, in Python."""

    def __init__(self, password: str = PASSWORD) -> None:
        self._context = spnego.client(
            "TESTDOM\\alice",
            password,
            hostname="localhost",
            protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
        )

    def step(self, token: bytes | None = None) -> bytes:
        return self._context.step(token) or b""


def begin(name: str = "NTLM") -> SecurityContext:
    return SspiProvider(name).create_context(ContextRequest())


def log_in(context: SecurityContext, client: Ntlm) -> Result:
    first = context.step(client.step())
    assert isinstance(first, Continue), first
    assert first.token.startswith(b"NTLMSSP\x00\x02")
    return context.step(client.step(first.token))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Windows tells of an established context, and Wine does not."""
    info = PackageInfo("NTLM", "", 0, 0)
    monkeypatch.setattr(sspi, "user_name", lambda context: "TESTDOM\\alice")
    monkeypatch.setattr(sspi, "package_info", lambda context: info)


def test_this_is_windows_python() -> None:
    assert (sys.platform, os.name) == ("win32", "nt")


# A logon.


@each_package
def test_a_logon_of_somebody_whom_wine_does_not_name_lets_nobody_in(name: str) -> None:
    context = begin(name)
    error = error_of(log_in(context, Ntlm()))
    assert isinstance(error, ProviderFaultError)
    assert "does not name the client" in error.detail
    assert "SEC_E_UNSUPPORTED_FUNCTION, 0x80090302" in error.detail
    assert isinstance(error_of(context.step(Ntlm().step())), UnexpectedTokenError)
    context.delete()


@each_package
def test_a_logon_with_a_name_is_established(name: str, told: None) -> None:
    context = begin(name)
    result = log_in(context, Ntlm())
    assert isinstance(result, Established)
    assert (result.identity.principal, result.identity.mechanism) == ("TESTDOM\\alice", "ntlm")
    assert isinstance(context.query(ContextAttribute.SIZES), ContextSizes)
    assert context.query(ContextAttribute.NAMES) == "TESTDOM\\alice"
    with pytest.raises(UnsupportedFunctionError, match="SESSION_KEY"):
        context.query(ContextAttribute.SESSION_KEY)
    context.delete()
    context.delete()


@each_package
def test_a_wrong_password_is_denied_and_the_code_is_kept(name: str, told: None) -> None:
    error = error_of(log_in(begin(name), Ntlm("wrong")))
    assert isinstance(error, LogonDeniedError)
    assert error.status is S.SEC_E_LOGON_DENIED
    assert error.native == WindowsCode(0x8009030C)
    assert PASSWORD not in str(error)


@each_package
@pytest.mark.parametrize("length", [12, 15])
def test_a_first_message_that_is_cut_off_is_the_clients_fault(name: str, length: int) -> None:
    error = error_of(begin(name).step(Ntlm().step()[:length]))
    assert isinstance(error, InvalidTokenError)
    assert error.native == WindowsCode(0x80090304)


def test_one_that_denied_denies_the_right_password_too(told: None) -> None:
    context, client = begin(), Ntlm("wrong")
    assert isinstance(error_of(log_in(context, client)), LogonDeniedError)
    assert isinstance(error_of(context.step(Ntlm().step())), UnexpectedTokenError)


def test_a_client_of_wine_gives_a_first_token() -> None:
    context = SspiProvider("NTLM").create_initiator(InitiatorRequest("HTTP/localhost"))
    first = context.step(b"")
    assert isinstance(first, Continue)
    assert first.token.startswith(b"NTLMSSP\x00\x01")
    context.delete()


# Packages and credentials.


@each_package
def test_a_credential_to_accept_with_is_there(name: str) -> None:
    SspiProvider(name).check()


def test_names_of_packages_are_compared_without_case() -> None:
    SspiProvider("ntlm").check()


def test_a_package_that_there_is_not_is_secpkg_not_found() -> None:
    with pytest.raises(ConfigError) as caught:
        SspiProvider("Nonsense").check()
    assert caught.value.status is S.SEC_E_SECPKG_NOT_FOUND
    assert caught.value.native == WindowsCode(0x80090305)
    error = error_of(begin("Nonsense").step(Ntlm().step()))
    assert error.status is S.SEC_E_SECPKG_NOT_FOUND


def test_kerberos_without_a_keytab_has_no_credential() -> None:
    with pytest.raises(UnavailableError) as caught:
        SspiProvider("Kerberos").check()
    assert caught.value.status is S.SEC_E_NO_CREDENTIALS
    assert caught.value.status is NoCredentialError("").status


def test_a_credential_of_the_wrong_direction_is_an_invalid_handle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = SspiProvider("NTLM")
    client = package.handle(int(OUTBOUND))
    monkeypatch.setattr(package, "handle", lambda use: client)
    error = error_of(package.create_context(ContextRequest()).step(Ntlm().step()))
    assert error.status is S.SEC_E_INVALID_HANDLE
    assert error.native == WindowsCode(0x80090301)


def test_a_credential_is_acquired_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    acquire = raw.acquire_credentials_handle
    monkeypatch.setattr(
        raw, "acquire_credentials_handle", lambda *a, **k: calls.append(a) or acquire(*a, **k)
    )
    package = SspiProvider("NTLM")
    with ThreadPoolExecutor(4) as threads:
        handles = set(threads.map(package.handle, [int(INBOUND)] * 8))
    assert len(calls) == len(handles) == 1


# Event loops and threads.


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "proactor": asyncio.ProactorEventLoop,
    "selector": asyncio.SelectorEventLoop,
}
each_loop = pytest.mark.parametrize("loop", LOOPS)


@each_loop
@pytest.mark.parametrize(
    ("password", "state"), [(PASSWORD, State.ESTABLISHED), ("no", State.FAILED)]
)
def test_a_handshake_on_either_loop(loop: str, password: str, state: State, told: None) -> None:
    async def scenario() -> State:
        client = Ntlm(password)
        async with Acceptor(SspiProvider("Negotiate")) as acceptor:
            handshake = acceptor.create_handshake()
            leg = await handshake.advance(client.step())
            assert isinstance(leg.result, Continue)
            await handshake.advance(client.step(leg.result.token))
            return handshake.state

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(scenario()) is state


@each_loop
def test_a_request_over_http_on_either_loop(loop: str, told: None) -> None:
    async def greet(request: web.Request) -> web.Response:
        return web.Response(text=current_identity(request).principal)

    async def scenario() -> tuple[list[int], str]:
        app = web.Application()
        app.router.add_get("/", greet)
        setup(app)
        runner = AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return await asyncio.to_thread(ask, runner.addresses[0][1])
        finally:
            await runner.cleanup()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as loop_runner:
        assert loop_runner.run(scenario()) == ([401, 401, 200], "TESTDOM\\alice")


def ask(port: int) -> tuple[list[int], str]:
    """Ask without a token, then with the two of NTLM, on one connection."""
    client, statuses, token = Ntlm(), [], None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        while True:
            headers = {}
            if statuses:
                said = base64.b64encode(client.step(token)).decode()
                headers["Authorization"] = f"Negotiate {said}"
            connection.request("GET", "/", headers=headers)
            answer = connection.getresponse()
            body = answer.read().decode()
            statuses.append(answer.status)
            challenge = answer.getheader("WWW-Authenticate", "")
            token = base64.b64decode(challenge.partition(" ")[2]) or None
            if answer.status == 200 or len(statuses) > 3:
                return statuses, body
    finally:
        connection.close()


def test_many_threads_each_with_a_context_of_one_package(told: None) -> None:
    shared = SspiProvider("NTLM")
    barrier = threading.Barrier(4)

    def one(number: int) -> bool:
        context = shared.create_context(ContextRequest())
        client = Ntlm(PASSWORD if number % 2 else "wrong")
        barrier.wait(20)
        result = log_in(context, client)
        context.delete()
        return isinstance(result, Established)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(one, range(4))) == [False, True, False, True]


@pytest.fixture
def slowly() -> Iterator[None]:
    """Each check of a password begins with a second of silence."""
    mark = Path(os.environ["TESTS_NTLM_SLOWLY"])
    mark.touch()
    yield
    mark.unlink()


@each_loop
def test_the_loop_turns_while_sspi_works(loop: str, slowly: None) -> None:
    """sspilib lets go of the interpreter, or no other thread could run meanwhile."""

    async def scenario() -> tuple[float, float]:
        stalls, turning = [], True

        async def turn() -> None:
            while turning:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                stalls.append(time.monotonic() - before)

        begun = time.monotonic()
        async with Acceptor(SspiProvider("NTLM")) as acceptor:
            handshake = acceptor.create_handshake()
            turns = asyncio.create_task(turn())
            await handshake.advance(Ntlm().step())
            took = time.monotonic() - begun
            turning = False
            await turns
        return took, max(stalls)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        took, longest_stall = runner.run(scenario())
    assert took > 0.9
    assert longest_stall < 0.5
