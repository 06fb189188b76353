"""The client against this project's server, with a real realm; and over TLS."""

from __future__ import annotations

import asyncio
import io
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import (
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    FormData,
    TCPConnector,
    web,
)
from serving import HELLO, clean_environment, hello_command, serve, server_environment
from websites import (
    Certificate,
    Everywhere,
    make_certificate,
    own_site,
    served,
    session_of,
    tell_name,
)
from yarl import URL

from authsrv.aiohttp import AccessRules, current_identity, open_access, setup
from authsrv.client import (
    BindingsSent,
    ClientKeytab,
    NegotiateClient,
    ServerProof,
    TicketCache,
    Timing,
    channel,
)
from authsrv.core.bindings import ChannelBindings, tls_server_end_point
from authsrv.devrealm import Realm
from authsrv.errors import (
    ConfigError,
    MutualAuthenticationError,
    StateError,
)
from authsrv.providers.gssapi.acceptor import GssapiProvider

ALICE = "alice@AUTHSRV.TEST"
OWN_AUTHORIZATION = {"Authorization": "Bearer token"}

pytestmark = pytest.mark.usefixtures("kerberos_environment")


@pytest.fixture
async def site(kerberos_keytab: Path) -> AsyncIterator[str]:
    """This project's server; its URL."""
    async with served(own_site(kerberos_keytab)) as port:
        yield f"http://localhost:{port}/"


@open_access
async def greet(request: web.Request) -> web.Response:
    return web.json_response({"name": "nobody"})


def logged_in(realm: Realm, user: str, **options: Any) -> TicketCache:
    realm.add_user(user)
    return TicketCache(realm.login(user, **options))


@pytest.fixture(scope="session")
def cesar(kerberos_realm: Realm) -> TicketCache:
    """Somebody whose tickets lie in a cache of their own."""
    return logged_in(kerberos_realm, "cesar")


@pytest.fixture(scope="session")
def dora(kerberos_realm: Realm) -> TicketCache:
    """Somebody whose tickets can be forwarded."""
    return logged_in(kerberos_realm, "dora", forwardable=True)


@pytest.fixture
async def negotiate() -> AsyncIterator[NegotiateClient]:
    async with NegotiateClient(["localhost"]) as client:
        yield client


async def name_at(session: ClientSession, url: str, **options: Any) -> str:
    async with session.get(url, **options) as response:
        assert response.status == 200
        return str((await response.json())["name"])


