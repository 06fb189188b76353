"""Faults on our side, and clients that go: the answer, the cause, and nothing left open.

The witness (see witness.py) demands of each test besides that neither a response nor any log shows
a piece of a token, or the text of an exception.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from initiators import INTEGRITY, MUTUAL, fresh_token
from leak_monitor import CHALLENGE, LeakMonitor, Server, negotiate, serve
from waiting import until

from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
from authsrv.core.results import Continue, Established, Refused, Result
from authsrv.devrealm import Realm
from authsrv.errors import ConfigError, LogonDeniedError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.driver import Handshake
from authsrv.handshake.machine import HandshakeMachine
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos.keytab import KeytabFile
from authsrv.providers.pyspnego import PyspnegoProvider
from authsrv.providers.replay import MITReplayCache
from authsrv.providers.scripted import ALICE, Act, Delay, ScriptedContext, ScriptedProvider
from authsrv.stores.machine import MachineStore
from authsrv.stores.memory import MemoryStore
from authsrv.testing.leaks import find_leak

TOKEN = bytes(range(130, 190))
# The realm's programs block, and the tests of authsrv allow nobody that on the loop.
off = asyncio.to_thread

PATIENCE_S = 30.0
LONG = 3600.0
WELCOME = Established(ALICE, b"proof")


# The keytab.


def make_missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_without_keys(path: Path) -> None:
    path.write_bytes(b"\x05\x02")


def make_directory(path: Path) -> None:
    path.mkdir()


def make_unreadable(path: Path) -> None:
    # Its first page is not mapped: reading fails with EIO, for root too, whom no mode keeps out.
    path.symlink_to("/proc/self/mem")


def make_text(path: Path) -> None:
    path.write_text("this is no keytab\n")


def make_truncated(path: Path) -> None:
    path.write_bytes(b"\x05\x02\0\0\0\x55half of a key")


def repair(path: Path, good: Path) -> None:
    """Put a keytab where a wrong one was, long ago by its time."""
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(good.read_bytes())
    os.utime(path, (1, 1))


WRONG = {
    make_missing: "the keytab {} does not exist",
    make_empty: "the keytab {} is empty",
    make_without_keys: "the keytab {} is empty",
    make_directory: "the keytab {} is not a regular file",
    make_unreadable: "the keytab {} cannot be read: Input/output error",
    make_text: "{} is not a keytab",
    make_truncated: "the keytab {} is truncated",
}


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.usefixtures("kerberos_environment")
class TestStore:
    """Where it is remembered what was used, in place of MIT's replay cache."""

    async def test_whose_file_is_deleted_lets_nobody_in_any_more(
        self, witness: LeakMonitor, kerberos_keytab: Path, own_folder: Path
    ) -> None:
        store = MachineStore(own_folder / "store", max_claims=4_096)
        provider = GssapiProvider(kerberos_keytab, replay=store)
        async with serve(witness, provider=provider) as server:
            token = fresh_token()
            await server.must_let_in(token)
            store.path.unlink()
            words = rf"the store {store.path} is out of use: its file was deleted or replaced; .*"
            for sent in (token, fresh_token()):
                answer = await server.ask(sent)
                witness.expect(answer, 503, "store-fault", words, level=logging.ERROR)

    async def test_that_is_not_ours_is_told_at_start_and_lets_nobody_in(
        self, witness: LeakMonitor, kerberos_keytab: Path, own_folder: Path
    ) -> None:
        os.chmod(own_folder, 0o755)
        store = MachineStore(own_folder / "store", max_claims=4_096)
        cause = f"{own_folder} is not a folder that only this user can enter"
        provider = GssapiProvider(kerberos_keytab, replay=store)
        async with serve(witness, provider=provider) as server:
            told = f"authentication is not possible yet: {cause}"
            assert told in [record.getMessage() for record in witness.log.records]
            answer = await server.ask(fresh_token())
            witness.expect(answer, 503, "store-fault", cause, level=logging.ERROR)
            os.chmod(own_folder, 0o700)
            await server.must_let_in(fresh_token())

    async def test_that_is_full_is_503_and_knows_what_it_knew(
        self, witness: LeakMonitor, kerberos_keytab: Path
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, replay=MemoryStore(max_claims=1))
        async with serve(witness, provider=provider) as server:
            token = fresh_token()
            await server.must_let_in(token)
            answer = await server.ask(fresh_token())
            words = "the store is full: 1 entries"
            witness.expect(answer, 503, "store-fault", words, level=logging.ERROR)
            witness.expect(await server.ask(token), 401, "replay", "the token was used before")


