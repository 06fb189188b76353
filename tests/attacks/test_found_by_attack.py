"""What a reviewer found who had only the code; each was proven before it was mended."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from typing import Any

import gssapi.raw as gss
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from initiators import fresh_token, kerberos_token

from authsrv.aiohttp import AccessRules, AppRunner, Requirement, setup
from authsrv.core.limits import Limits
from authsrv.core.results import Refused
from authsrv.devrealm import Realm
from authsrv.errors import (
    AuthsrvError,
    ClockSkewError,
    LogonDeniedError,
    ReplayError,
    TicketExpiredError,
)
from authsrv.handshake.pool import WorkerPool
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.replay import MITReplayCache
from authsrv.providers.scripted import ScriptedProvider
from authsrv.testing.handshakes import open_context

# With MIT, "no flags" means its default flags; this one asks for no answer by the server.
NOT_MUTUAL = {"flags": (gss.RequirementFlag.integrity,)}


async def test_a_request_that_nothing_answers_does_not_stay_in_memory() -> None:
    app = web.Application()
    auth = setup(app, provider=ScriptedProvider(), rules=AccessRules(default=Requirement.OPTIONAL))
    runner = AppRunner(app)
    await runner.setup()

    async def missing(request: web.Request) -> web.StreamResponse:
        raise request.match_info.http_exception  # type: ignore[misc]  # it is one, as nothing fits

    gone: list[weakref.ref[Any]] = []
    for number in range(20):
        request = make_mocked_request("GET", f"/missing{number}")
        request._match_info = await app.router.resolve(request)
        gone.append(weakref.ref(request))
        with pytest.raises(web.HTTPNotFound):
            await auth.handle(request, missing)
        del request
    await runner.cleanup()
    gc.collect()
    assert [reference() for reference in gone if reference() is not None] == []


def refusal(provider: GssapiProvider, token: bytes) -> AuthsrvError:
    with open_context(provider) as context:
        result = context.step(token)
    assert isinstance(result, Refused), result
    return result.error


@pytest.mark.parametrize("make", [fresh_token, kerberos_token])
class TestWithoutMutualAuthentication:
    """MIT makes no error token then, and the cause must be named all the same."""

    def test_a_replay_is_a_replay(
        self, make: Any, kerberos_environment: dict[str, str], kerberos_realm: Realm
    ) -> None:
        for replay in (None, MITReplayCache()):
            provider = GssapiProvider(kerberos_realm.keytab, replay=replay)
            token = make(**NOT_MUTUAL)
            with open_context(provider) as context:
                assert not isinstance(context.step(token), Refused)
            assert isinstance(refusal(provider, token), ReplayError)

    def test_an_altered_ticket_is_denied(
        self, make: Any, kerberos_environment: dict[str, str], kerberos_realm: Realm
    ) -> None:
        token = bytearray(make(**NOT_MUTUAL))
        token[len(token) // 3] ^= 1
        error = refusal(GssapiProvider(kerberos_realm.keytab), bytes(token))
        assert isinstance(error, LogonDeniedError)

    @pytest.mark.parametrize(
        ("recipe", "expected"),
        [("expired", TicketExpiredError), ("ahead", ClockSkewError), ("behind", ClockSkewError)],
    )
    def test_times_are_told(
        self, make: Any, recipe: str, expected: type[AuthsrvError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Realm() as realm:
            for name, value in realm.environment("alice").items():
                monkeypatch.setenv(name, value)
            if recipe == "expired":
                realm.expired_login("alice")
            else:
                realm.skewed_login("alice", 420 if recipe == "ahead" else -420)
            error = refusal(GssapiProvider(realm.keytab), make(**NOT_MUTUAL))
        assert isinstance(error, expected), error
        assert " s " in error.detail


async def test_a_shortage_of_threads_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = WorkerPool(Limits(max_workers=4))
    start, attempts = threading.Thread.start, []

    def fail_at_first(thread: threading.Thread) -> None:
        if len(attempts) < 10 and thread.name.startswith("authsrv"):
            attempts.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_at_first)
    assert await pool.run(os.getpid, seconds=5) == os.getpid()
    assert len(attempts) == 10
    assert pool.occupied <= 4
    pool.close()


def test_a_client_cannot_write_pages_into_the_log(kerberos_realm: Realm) -> None:
    from authsrv.codecs.der import writer as der
    from authsrv.codecs.spnego import KERBEROS
    from authsrv.providers.gssapi.diagnosis import Failure, diagnose
    from authsrv.providers.kerberos.keytab import KeytabFile
    from authsrv.providers.kerberos.service_names import ServiceNames

    def text(value: str) -> bytes:
        return der.encode(0x1B, value.encode())

    def encrypted() -> bytes:
        body = der.encode_field(0, der.encode_integer(18)) + der.encode_field(
            2, der.encode(0x04, bytes(64))
        )
        return der.encode(0x30, body)

    name = der.encode(
        0x30,
        der.encode_field(0, der.encode_integer(3))
        + der.encode_field(1, der.encode(0x30, text("HTTP"), text("h" * 60_000))),
    )
    ticket = der.encode(
        0x61,
        der.encode(
            0x30,
            der.encode_field(0, der.encode_integer(5))
            + der.encode_field(1, text("R"))
            + der.encode_field(2, name)
            + der.encode_field(3, encrypted()),
        ),
    )
    request = der.encode(
        0x6E,
        der.encode(
            0x30,
            der.encode_field(0, der.encode_integer(5))
            + der.encode_field(1, der.encode_integer(14))
            + der.encode_field(2, der.encode(0x03, bytes(5)))
            + der.encode_field(3, ticket)
            + der.encode_field(4, encrypted()),
        ),
    )
    token = der.build_frame(KERBEROS, b"\x01\x00" + request)
    snapshot = KeytabFile(kerberos_realm.keytab).snapshot()
    error = diagnose(Failure(0xD0000, 0, token, b""), snapshot, ServiceNames())
    assert "hhh" in error.detail
    assert len(error.detail) < 1_000