class TestSingleSignOn:
    async def test_the_user_gets_in_with_the_ticket_of_the_environment(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        async with session_of(negotiate) as session:
            assert await name_at(session, site) == ALICE

    async def test_without_the_middleware_nobody_gets_in(self, site: str) -> None:
        async with session_of() as session, session.get(site) as response:
            assert response.status == 401

    async def test_the_middleware_can_be_given_to_one_request(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        async with session_of() as session:
            assert await name_at(session, site, middlewares=(negotiate,)) == ALICE

    async def test_a_cache_that_is_named_is_used(self, cesar: TicketCache, site: str) -> None:
        async with NegotiateClient(["localhost"], credential=cesar) as negotiate:
            async with session_of(negotiate) as session:
                assert await name_at(session, site) == "cesar@AUTHSRV.TEST"

    async def test_a_service_logs_in_with_its_keytab(
        self, kerberos_keytab: Path, site: str
    ) -> None:
        credential = ClientKeytab(kerberos_keytab, "HTTP/localhost")
        async with NegotiateClient(["localhost"], credential=credential) as negotiate:
            async with session_of(negotiate) as session:
                assert await name_at(session, site) == "HTTP/localhost@AUTHSRV.TEST"

    @pytest.mark.parametrize("timing", Timing)
    async def test_the_token_is_sent_when_asked_or_at_once(
        self, kerberos_keytab: Path, timing: Timing
    ) -> None:
        seen: list[bool] = []
        app = web.Application()
        app.on_response_prepare.append(note_tokens(seen))
        app.router.add_get("/", tell_name)
        setup(app, provider=GssapiProvider(kerberos_keytab))
        async with NegotiateClient(["localhost"], timing=timing) as negotiate:
            async with served(app) as port, session_of(negotiate) as session:
                assert await name_at(session, f"http://localhost:{port}/") == ALICE
        assert seen == ([True] if timing is Timing.AT_ONCE else [False, True])

    async def test_many_requests_at_a_time_have_a_handshake_each(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        async with session_of(negotiate) as session:
            names = await asyncio.gather(*(name_at(session, site) for _ in range(40)))
        assert names == [ALICE] * 40
        assert negotiate.initiator.pending == 0

    async def test_several_sessions_use_one_client(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        async with session_of(negotiate) as one, session_of(negotiate) as other:
            assert await name_at(one, site) == await name_at(other, site) == ALICE

    async def test_an_alias_has_the_service_that_the_settings_name(self, site: str) -> None:
        alias = URL(site).with_host("alias.test")
        services = {"alias.test": "HTTP/localhost"}
        hosts = [f"http://alias.test:{alias.port}"]
        async with NegotiateClient(hosts, services=services) as negotiate:
            async with session_of(negotiate) as session:
                assert await name_at(session, str(alias)) == ALICE

    async def test_an_open_page_is_read_without_a_token(
        self, kerberos_keytab: Path, negotiate: NegotiateClient
    ) -> None:
        app = own_site(kerberos_keytab)
        app.router.add_get("/open", greet)
        async with served(app) as port, session_of(negotiate) as session:
            assert await name_at(session, f"http://localhost:{port}/open") == "nobody"

    async def test_a_websocket_is_opened(
        self, kerberos_keytab: Path, negotiate: NegotiateClient
    ) -> None:
        async def talk(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.send_str(current_identity(request).principal)
            await socket.close()
            return socket

        app = own_site(kerberos_keytab)
        app.router.add_get("/talk", talk)
        async with served(app) as port, session_of(negotiate) as session:
            async with session.ws_connect(f"ws://localhost:{port}/talk") as socket:
                assert await socket.receive_str() == ALICE

    @pytest.mark.parametrize("status", [204, 302, 403, 404, 500])
    async def test_the_proof_comes_with_every_status_of_our_server(
        self, kerberos_keytab: Path, negotiate: NegotiateClient, status: int
    ) -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=status)

        app = own_site(kerberos_keytab)
        app.router.add_get("/page", answer)
        async with served(app) as port, session_of(negotiate) as session:
            url = f"http://localhost:{port}/page"
            async with session.get(url, allow_redirects=False) as response:
                assert response.status == status

    async def test_a_refusal_of_the_handler_itself_is_a_plain_401(
        self, kerberos_keytab: Path, negotiate: NegotiateClient
    ) -> None:
        async def refuse(request: web.Request) -> web.Response:
            return web.Response(status=401, text="not you")

        app = own_site(kerberos_keytab)
        app.router.add_get("/page", refuse)
        async with served(app) as port, session_of(negotiate) as session:
            async with session.get(f"http://localhost:{port}/page") as response:
                assert (response.status, await response.text()) == (401, "not you")


def note_tokens(seen: list[bool]) -> Any:
    async def note(request: web.Request, response: web.StreamResponse) -> None:
        seen.append("Authorization" in request.headers)

    return note


class TestBodies:
    @pytest.mark.parametrize("timing", Timing)
    @pytest.mark.parametrize("kind", ["bytes", "text", "json", "form", "large"])
    async def test_a_body_in_memory_arrives_whole(
        self, site: str, timing: Timing, kind: str
    ) -> None:
        options: dict[str, tuple[dict[str, Any], int]] = {
            "bytes": ({"data": b"12345"}, 5),
            "text": ({"data": "12345"}, 5),
            "json": ({"json": [1, 2]}, 6),
            "form": ({"data": {"a": "b"}}, 3),
            "large": ({"data": io.BytesIO(bytes(5_000_000))}, 5_000_000),
        }
        given, length = options[kind]
        async with NegotiateClient(["localhost"], timing=timing) as negotiate:
            async with session_of(negotiate) as session:
                async with session.post(site, **given) as response:
                    told = await response.json()
        assert (told["name"], told["length"]) == (ALICE, length)

    async def test_a_stream_is_read_once_and_arrives_whole(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        reads: list[int] = []

        async def stream() -> AsyncIterator[bytes]:
            for number in range(5):
                reads.append(number)
                yield b"x" * 1000

        async with session_of(negotiate) as session:
            async with session.post(site, data=stream()) as response:
                told = await response.json()
        assert (told["name"], told["length"]) == (ALICE, 5000)
        assert reads == [0, 1, 2, 3, 4]

    async def test_a_file_and_a_form_with_one_arrive_whole(
        self, site: str, negotiate: NegotiateClient, tmp_path: Path
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x" * 3000)
        async with session_of(negotiate) as session:
            with path.open("rb") as file:
                async with session.post(site, data=file) as response:
                    assert (await response.json())["length"] == 3000
            form = FormData()
            form.add_field("file", path.read_bytes(), filename="file")
            async with session.post(site, data=form) as response:
                assert (await response.json())["length"] > 3000

    async def test_a_request_that_waits_for_100_continue_is_sent_once(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        async with session_of(negotiate) as session:
            async with session.post(site, data=b"12345", expect100=True) as response:
                told = await response.json()
        assert (told["name"], told["length"]) == (ALICE, 5)


class TestWhoGetsNoToken:
    async def test_a_host_that_is_not_on_the_list_gets_none(self, site: str) -> None:
        async with NegotiateClient(["other.test"], timing=Timing.AT_ONCE) as negotiate:
            async with session_of(negotiate) as session, session.get(site) as response:
                assert response.status == 401

    async def test_a_request_with_an_authorization_of_its_own_is_left_alone(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        async with session_of(negotiate) as session:
            async with session.get(site, headers=OWN_AUTHORIZATION) as response:
                assert response.status == 401
                assert response.request_info.headers["Authorization"] == "Bearer token"

    async def test_where_each_response_needs_a_proof_such_a_request_is_refused(
        self, site: str
    ) -> None:
        async with NegotiateClient(["localhost"], proof=ServerProof.ALWAYS) as negotiate:
            async with session_of(negotiate) as session:
                with pytest.raises(StateError):
                    await session.get(site, headers=OWN_AUTHORIZATION)

    async def test_what_aiohttp_keeps_of_a_request_has_no_token_in_it(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        async with session_of(negotiate) as session, session.get(site) as response:
            assert "Authorization" not in response.request_info.headers
            assert response.status == 200


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("own"), "localhost")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("other"), "localhost")


@asynccontextmanager
async def tunnelling() -> AsyncIterator[str]:
    """A proxy that knows CONNECT to loopback and nothing else; its URL."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"CONNECT localhost:")
        port = int(head.split(b" ")[1].partition(b":")[2])
        further = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, further[1]), pump(further[0], writer))

    tasks: list[asyncio.Task[None]] = []
    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*tasks)


class TestTLS:
    @pytest.mark.parametrize("timing", Timing)
    async def test_the_token_is_bound_to_the_certificate(
        self, kerberos_keytab: Path, own: Certificate, timing: Timing
    ) -> None:
        app = own_site(kerberos_keytab, bindings=tls_server_end_point(own.der))
        async with NegotiateClient(["localhost"], timing=timing) as negotiate:
            async with served(app, tls=own.server) as port:
                connector = TCPConnector(resolver=Everywhere(), ssl=own.client)
                async with session_of(negotiate, connector=connector) as session:
                    for _ in range(2):
                        async with session.get(f"https://localhost:{port}/") as response:
                            told = await response.json()
                        assert (told["name"], told["bound"]) == (ALICE, True)

    @pytest.mark.parametrize("pooling", [{"limit": 1}, {"force_close": True}])
    async def test_small_pools_and_none_are_enough(
        self, kerberos_keytab: Path, own: Certificate, pooling: dict[str, Any]
    ) -> None:
        app = own_site(kerberos_keytab, bindings=tls_server_end_point(own.der))
        async with NegotiateClient(["localhost"]) as negotiate:
            async with served(app, tls=own.server) as port:
                connector = TCPConnector(resolver=Everywhere(), ssl=own.client, **pooling)
                async with session_of(negotiate, connector=connector) as session:
                    url = f"https://localhost:{port}/"
                    names = await asyncio.gather(*(name_at(session, url) for _ in range(4)))
        assert names == [ALICE] * 4

    async def test_a_certificate_is_read_beside_the_loop(
        self, kerberos_keytab: Path, own: Certificate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads: list[threading.Thread] = []

        def read(certificate: bytes) -> ChannelBindings:
            threads.append(threading.current_thread())
            return tls_server_end_point(certificate)

        monkeypatch.setattr(channel, "tls_server_end_point", read)
        channel._bind.cache_clear()
        app = own_site(kerberos_keytab, bindings=tls_server_end_point(own.der))
        async with NegotiateClient(["localhost"]) as negotiate:
            async with served(app, tls=own.server) as port:
                connector = TCPConnector(resolver=Everywhere(), ssl=own.client)
                async with session_of(negotiate, connector=connector) as session:
                    for _ in range(2):
                        assert await name_at(session, f"https://localhost:{port}/") == ALICE
        assert len(threads) == 1
        assert threads[0] is not threading.current_thread()

    async def test_a_server_that_never_speaks_tls_runs_into_the_sessions_timeout(self) -> None:
        closed = asyncio.Event()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            closed.set()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        async with server, NegotiateClient(["localhost"], timing=Timing.AT_ONCE) as negotiate:
            port = server.sockets[0].getsockname()[1]
            timeout = ClientTimeout(connect=0.1)
            async with session_of(negotiate, timeout=timeout) as session:
                with pytest.raises(ConnectionTimeoutError):
                    await session.get(f"https://localhost:{port}/")
            await closed.wait()

    async def test_the_channel_is_that_of_the_server_behind_a_proxy(
        self, kerberos_keytab: Path, own: Certificate
    ) -> None:
        app = own_site(kerberos_keytab, bindings=tls_server_end_point(own.der))
        async with NegotiateClient(["localhost"]) as negotiate, tunnelling() as proxy:
            async with served(app, tls=own.server) as port:
                connector = TCPConnector(resolver=Everywhere(), ssl=own.client)
                async with session_of(negotiate, connector=connector) as session:
                    url = f"https://localhost:{port}/"
                    assert await name_at(session, url, proxy=proxy) == ALICE

    async def test_a_token_for_another_certificate_gets_nobody_in(
        self, kerberos_keytab: Path, own: Certificate, other: Certificate
    ) -> None:
        """As it is with somebody in between, whose certificate the client believes."""
        app = own_site(kerberos_keytab, bindings=tls_server_end_point(own.der))
        async with NegotiateClient(["localhost"]) as negotiate:
            async with served(app, tls=other.server) as port:
                connector = TCPConnector(resolver=Everywhere(), ssl=other.client)
                async with session_of(negotiate, connector=connector) as session:
                    async with session.get(f"https://localhost:{port}/") as response:
                        assert response.status == 401

    async def test_bindings_can_be_left_out(self, kerberos_keytab: Path, own: Certificate) -> None:
        app = own_site(kerberos_keytab, bindings=tls_server_end_point(own.der))
        async with NegotiateClient(["localhost"], bindings=BindingsSent.OMITTED) as negotiate:
            async with served(app, tls=own.server) as port:
                connector = TCPConnector(resolver=Everywhere(), ssl=own.client)
                async with session_of(negotiate, connector=connector) as session:
                    async with session.get(f"https://localhost:{port}/") as response:
                        assert response.status == 401

    async def test_a_certificate_that_is_not_believed_is_aiohttps_business(
        self, kerberos_keytab: Path, own: Certificate, other: Certificate
    ) -> None:
        async with NegotiateClient(["localhost"], timing=Timing.AT_ONCE) as negotiate:
            async with served(own_site(kerberos_keytab), tls=own.server) as port:
                connector = TCPConnector(resolver=Everywhere(), ssl=other.client)
                async with session_of(negotiate, connector=connector) as session:
                    with pytest.raises(ssl.SSLCertVerificationError):
                        await session.get(f"https://localhost:{port}/")


@pytest.fixture(scope="session")
def second_keytab(kerberos_realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of a second service."""
    kerberos_realm.add_service("HTTP/second.test")
    path = tmp_path_factory.mktemp("second") / "keytab"
    return kerberos_realm.write_keytab(path, ["HTTP/second.test"])


class TestDelegation:
    async def test_a_server_acts_as_its_user_towards_a_second_one(
        self, dora: TicketCache, kerberos_keytab: Path, second_keytab: Path
    ) -> None:
        """From the user's client to our server, and from there to another, as the user."""
        async with served(own_site(second_keytab)) as second:
            app = relaying_site(kerberos_keytab, f"http://second.test:{second}/")
            async with served(app) as port, delegating(dora) as negotiate:
                async with session_of(negotiate) as session:
                    url = f"http://localhost:{port}/relay"
                    assert await name_at(session, url) == "dora@AUTHSRV.TEST"

    async def test_nobody_delegates_unasked(self, dora: TicketCache, kerberos_keytab: Path) -> None:
        async with served(relaying_site(kerberos_keytab, "http://second.test/")) as port:
            async with NegotiateClient(["localhost"], credential=dora) as negotiate:
                async with session_of(negotiate) as session:
                    async with session.get(f"http://localhost:{port}/relay") as response:
                        assert await response.text() == "nothing delegated"


def delegating(credential: TicketCache) -> NegotiateClient:
    return NegotiateClient(["localhost"], credential=credential, delegates=["localhost"])


def relaying_site(keytab: Path, further: str) -> web.Application:
    """A server that asks another one in its user's name."""

    async def relay(request: web.Request) -> web.Response:
        delegated = current_identity(request).delegated
        if delegated is None:
            return web.Response(text="nothing delegated")
        hosts = [f"http://second.test:{URL(further).port}"]
        async with NegotiateClient(hosts) as negotiate, session_of() as session:
            user = negotiate.acting_as(delegated)
            async with session.get(further, middlewares=(user,)) as response:
                return web.json_response(await response.json())

    app = own_site(keytab)
    app.router.add_get("/relay", relay)
    return app


class TestSettings:
    def test_a_client_needs_a_host(self) -> None:
        with pytest.raises(ConfigError, match="needs a host"):
            NegotiateClient([])

    def test_a_credential_of_another_kind_is_a_mistake_of_the_settings(self) -> None:
        password: Any = "secret"
        with pytest.raises(ConfigError, match="a credential of this kind") as caught:
            NegotiateClient(["localhost"], credential=password)
        assert "secret" not in str(caught.value)

    async def test_a_closed_client_sends_no_token(
        self, site: str, negotiate: NegotiateClient
    ) -> None:
        negotiate.close()
        async with session_of(negotiate) as session:
            with pytest.raises(StateError):
                await session.get(site)

    async def test_its_repr_tells_the_hosts(self, negotiate: NegotiateClient) -> None:
        assert repr(negotiate) == (
            "<NegotiateClient <HostList localhost> by <Initiator gssapi, 0 pending>>"
        )


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['gssapi'] = None\n"
        "from authsrv.client import NegotiateClient\n"
        "from authsrv.errors import ConfigError\n"
        "try:\n    NegotiateClient(['localhost'])\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "needs the extra authsrv[kerberos]" in done.stdout


def test_the_example_tells_who_the_server_says_we_are(kerberos_realm: Realm) -> None:
    example = HELLO.with_name("client.py")
    command = hello_command(kerberos_realm.keytab)
    with serve(command, server_environment(kerberos_realm)) as server:
        done = subprocess.run(
            [sys.executable, str(example), "--url", server.url],
            env=clean_environment(kerberos_realm.environment("alice")),
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("200 ")
    assert ALICE in done.stdout


async def test_proofs_can_be_demanded_of_open_pages_too(kerberos_keytab: Path) -> None:
    app = own_site(kerberos_keytab, rules=AccessRules())
    app.router.add_get("/open", greet)
    async with NegotiateClient(["localhost"], proof=ServerProof.ALWAYS) as negotiate:
        async with served(app) as port, session_of(negotiate) as session:
            assert await name_at(session, f"http://localhost:{port}/") == ALICE
            with pytest.raises(MutualAuthenticationError):
                await session.get(f"http://localhost:{port}/open")
