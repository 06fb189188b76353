"""A server that is trusted with a token, and carries it to another one."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web
from initiators import fresh_token
from serving import Served, serve, server_environment

from authsrv.aiohttp.tls import OwnChannel, bindings_of
from authsrv.client import NegotiateClient
from authsrv.core.bindings import BindingPolicy, tls_server_end_point
from authsrv.devrealm import Realm

PROGRAM = Path(__file__).with_name("tls_server.py")
ALICE = "alice@AUTHSRV.TEST"
KEYS = {"rsa": ["rsa:2048"], "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}


def make_certificate(path: Path, kind: str = "ec") -> Path:
    command = ["openssl", "req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command, *names, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True
    )
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    kinds = {"ours": "ec", "theirs": "ec", "rsa": "rsa"}
    return {name: make_certificate(folder / name, kind) for name, kind in kinds.items()}


def server_context(*certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for path in certificates:
        context.load_cert_chain(path)
    return context


@pytest.fixture(scope="module", params=[channel.value for channel in OwnChannel])
def server(
    request: pytest.FixtureRequest,
    kerberos_realm: Realm,
    kerberos_keytab: Path,
    certificates: dict[str, Path],
) -> Iterator[tuple[Served, str]]:
    command = [sys.executable, PROGRAM, kerberos_keytab, certificates["ours"], request.param]
    with serve(list(map(str, command)), server_environment(kerberos_realm)) as served:
        yield served, request.param


@pytest.fixture(scope="module")
def kerberos_keytab(kerberos_realm: Realm) -> Path:
    return kerberos_realm.keytab


def client_context(*certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for path in certificates:
        context.load_verify_locations(path)
    return context


async def ask(served: Served, trusted: Path, token: bytes) -> tuple[int, str]:
    connector = TCPConnector(ssl=client_context(trusted))
    headers = {"Authorization": "Negotiate " + base64.b64encode(token).decode()}
    async with ClientSession(connector=connector) as session:
        async with session.get(f"https://localhost:{served.port}/", headers=headers) as response:
            return response.status, await response.text()


def bindings(certificate: Path) -> bytes:
    return tls_server_end_point(certificate.read_bytes()).application_data


async def test_a_token_for_another_certificate_is_refused_by_default(
    kerberos_environment: dict[str, str],
    server: tuple[Served, str],
    certificates: dict[str, Path],
) -> None:
    served, channel = server
    ours, theirs = certificates["ours"], certificates["theirs"]
    is_looked_at = channel == OwnChannel.LOOKED_AT.value
    assert await ask(served, ours, fresh_token()) == (200, f"{ALICE} False")
    right = fresh_token(bindings=bindings(ours))
    assert await ask(served, ours, right) == (200, f"{ALICE} {is_looked_at}")
    wrong = fresh_token(bindings=bindings(theirs))
    status, _ = await ask(served, ours, wrong)
    assert status == (401 if is_looked_at else 200)
    assert ("cause=bad-bindings" in served.logged()) == is_looked_at


async def test_a_relay_gets_nobody_in_and_the_client_itself_does(
    kerberos_environment: dict[str, str],
    server: tuple[Served, str],
    certificates: dict[str, Path],
) -> None:
    """A program on another port of a host that the client trusts, with a certificate for it."""
    served, channel = server
    ours, theirs = certificates["ours"], certificates["theirs"]
    relayed: list[int] = []

    async def relay(request: web.Request) -> web.Response:
        header = request.headers.get("Authorization")
        if header is None:
            return web.Response(status=401, headers={"WWW-Authenticate": "Negotiate"})
        token = base64.b64decode(header.partition(" ")[2])
        status, text = await ask(served, ours, token)
        relayed.append(status)
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/", relay)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(theirs))
    await site.start()
    port = runner.addresses[0][1]
    hosts = [f"localhost:{port}", f"localhost:{served.port}"]
    async with NegotiateClient(hosts, proof="optional") as negotiate:  # type: ignore[arg-type]
        connector = TCPConnector(ssl=client_context(ours, theirs))
        async with ClientSession(connector=connector, middlewares=(negotiate,)) as session:
            async with session.get(f"https://localhost:{port}/") as response:
                await response.read()
            async with session.get(f"https://localhost:{served.port}/") as response:
                text = await response.text()
    await runner.cleanup()
    is_looked_at = channel == OwnChannel.LOOKED_AT.value
    assert relayed == [401 if is_looked_at else 200]
    assert text == f"{ALICE} {is_looked_at}"


def test_curl_gets_in_whether_it_names_the_channel_or_not(
    kerberos_environment: dict[str, str],
    server: tuple[Served, str],
    certificates: dict[str, Path],
) -> None:
    served, _ = server
    command = ["curl", "--silent", "--noproxy", "*", "--cacert", f"{certificates['ours']}.crt"]
    asked = ["--negotiate", "--user", ":", f"https://localhost:{served.port}/"]
    done = subprocess.run([*command, *asked], capture_output=True, text=True, check=True)
    assert done.stdout.split(" ")[0] == ALICE


@pytest.mark.parametrize("kind", ["ours", "rsa"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("demand", [ssl.CERT_NONE, ssl.CERT_OPTIONAL])
def test_the_certificate_is_found_by_a_handshake(
    certificates: dict[str, Path], kind: str, version: ssl.TLSVersion, demand: ssl.VerifyMode
) -> None:
    context = server_context(certificates[kind])
    context.minimum_version = context.maximum_version = version
    context.verify_mode = demand
    found = bindings_of(context)
    assert found is not None
    assert found.policy is BindingPolicy.ALLOW
    assert found.application_data == bindings(certificates[kind])


def test_where_the_client_must_show_one_it_is_found_too(certificates: dict[str, Path]) -> None:
    context = server_context(certificates["ours"])
    context.verify_mode = ssl.CERT_REQUIRED
    found = bindings_of(context)
    assert found is not None
    assert found.application_data == bindings(certificates["ours"])


@pytest.mark.parametrize(
    ("names", "callback", "why"),
    [
        (("ours", "rsa"), False, "the server has 2 certificates"),
        (("ours",), True, "a callback chooses the certificate"),
        ((), False, "no certificate is found"),
    ],
)
def test_what_is_not_one_certificate_is_not_looked_at_and_start_says_so(
    certificates: dict[str, Path],
    caplog: pytest.LogCaptureFixture,
    names: tuple[str, ...],
    callback: bool,
    why: str,
) -> None:
    context = server_context(*(certificates[name] for name in names))
    if callback:
        context.sni_callback = lambda *_: None  # type: ignore[assignment]
    assert bindings_of(context) is None
    assert caplog.messages[0].startswith(f"channel bindings are not looked at: {why}")