@pytest.mark.usefixtures("kerberos_environment")
class TestReplayCache:
    @pytest.mark.parametrize("flags", [[MUTUAL], [INTEGRITY]], ids=["mutual", "not mutual"])
    @pytest.mark.parametrize("provider", ["gssapi", "pyspnego"])
    async def test_that_cannot_be_written_is_503_with_the_cause_until_it_can(
        self,
        witness: LeakMonitor,
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        provider: str,
        flags: list[object],
    ) -> None:
        """A client that asks for no mutual authentication is not called a replay either."""
        folder = tmp_path / "absent"
        monkeypatch.setenv("KRB5RCACHEDIR", str(folder))
        cause = (
            f"the replay cache {folder}/krb5_{os.geteuid()}.rcache2 cannot be opened for writing: "
            "No such file or directory"
        )
        settings = (
            {"provider": GssapiProvider(kerberos_keytab, replay=MITReplayCache())}
            if provider == "gssapi"
            else {"provider": PyspnegoProvider()}
        )
        async with serve(witness, **settings) as server:
            told = f"authentication is not possible yet: {cause}"
            assert told in [record.getMessage() for record in witness.log.records]
            token = fresh_token(flags=flags)
            for _ in range(2):
                answer = await server.ask(token)
                witness.expect(answer, 503, "replay-cache", cause, level=logging.ERROR)
            folder.mkdir()
            await server.must_let_in(token)
            witness.expect(await server.ask(token), 401, "replay", "the ticket's .* used before")


