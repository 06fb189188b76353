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

from authsrv.aiohttp import AccessRules, AppRunner, Requirement, setup
from authsrv.core.limits import Limits
from authsrv.devrealm import Realm
from authsrv.handshake.pool import WorkerPool
from authsrv.providers.scripted import ScriptedProvider

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
