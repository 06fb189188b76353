"""The client against servers that lie, and requests that are cancelled: it fails closed."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web
from waiting import until
from websites import Evil, challenge, own_site, served, session_of

from authsrv.client import NegotiateClient, ServerProof, TicketCache, Timing, bodies
from authsrv.core.flags import AscRet
from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
from authsrv.core.results import Continue, Established, Refused
from authsrv.errors import (
    LogonDeniedError,
    MutualAuthenticationError,
    NoCredentialError,
    OverloadedError,
    ProviderFaultError,
)
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.scripted import Act, Delay, ScriptedProvider
from authsrv.testing.leaks import find_leak

PROVEN = Established(Identity("HTTP/localhost", "scripted", attributes=AscRet.MUTUAL_AUTH))
UNPROVEN = Established(Identity("HTTP/localhost", "scripted"))
FIRST = Continue(b"first token of the client")

Answer = Callable[[web.Request, bytes | None], Awaitable[web.StreamResponse]]


@pytest.fixture
def acceptor(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> GssapiProvider:
    return GssapiProvider(kerberos_keytab)


@pytest.fixture
async def negotiate(kerberos_environment: dict[str, str]) -> AsyncIterator[NegotiateClient]:
    async with NegotiateClient(["localhost"]) as client:
        yield client


def ask_first(answer: Answer) -> Evil:
    """A server that asks for a token, and then answers by the script."""

    async def either(request: web.Request, token: bytes | None) -> web.StreamResponse:
        if token is None:
            return refuse(challenge())
        return await answer(request, token)

    return Evil(either)


def always(response: Callable[[], web.Response]) -> Answer:
    async def answer(request: web.Request, token: bytes | None) -> web.StreamResponse:
        return response()

    return answer


def refuse(*challenges: str, text: str = "no") -> web.Response:
    response = web.Response(status=401, text=text)
    for value in challenges:
        response.headers.add("WWW-Authenticate", value)
    return response


def welcome(*challenges: str, status: int = 200, **headers: str) -> web.Response:
    response = web.Response(status=status, text="a lie" if status != 204 else None)
    response.headers.update(headers)
    for value in challenges:
        response.headers.add("WWW-Authenticate", value)
    return response


@asynccontextmanager
async def meeting(
    evil: Evil, negotiate: NegotiateClient
) -> AsyncIterator[tuple[ClientSession, str]]:
    async with served(evil.app) as port, session_of(negotiate) as session:
        yield session, f"http://localhost:{port}/"


def scripted(*script: Act, **options: Any) -> tuple[ScriptedProvider, NegotiateClient]:
    provider = ScriptedProvider(script)
    return provider, NegotiateClient(["localhost"], credential=provider, **options)


async def all_deleted(provider: ScriptedProvider) -> None:
    await until(lambda: not provider.open_contexts)


class TestTheProofOfTheServer:
    @pytest.mark.parametrize("status", [200, 204, 302, 403, 404, 500, 503])
    async def test_a_response_without_one_is_given_to_nobody(
        self, negotiate: NegotiateClient, status: int
    ) -> None:
        evil = ask_first(always(lambda: welcome(status=status, Location="/next")))
        async with meeting(evil, negotiate) as (session, url):
            with pytest.raises(MutualAuthenticationError) as caught:
                await session.get(url)
        told = f"the response {status} of HTTP/localhost is not trusted: "
        assert caught.value.detail == told + "it does not prove which server sent it"
        assert len(evil.tokens) == 2

    @pytest.mark.parametrize(
        "value",
        [
            "Negotiate !!!",
            'Negotiate realm="x"',
            "Negotiate",
            '"',
            "Negotiate " + "A" * 8000,
        ],
    )
    async def test_a_wrong_one_is_given_to_nobody(
        self, negotiate: NegotiateClient, value: str
    ) -> None:
        evil = ask_first(always(lambda: welcome(value)))
        async with meeting(evil, negotiate) as (session, url):
            with pytest.raises(MutualAuthenticationError, match="the response 200 of"):
                await session.get(url)

    async def test_two_of_them_are_none(
        self, negotiate: NegotiateClient, acceptor: GssapiProvider
    ) -> None:
        async def prove_twice(request: web.Request, token: bytes | None) -> web.Response:
            proof = challenge(await proof_for(acceptor, token))
            return welcome(proof, proof)

        async with meeting(ask_first(prove_twice), negotiate) as (session, url):
            with pytest.raises(MutualAuthenticationError):
                await session.get(url)

    async def test_the_right_one_is_believed(
        self, negotiate: NegotiateClient, acceptor: GssapiProvider
    ) -> None:
        async def prove(request: web.Request, token: bytes | None) -> web.Response:
            return welcome(challenge(await proof_for(acceptor, token)))

        async with meeting(ask_first(prove), negotiate) as (session, url):
            async with session.get(url) as response:
                assert await response.text() == "a lie"

    async def test_the_response_is_closed_and_its_connection_is_not_used_again(
        self, negotiate: NegotiateClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed: list[ClientResponse] = []
        close = ClientResponse.close

        def note(response: ClientResponse) -> None:
            closed.append(response)
            close(response)

        monkeypatch.setattr(ClientResponse, "close", note)
        evil = ask_first(always(lambda: welcome(challenge(b"garbage"))))
        async with meeting(evil, negotiate) as (session, url):
            with pytest.raises(MutualAuthenticationError):
                await session.get(url)
        assert [response.status for response in closed] == [200]

    async def test_where_none_is_required_a_missing_one_is_passed_over(
        self, kerberos_environment: dict[str, str]
    ) -> None:
        evil = ask_first(always(welcome))
        async with NegotiateClient(["localhost"], proof=ServerProof.OPTIONAL) as client:
            async with meeting(evil, client) as (session, url):
                async with session.get(url) as response:
                    assert response.status == 200

    async def test_where_none_is_required_a_wrong_one_is_wrong_all_the_same(
        self, kerberos_environment: dict[str, str]
    ) -> None:
        evil = ask_first(always(lambda: welcome(challenge(b"garbage"))))
        async with NegotiateClient(["localhost"], proof=ServerProof.OPTIONAL) as client:
            async with meeting(evil, client) as (session, url):
                with pytest.raises(MutualAuthenticationError):
                    await session.get(url)

    async def test_a_server_that_asks_for_nothing_is_believed_unless_proofs_are_for_always(
        self, kerberos_environment: dict[str, str]
    ) -> None:
        evil = Evil(always(welcome))
        async with NegotiateClient(["localhost"]) as client:
            async with meeting(evil, client) as (session, url), session.get(url) as response:
                assert response.status == 200
        async with NegotiateClient(["localhost"], proof=ServerProof.ALWAYS) as client:
            async with meeting(evil, client) as (session, url):
                with pytest.raises(MutualAuthenticationError):
                    await session.get(url)

    async def test_a_package_that_proves_nothing_proves_nothing(self) -> None:
        _, client = scripted(FIRST, UNPROVEN)
        evil = ask_first(always(lambda: welcome(challenge(b"proof"))))
        async with client, meeting(evil, client) as (session, url):
            with pytest.raises(MutualAuthenticationError):
                await session.get(url)

    async def test_a_handshake_that_would_go_on_proves_nothing(self) -> None:
        _, client = scripted(FIRST, Continue(b"more"), PROVEN)
        evil = ask_first(always(lambda: welcome(challenge(b"proof"))))
        async with client, meeting(evil, client) as (session, url):
            with pytest.raises(MutualAuthenticationError):
                await session.get(url)

    async def test_a_package_that_breaks_is_not_the_servers_fault(self) -> None:
        _, client = scripted(FIRST, ValueError("broken"))
        evil = ask_first(always(lambda: welcome(challenge(b"proof"))))
        async with client, meeting(evil, client) as (session, url):
            with pytest.raises(ProviderFaultError):
                await session.get(url)


async def proof_for(acceptor: GssapiProvider, token: bytes | None) -> bytes:
    context = acceptor.create_context(ContextRequest())
    result = await asyncio.to_thread(context.step, token or b"")
    assert isinstance(result, Established), result
    return result.token


class TestChallenges:
    @pytest.mark.parametrize(
        "values",
        [
            (),
            ('Basic realm="x"',),
            ("Negotiate", "Negotiate"),
            ('Negotiate realm="x"',),
            ("Negotiate !!!",),
            ('"',),
            ("NTLM",),
        ],
    )
    async def test_one_that_is_none_of_ours_or_malformed_is_not_answered(
        self, negotiate: NegotiateClient, values: tuple[str, ...]
    ) -> None:
        evil = Evil(always(lambda: refuse(*values)))
        async with meeting(evil, negotiate) as (session, url):
            async with session.get(url) as response:
                assert (response.status, await response.text()) == (401, "no")
        assert evil.tokens == [None]

    @pytest.mark.parametrize(
        "values",
        [
            ("negotiate",),
            ('Basic realm="x", Negotiate, NTLM',),
            ("Digest a=b, c=d", "Negotiate", "Basic"),
            (challenge(b"a token before ours"),),
        ],
    )
    async def test_it_is_found_among_others(
        self, negotiate: NegotiateClient, values: tuple[str, ...]
    ) -> None:
        evil = Evil(always(lambda: refuse(*values)))
        async with meeting(evil, negotiate) as (session, url):
            async with session.get(url) as response:
                assert response.status == 401
        assert len(evil.tokens) == 2
        assert evil.tokens[1]

    @pytest.mark.parametrize("value", [challenge(), challenge(b"garbage"), "Negotiate !!!"])
    async def test_one_after_our_token_is_the_last_word(
        self, negotiate: NegotiateClient, value: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        evil = ask_first(always(lambda: refuse(value, text="still no")))
        async with meeting(evil, negotiate) as (session, url):
            async with session.get(url) as response:
                assert (response.status, await response.text()) == (401, "still no")
        assert len(evil.tokens) == 2
        assert "refused by=HTTP/localhost http=401 cause=" in caplog.text
        assert negotiate.initiator.pending == 0

    async def test_a_storm_of_them_ends_at_the_limit_of_rounds(self) -> None:
        provider, client = scripted(*[FIRST] * 20, limits=Limits(max_rounds=4))
        evil = ask_first(always(lambda: refuse(challenge(b"again"))))
        async with client, meeting(evil, client) as (session, url):
            async with session.get(url) as response:
                assert response.status == 401
            assert len(evil.tokens) == 1 + 4
            await all_deleted(provider)

    async def test_a_handshake_of_several_legs_comes_to_its_end(self) -> None:
        provider, client = scripted(FIRST, Continue(b"second"), PROVEN)

        async def converse(request: web.Request, token: bytes | None) -> web.Response:
            again = token != b"second"
            return (refuse if again else welcome)(challenge(b"again" if again else b"proof"))

        evil = ask_first(converse)
        async with client, meeting(evil, client) as (session, url):
            async with session.post(url, data=b"body") as response:
                assert response.status == 200
            assert evil.tokens == [None, FIRST.token, b"second"]
            await all_deleted(provider)

    async def test_the_last_token_of_a_handshake_is_sent(self) -> None:
        last = Established(PROVEN.identity, b"last")
        _, client = scripted(FIRST, last)

        async def converse(request: web.Request, token: bytes | None) -> web.Response:
            return welcome() if token == b"last" else refuse(challenge(b"again"))

        evil = ask_first(converse)
        async with client, meeting(evil, client) as (session, url):
            async with session.get(url) as response:
                assert response.status == 200
        assert evil.tokens == [None, FIRST.token, b"last"]

    async def test_a_stream_is_never_sent_twice(self) -> None:
        async def stream() -> AsyncIterator[bytes]:
            yield b"once"

        provider, client = scripted(FIRST, Continue(b"second"), PROVEN)
        evil = Evil(always(lambda: refuse(challenge(b"again"))))
        async with client, meeting(evil, client) as (session, url):
            async with session.post(url, data=stream()) as response:
                assert response.status == 401
            assert evil.tokens == [FIRST.token]
            await all_deleted(provider)

    async def test_an_overlong_challenge_is_not_answered(self) -> None:
        _, client = scripted(FIRST, PROVEN, limits=Limits(max_token_bytes=100))
        evil = Evil(always(lambda: refuse(challenge(bytes(101)))))
        async with client, meeting(evil, client) as (session, url):
            async with session.get(url) as response:
                assert response.status == 401
        assert evil.tokens == [None]


class TestBodiesOfChallenges:
    async def test_a_large_one_is_not_read_to_its_end(self) -> None:
        sent = 0

        async def flood(request: web.Request, token: bytes | None) -> web.StreamResponse:
            nonlocal sent
            if token is not None:
                return welcome(challenge(b"proof"))
            response = web.StreamResponse(status=401, headers={"WWW-Authenticate": "Negotiate"})
            await response.prepare(request)
            try:
                while sent < 100_000_000:
                    await response.write(bytes(65_536))
                    sent += 65_536
            except ConnectionError:
                pass
            return response

        _, client = scripted(FIRST, PROVEN)
        async with client, meeting(Evil(flood), client) as (session, url):
            async with session.get(url) as response:
                assert response.status == 200
        assert sent < 50_000_000

    async def test_a_slow_one_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies, "_PATIENCE_S", 0.05)

        async def drip(request: web.Request, token: bytes | None) -> web.StreamResponse:
            if token is not None:
                return welcome(challenge(b"proof"))
            response = web.StreamResponse(status=401, headers={"WWW-Authenticate": "Negotiate"})
            await response.prepare(request)
            await response.write(b"x")
            await asyncio.sleep(30)
            return response

        _, client = scripted(FIRST, PROVEN)
        async with client, meeting(Evil(drip), client) as (session, url):
            async with asyncio.timeout(10), session.get(url) as response:
                assert response.status == 200

    async def test_a_cancel_while_one_is_read_closes_the_connection(self) -> None:
        reading = asyncio.Event()

        async def drip(request: web.Request, token: bytes | None) -> web.StreamResponse:
            response = web.StreamResponse(status=401, headers={"WWW-Authenticate": "Negotiate"})
            await response.prepare(request)
            await response.write(b"x")
            reading.set()
            await asyncio.sleep(30)
            return response

        provider, client = scripted(FIRST, PROVEN)
        async with client, meeting(Evil(drip), client) as (session, url):
            task = asyncio.ensure_future(session.get(url))
            await reading.wait()
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert session.connector is not None
            assert not session.connector._acquired
            assert not session.connector._conns
            assert provider.created == 0

    async def test_one_that_breaks_off_is_no_matter(self) -> None:
        async def break_off(request: web.Request, token: bytes | None) -> web.StreamResponse:
            if token is not None:
                return welcome(challenge(b"proof"))
            headers = {"WWW-Authenticate": "Negotiate", "Content-Length": "1000"}
            response = web.StreamResponse(status=401, headers=headers)
            await response.prepare(request)
            await response.write(b"x")
            assert request.transport is not None
            request.transport.close()
            return response

        _, client = scripted(FIRST, PROVEN)
        async with client, meeting(Evil(break_off), client) as (session, url):
            async with session.get(url) as response:
                assert response.status == 200

    async def test_the_connection_is_used_again(self) -> None:
        ports: set[Any] = set()

        async def note(request: web.Request, token: bytes | None) -> web.StreamResponse:
            assert request.transport is not None
            ports.add(request.transport.get_extra_info("peername"))
            return welcome(challenge(b"proof")) if token else refuse(challenge(), text="x" * 9_000)

        _, client = scripted(FIRST, PROVEN)
        async with client, meeting(Evil(note), client) as (session, url):
            async with session.get(url) as response:
                assert response.status == 200
        assert len(ports) == 1

    @pytest.mark.parametrize("make", [bytes.decode, io.BytesIO], ids=["text", "file in memory"])
    async def test_a_server_that_refuses_before_it_has_read_a_body_gets_all_of_it_then(
        self, make: Callable[[bytes], Any]
    ) -> None:
        body = bytes(range(250)) * 8_000 if make is io.BytesIO else b"x" * 1_000_000
        right: list[bool] = []

        async def hasty(request: web.Request, token: bytes | None) -> web.StreamResponse:
            if token is None:
                return refuse(challenge())
            right.append(await request.read() == body)
            return welcome(challenge(b"proof"))

        evil = Evil(hasty)
        _, client = scripted(FIRST, PROVEN)
        app = evil.app
        app._client_max_size = 1 << 24
        async with client, served(app) as port, session_of(client) as session:
            async with session.post(f"http://localhost:{port}/", data=make(body)) as response:
                assert response.status == 200
        assert right == [True]


class TestRedirects:
    async def test_another_server_gets_no_token(
        self, kerberos_keytab: Path, kerberos_environment: dict[str, str]
    ) -> None:
        evil = Evil(always(lambda: refuse(challenge())))
        async with served(evil.app) as elsewhere:
            app = redirecting_site(kerberos_keytab, f"http://evil.test:{elsewhere}/")
            for timing in Timing:
                async with NegotiateClient(["localhost"], timing=timing) as client:
                    async with served(app_of(app)) as port, session_of(client) as session:
                        async with session.get(f"http://localhost:{port}/away") as response:
                            assert response.status == 401
                            assert response.url.host == "evil.test"
        assert evil.tokens == [None, None]

    async def test_another_port_gets_none_where_the_port_is_named(
        self, kerberos_keytab: Path, kerberos_environment: dict[str, str]
    ) -> None:
        evil = Evil(always(lambda: refuse(challenge())))
        async with served(evil.app) as elsewhere:
            app = app_of(redirecting_site(kerberos_keytab, f"http://localhost:{elsewhere}/"))
            async with served(app) as port:
                async with NegotiateClient([f"http://localhost:{port}"]) as client:
                    async with session_of(client) as session:
                        async with session.get(f"http://localhost:{port}/away") as response:
                            assert response.status == 401
        assert evil.tokens == [None]

    async def test_a_server_on_the_list_gets_a_token_of_its_own(
        self, kerberos_keytab: Path, negotiate: NegotiateClient
    ) -> None:
        async with served(own_site(kerberos_keytab)) as second:
            app = app_of(redirecting_site(kerberos_keytab, f"http://localhost:{second}/"))
            async with served(app) as port, session_of(negotiate) as session:
                async with session.get(f"http://localhost:{port}/away") as response:
                    assert (await response.json())["name"] == "alice@AUTHSRV.TEST"
                    assert len(response.history) == 1


def redirecting_site(keytab: Path, location: str) -> Callable[[], web.Application]:
    async def go_away(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": location})

    def make() -> web.Application:
        app = own_site(keytab)
        app.router.add_get("/away", go_away)
        return app

    return make


def app_of(make: Callable[[], web.Application]) -> web.Application:
    return make()


class TestTheProvider:
    async def test_its_refusal_to_begin_is_told_and_nothing_is_sent(self) -> None:
        provider, client = scripted(Refused(NoCredentialError("no ticket")))
        evil = ask_first(always(welcome))
        async with client, meeting(evil, client) as (session, url):
            with pytest.raises(NoCredentialError, match="no ticket"):
                await session.get(url)
            await all_deleted(provider)
        assert evil.tokens == [None]

    async def test_a_beginning_without_a_token_is_its_fault(self) -> None:
        _, client = scripted(PROVEN)
        evil = ask_first(always(welcome))
        async with client, meeting(evil, client) as (session, url):
            with pytest.raises(ProviderFaultError, match="makes no first token"):
                await session.get(url)
        assert evil.tokens == [None]

    async def test_its_refusal_of_a_proof_is_the_servers_fault(self) -> None:
        _, client = scripted(FIRST, Refused(LogonDeniedError("the server says no")))
        evil = ask_first(always(lambda: welcome(challenge(b"proof"))))
        async with client, meeting(evil, client) as (session, url):
            with pytest.raises(MutualAuthenticationError, match="the server says no"):
                await session.get(url)

    async def test_too_many_requests_at_a_time_are_refused(self) -> None:
        limits = Limits(max_pending=1, max_queued=1, max_workers=1)
        provider, client = scripted(FIRST, PROVEN, limits=limits, timing=Timing.AT_ONCE)
        gate = asyncio.Event()

        async def wait(request: web.Request, token: bytes | None) -> web.Response:
            await gate.wait()
            return welcome(challenge(b"proof"))

        async with client, meeting(Evil(wait), client) as (session, url):
            tasks = [asyncio.ensure_future(session.get(url)) for _ in range(5)]
            await asyncio.sleep(0.2)
            gate.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            errors = [result for result in results if isinstance(result, BaseException)]
            assert {type(error) for error in errors} == {OverloadedError}
            for result in results:
                if isinstance(result, ClientResponse):
                    result.release()
            await all_deleted(provider)

    async def test_a_response_that_takes_long_is_waited_for(self) -> None:
        """The session's own timeout rules, not the one of a server's handshake."""
        _, client = scripted(FIRST, PROVEN)
        assert client.initiator.limits.handshake_seconds == 3_600


async def test_no_token_shows_in_a_log_an_error_or_a_repr(
    acceptor: GssapiProvider, negotiate: NegotiateClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proofs: list[bytes] = []

    async def alter(request: web.Request, token: bytes | None) -> web.Response:
        proofs.append((await proof_for(acceptor, token))[:-1] + b"x")
        status = 401 if request.path == "/no" else 200
        return (refuse if status == 401 else welcome)(challenge(proofs[-1]))

    evil = ask_first(alter)
    async with meeting(evil, negotiate) as (session, url):
        with pytest.raises(MutualAuthenticationError) as caught:
            await session.get(url)
        async with session.get(f"{url}no") as response:
            assert response.status == 401
            shown = [repr(response.request_info), repr(negotiate)]
    shown += [repr(caught.value), str(caught.value), caplog.text]
    shown += [str(vars(record)) for record in caplog.records if record.name != "aiohttp.access"]
    shown += [repr(caught.value.__cause__), repr(caught.value.__context__)]
    for token in [*filter(None, evil.tokens), *proofs]:
        assert find_leak("\n".join(shown), token) is None


class TestCancelling:
    @pytest.mark.parametrize("timing", Timing)
    @pytest.mark.parametrize(
        "script",
        [(FIRST, PROVEN), (Delay(60.0, FIRST), PROVEN), (FIRST, Delay(60.0, PROVEN))],
        ids=["quick", "slow to begin", "slow to check"],
    )
    async def test_whenever_it_comes_no_context_is_left(
        self, timing: Timing, script: tuple[Act, ...]
    ) -> None:
        evil = ask_first(always(lambda: welcome(challenge(b"proof"))))
        async with served(evil.app) as port:
            ended, turns = False, 0
            while not ended:
                provider, client = scripted(*script, timing=timing)
                async with client, session_of(client) as session:
                    ended = await cancel_after(turns, provider, session, port)
                    await all_deleted(provider)
                    assert client.initiator.pending == 0
                    assert session.connector is not None
                    assert not session.connector._acquired
                turns += 1
        assert turns > 5


async def cancel_after(
    turns: int, provider: ScriptedProvider, session: ClientSession, port: int
) -> bool:
    """Cancel a request after some turns of the loop; tell whether it had ended by itself."""

    async def fetch() -> None:
        async with session.get(f"http://localhost:{port}/") as response:
            assert await response.text() == "a lie"

    task = asyncio.ensure_future(fetch())
    for turn in range(turns):
        if turn == 6:
            provider.release()
        if task.done():
            break
        # Two turns in one: the other side runs on the same loop.
        await asyncio.sleep(0.0005 if turn > 30 else 0)
    ended = task.done()
    task.cancel()
    await asyncio.wait([task])
    if ended:
        task.result()
    provider.release()
    return ended


async def test_a_users_own_tickets_stay_with_the_user(
    kerberos_environment: dict[str, str],
) -> None:
    """A cache that is named is never replaced by that of the environment."""
    evil = ask_first(always(welcome))
    async with NegotiateClient(["localhost"], credential=TicketCache("/nowhere")) as client:
        async with meeting(evil, client) as (session, url):
            with pytest.raises(NoCredentialError, match="the credential cache /nowhere"):
                await session.get(url)
    assert evil.tokens == [None]