@pytest.mark.usefixtures("kerberos_environment")
class TestKeytab:
    @pytest.mark.parametrize("spoil", WRONG)
    async def test_that_is_no_good_is_503_with_the_cause_until_it_comes_right(
        self,
        witness: LeakMonitor,
        kerberos_keytab: Path,
        tmp_path: Path,
        spoil: Callable[[Path], None],
    ) -> None:
        path = tmp_path / "http.keytab"
        spoil(path)
        cause = WRONG[spoil].format(path)
        token = fresh_token()
        async with serve(witness, keytab=path) as server:
            told = f"authentication is not possible yet: {cause}"
            assert told in [record.getMessage() for record in witness.log.records]
            for _ in range(2):
                answer = await server.ask(token)
                witness.expect(answer, 503, "keytab", cause, level=logging.ERROR)
            # Whoever sends no token is asked for one all the same.
            assert (await server.ask()).text == CHALLENGE

            repair(path, kerberos_keytab)
            await server.must_let_in(token)

    async def test_without_a_key_for_the_service_is_503(
        self, witness: LeakMonitor, kerberos_keytab: Path
    ) -> None:
        settings = {"keytab": kerberos_keytab, "service": "HTTP/absent.test"}
        async with serve(witness, **settings) as server:
            answer = await server.ask(fresh_token())
            words = f"the keytab {kerberos_keytab} has no key for HTTP/absent.test"
            witness.expect(answer, 503, "keytab", words, level=logging.ERROR)

    async def test_that_is_replaced_while_the_server_runs_is_taken_up(
        self, witness: LeakMonitor, kerberos_realm: Realm, tmp_path: Path
    ) -> None:
        service, host = "HTTP/replaced.test", "HTTP@replaced.test"
        await off(kerberos_realm.add_service, service)
        path = await off(kerberos_realm.write_keytab, tmp_path / "http.keytab", [service])
        os.utime(path, (1, 1))
        async with serve(witness, keytab=path) as server:
            await server.must_let_in(fresh_token(host))

            new = await off(kerberos_realm.rotate_key, service)
            await off(kerberos_realm.login, "alice")
            token = fresh_token(host)
            words = f"the ticket for .* has key version {new}; the keytab has {new - 1}"
            witness.expect(await server.ask(token), 401, "key-version", words)

            await off(kerberos_realm.write_keytab, path, [service])
            os.utime(path, (2, 2))
            # The file is looked at a few times a second.
            async with asyncio.timeout(PATIENCE_S):
                while (await server.ask(token)).status != 200:
                    await asyncio.sleep(0.05)
            assert any(
                f"the keytab {path} was replaced" in line.getMessage()
                for line in witness.log.records
            )

    @pytest.mark.parametrize("spoil", WRONG)
    async def test_that_breaks_while_the_server_runs_leaves_the_good_keys_in_use(
        self,
        witness: LeakMonitor,
        kerberos_keytab: Path,
        tmp_path: Path,
        spoil: Callable[[Path], None],
    ) -> None:
        path = tmp_path / "http.keytab"
        repair(path, kerberos_keytab)
        provider = GssapiProvider(KeytabFile(path, settle_seconds=0.0))
        async with serve(witness, provider=provider) as server:
            await server.must_let_in(fresh_token())
            path.unlink()
            spoil(path)
            for _ in range(3):
                await server.must_let_in(fresh_token())
        lines = [line for line in witness.log.records if line.name == "authsrv.keytab"]
        # What is put there can be read by everybody, which is a warning.
        told = [line.getMessage() for line in lines if line.levelno == logging.ERROR]
        assert told == [f"{WRONG[spoil].format(path)}; the keys read before stay in use"]


# The provider.


class RaisesEverywhere(ScriptedProvider):
    """A provider whose contexts raise in one method."""

    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__([Established(ALICE)])
        self.where = where
        self.error = error
        self.armed = False

    def create_context(self, request: ContextRequest) -> ScriptedContext:
        if self.armed and self.where == "create_context":
            raise self.error
        context = super().create_context(request)
        return context if not self.armed else _Raising(context, self)  # type: ignore[return-value]


class _Raising:
    def __init__(self, inner: ScriptedContext, provider: RaisesEverywhere) -> None:
        self.inner = inner
        self.provider = provider

    def step(self, token: bytes) -> Result:
        if self.provider.where == "step":
            raise self.provider.error
        return self.inner.step(token)

    def complete(self) -> Result:
        return self.inner.complete()

    def delete(self) -> None:
        self.inner.delete()
        if self.provider.where == "delete":
            raise self.provider.error


SECRET = "the password is hunter2"


class TestProvider:
    @pytest.mark.parametrize(
        "error",
        [
            ValueError(SECRET),
            KeyError(SECRET),
            RuntimeError(SECRET),
            StopIteration(SECRET),
            SystemExit(SECRET),
            KeyboardInterrupt(SECRET),
            asyncio.CancelledError(SECRET),
            type("TheirOwnError", (Exception,), {})(SECRET),
        ],
        ids=lambda error: type(error).__name__,
    )
    async def test_that_raises_in_a_step_is_500_and_its_text_is_nobodys_business(
        self, witness: LeakMonitor, error: BaseException
    ) -> None:
        witness.secrets += [SECRET, "hunter2"]
        provider = RaisesEverywhere("step", error)
        async with serve(witness, provider=provider) as server:
            provider.armed = True
            answer = await server.ask(TOKEN)
            words = f"the provider raised {type(error).__name__}"
            witness.expect(answer, 500, "provider-fault", words, level=logging.ERROR)
            await until(lambda: provider.open_contexts == 0)
            provider.armed = False
            await server.must_let_in(TOKEN)

    async def test_that_runs_out_of_memory_is_503(self, witness: LeakMonitor) -> None:
        witness.secrets.append("hunter2")
        provider = RaisesEverywhere("step", MemoryError(SECRET))
        async with serve(witness, provider=provider) as server:
            provider.armed = True
            answer = await server.ask(TOKEN)
            words = "the provider raised MemoryError"
            witness.expect(answer, 503, "overloaded", words, level=logging.ERROR)

    async def test_that_makes_no_context_is_500(self, witness: LeakMonitor) -> None:
        witness.secrets.append("hunter2")
        provider = RaisesEverywhere("create_context", OSError(24, SECRET))
        async with serve(witness, provider=provider) as server:
            provider.armed = True
            answer = await server.ask(TOKEN)
            words = "the provider raised OSError for a new context"
            witness.expect(answer, 500, "provider-fault", words, level=logging.ERROR)
            assert server.auth.acceptor.pending == 0

    async def test_that_raises_in_delete_harms_nobody(self, witness: LeakMonitor) -> None:
        witness.secrets.append("hunter2")
        provider = RaisesEverywhere("delete", ValueError(SECRET))
        async with serve(witness, provider=provider) as server:
            provider.armed = True
            await server.must_let_in(TOKEN)
            await server.must_let_in(TOKEN)
        assert "the provider raised ValueError in delete" in [
            line.getMessage() for line in witness.log.records if line.levelno == logging.ERROR
        ]

    @pytest.mark.parametrize(
        "nobody",
        [
            lambda token: Established(Identity("", "scripted")),
            lambda token: Established(Identity("  ", "scripted")),
            lambda token: Established(Identity(None, "scripted")),  # type: ignore[arg-type]
            lambda token: Established(Identity("alice", "")),
            lambda token: Established(None),  # type: ignore[arg-type]
            lambda token: Established("alice"),  # type: ignore[arg-type]
            lambda token: None,
            lambda token: True,
            lambda token: "alice",
        ],
    )
    async def test_that_says_ok_without_a_name_is_500(
        self, witness: LeakMonitor, nobody: Callable[[bytes], Any]
    ) -> None:
        provider = ScriptedProvider([nobody])
        async with serve(witness, provider=provider) as server:
            answer = await server.ask(TOKEN)
            words = (
                "the provider (named no (principal|mechanism)|"
                "reported success without an identity|"
                "answered (NoneType|bool|str), which is not a result)"
            )
            witness.expect(answer, 500, "provider-fault", words, level=logging.ERROR)
        assert provider.open_contexts == 0

    async def test_whose_ok_was_forged_past_all_checks_lets_nobody_in(
        self, witness: LeakMonitor
    ) -> None:
        forged = object.__new__(Established)
        object.__setattr__(forged, "identity", None)
        object.__setattr__(forged, "token", b"")
        async with serve(witness, provider=ScriptedProvider([forged])) as server:
            assert (await server.ask(TOKEN)).status != 200

    @pytest.mark.parametrize(
        "late", [Established(ALICE), Continue(b"challenge"), Refused(LogonDeniedError("no"))]
    )
    async def test_that_hangs_is_503_at_the_deadline_and_its_context_goes_when_it_returns(
        self, witness: LeakMonitor, late: Act
    ) -> None:
        provider = ScriptedProvider([Delay(LONG, late)])
        limits = Limits(step_seconds=0.05)
        async with serve(witness, provider=provider, limits=limits) as server:
            began = time.monotonic()
            answer = await server.ask(TOKEN)
            assert time.monotonic() - began < PATIENCE_S
            words = "the provider did not answer within 0.05 s"
            witness.expect(answer, 503, "deadline", words, level=logging.ERROR)
            assert provider.open_contexts == 1
            assert server.auth.acceptor.pending == 0
            provider.release()
            await until(lambda: provider.open_contexts == 0)
            provider._script = (Established(ALICE),)
            await server.must_let_in(TOKEN)

    async def test_that_hangs_for_all_is_503_for_those_that_come_too_many(
        self, witness: LeakMonitor
    ) -> None:
        provider = ScriptedProvider([Delay(LONG, Established(ALICE))])
        limits = Limits(step_seconds=0.5, max_workers=1, max_queued=1)
        async with serve(witness, provider=provider, limits=limits) as server:
            acceptor = server.auth.acceptor
            waiting = [
                asyncio.ensure_future(acceptor.create_handshake().advance(TOKEN)) for _ in range(2)
            ]
            await asyncio.sleep(0)
            await until(lambda: acceptor.pool.occupied == 1)
            answer = await server.ask(TOKEN)
            words = r"\d+ calls wait for a thread"
            witness.expect(answer, 503, "overloaded", words, level=logging.ERROR)
            provider.release()
            for leg in await asyncio.gather(*waiting):
                assert not isinstance(leg.result, Continue)
            await until(lambda: provider.open_contexts == 0)

    async def test_that_can_never_work_stops_the_start(self, witness: LeakMonitor) -> None:
        witness.lines.append("there is no server to hear")
        provider = ScriptedProvider(fault=ConfigError("its settings are wrong"))
        with pytest.raises(ConfigError, match="settings are wrong"):
            async with serve(witness, provider=provider):
                pass


# Clients that go.


async def knock(server: Server, token: bytes) -> asyncio.StreamWriter:
    """Send a request on a connection of its own, and do not wait for the answer."""
    host, port = server.url.removeprefix("http://").rstrip("/").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: {negotiate(token)}\r\n\r\n"
    writer.write(request.encode())
    await writer.drain()
    server.witness.tokens.append(token)
    return writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def entered(provider: ScriptedProvider, then: Act = WELCOME) -> tuple[Act, Callable[[], bool]]:
    """An act that blocks until the provider is released, and whether it has begun."""
    begun: list[bool] = []

    def act(token: bytes) -> Act:
        begun.append(True)
        return Delay(LONG, then)

    return act, lambda: bool(begun)


class TestClientsThatGo:
    async def test_during_the_accept_leave_nothing_open(self, witness: LeakMonitor) -> None:
        provider = ScriptedProvider()
        act, begun = entered(provider)
        provider._script = (act,)
        async with serve(witness, provider=provider) as server:
            writer = await knock(server, TOKEN)
            await until(begun)
            await hang_up(writer)
            assert provider.open_contexts == 1
            provider.release()
            await until(lambda: provider.open_contexts == 0)
            await until(lambda: bool(witness.audit("established")))
            assert server.auth.acceptor.pending == 0
            await server.must_let_in(TOKEN)

    @pytest.mark.parametrize("then", [WELCOME, Continue(b"challenge"), ValueError("no")])
    async def test_during_the_accept_cancel_the_request_where_the_server_does_that(
        self, witness: LeakMonitor, then: Act
    ) -> None:
        provider = ScriptedProvider()
        act, begun = entered(provider, then)
        provider._script = (act,)
        runner = {"handler_cancellation": True}
        async with serve(witness, runner=runner, provider=provider) as server:
            acceptor = server.auth.acceptor
            writer = await knock(server, TOKEN)
            await until(begun)
            assert acceptor.pending == 1
            await hang_up(writer)
            # The handshake has ended at once; its context goes with the call that uses it.
            await until(lambda: acceptor.pending == 0)
            (record,) = witness.audit("abandoned")
            assert record.levelno == logging.WARNING
            assert (
                "cause=cancelled "
                'reason="the request was cancelled: its client has gone, or the server stops"'
            ) in record.getMessage()
            assert f"token=unknown,{len(TOKEN)}B" in record.getMessage()
            assert provider.open_contexts == 1
            provider.release()
            await until(lambda: provider.open_contexts == 0)
            assert witness.audit("established") == witness.audit("continued") == []
            provider._script = (Established(ALICE),)
            await server.must_let_in(TOKEN)

    async def test_before_a_thread_was_free_never_reach_the_package(
        self, witness: LeakMonitor
    ) -> None:
        provider = ScriptedProvider()
        act, begun = entered(provider)
        provider._script = (act,)
        runner = {"handler_cancellation": True}
        limits = Limits(max_workers=1)
        async with serve(witness, runner=runner, provider=provider, limits=limits) as server:
            first = await knock(server, TOKEN)
            await until(begun)
            second = await knock(server, TOKEN)
            await until(lambda: server.auth.acceptor.pending == 2)
            await hang_up(second)
            await until(lambda: server.auth.acceptor.pending == 1)
            provider.release()
            await until(lambda: provider.open_contexts == 0)
            await hang_up(first)
        assert len(witness.audit("established")) == 1

    @pytest.mark.usefixtures("kerberos_environment")
    async def test_at_once_harm_a_real_acceptor_in_nothing(
        self, witness: LeakMonitor, kerberos_keytab: Path
    ) -> None:
        async with serve(
            witness, runner={"handler_cancellation": True}, keytab=kerberos_keytab
        ) as server:
            for _ in range(30):
                writer = await knock(server, fresh_token())
                await hang_up(writer)
            await until(lambda: server.auth.acceptor.pending == 0)
            await server.must_let_in(fresh_token())

    async def test_when_the_server_stops_their_handshakes_end(self, witness: LeakMonitor) -> None:
        provider = ScriptedProvider([Continue(b"challenge")])
        async with serve(witness, provider=provider) as server:
            assert (await server.ask(TOKEN)).text == CHALLENGE
            assert provider.open_contexts == 1
        await until(lambda: provider.open_contexts == 0)


# Handshakes that are begun and abandoned.

ABANDONED = 10_000


def fill(limits: Limits) -> tuple[Acceptor, ScriptedProvider]:
    provider = ScriptedProvider([Continue(b"challenge"), Established(ALICE)])
    return Acceptor(provider, limits=limits), provider


async def begin_many(acceptor: Acceptor, count: int) -> None:
    """Begin handshakes, each up to the second token, and forget them."""
    # The loop's debug mode keeps a traceback of each task, and takes most of the time.
    asyncio.get_running_loop().set_debug(False)
    for _ in range(count // 100):
        legs = await asyncio.gather(
            *(acceptor.create_handshake().advance(TOKEN) for _ in range(100))
        )
        assert all(isinstance(leg.result, Continue) for leg in legs)


def count_living() -> int:
    """How many handshakes and contexts there are, those included that other tests left."""
    kinds = Handshake, HandshakeMachine, ScriptedContext
    return sum(isinstance(thing, kinds) for thing in gc.get_objects())


class TestAbandonedHandshakes:
    async def test_ten_thousand_of_them_end_by_themselves_and_leave_no_memory(self) -> None:
        gc.collect()
        living = count_living()
        limits = Limits(handshake_seconds=2.0, max_pending=2 * ABANDONED)
        acceptor, provider = fill(limits)

        async def abandon(count: int) -> int:
            before = provider.created
            await begin_many(acceptor, count)
            assert provider.created == before + count
            await until(lambda: acceptor.pending == 0 and provider.open_contexts == 0)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        async with acceptor:
            tracemalloc.start()
            try:
                # The first ones pay for threads, caches and tables that grow once.
                before = await abandon(ABANDONED)
                after = await abandon(ABANDONED)
            finally:
                tracemalloc.stop()
        assert provider.created == provider.deleted == 2 * ABANDONED
        # One that leaks takes a kilobyte. Tables keep the size of their fullest hour, which depends
        # on how many were pending at once.
        assert after - before < 64 * ABANDONED, f"{after - before} bytes more"
        assert count_living() <= living

    async def test_ten_thousand_pending_is_where_it_ends(self) -> None:
        limits = Limits(handshake_seconds=60.0)
        assert limits.max_pending == ABANDONED
        acceptor, provider = fill(limits)
        async with acceptor:
            await begin_many(acceptor, ABANDONED)
            assert acceptor.pending == provider.open_contexts == ABANDONED
            leg = await acceptor.create_handshake().advance(TOKEN)
            assert leg.result.error.detail == "10000 handshakes wait for their clients"
        await until(lambda: provider.open_contexts == 0)
        assert acceptor.pending == 0

    async def test_too_many_pending_are_503_over_http(self, witness: LeakMonitor) -> None:
        provider = ScriptedProvider([Continue(b"challenge"), Established(ALICE)])
        async with serve(witness, provider=provider, limits=Limits(max_pending=1)) as server:
            other = server.auth.acceptor.create_handshake()
            await other.advance(TOKEN)
            answer = await server.ask(TOKEN)
            words = "1 handshakes wait for their clients"
            witness.expect(answer, 503, "overloaded", words, level=logging.ERROR)
            other.close()
            assert (await server.ask(TOKEN)).text == CHALLENGE
            await server.must_let_in(TOKEN)

    async def test_connections_that_their_clients_close_end_them_at_once(
        self, witness: LeakMonitor
    ) -> None:
        provider = ScriptedProvider([Continue(b"challenge"), Established(ALICE)])
        # Far longer than the test: only the closing of the connection ends them.
        async with serve(
            witness, provider=provider, limits=Limits(handshake_seconds=LONG)
        ) as server:
            acceptor = server.auth.acceptor
            for _ in range(5):
                writers = await asyncio.gather(*(knock(server, TOKEN) for _ in range(40)))
                await until(lambda: len(witness.audit("continued")) % 40 == 0)
                await until(lambda: acceptor.pending == 40)
                await asyncio.gather(*map(hang_up, writers))
                await until(lambda: acceptor.pending == 0)
            await until(lambda: provider.open_contexts == 0)
            assert provider.created >= 200
            assert len(server.auth._connections) == 0

    async def test_connections_that_stay_open_end_them_at_their_deadline(
        self, witness: LeakMonitor
    ) -> None:
        provider = ScriptedProvider([Continue(b"challenge"), Established(ALICE)])
        limits = Limits(handshake_seconds=1.0)
        async with serve(witness, provider=provider, limits=limits) as server:
            writers = await asyncio.gather(*(knock(server, TOKEN) for _ in range(20)))
            await until(lambda: len(witness.audit("continued")) == 20)
            await until(lambda: server.auth.acceptor.pending == 0)
            await until(lambda: provider.open_contexts == 0)
            await asyncio.gather(*map(hang_up, writers))
            # Who comes back too late begins anew.
            assert (await server.ask(TOKEN)).text == CHALLENGE


# The witness itself.


def test_the_witness_sees_a_token_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    witness = LeakMonitor(caplog, lines=[f"oops: {TOKEN!r}"], tokens=[TOKEN])
    with pytest.raises(AssertionError, match="shows"):
        witness.check()
    assert find_leak(negotiate(TOKEN), TOKEN) is not None


def test_the_witness_sees_a_text_in_a_response(caplog: pytest.LogCaptureFixture) -> None:
    witness = LeakMonitor(caplog, lines=["ValueError: hunter2"], secrets=["hunter2"])
    with pytest.raises(AssertionError, match="secret text"):
        witness.check()


def test_a_refusal_is_no_result_that_holds_its_token_in_its_repr() -> None:
    assert find_leak(repr(Refused(ConfigError("no"), TOKEN)), TOKEN) is None
