"""The probe of a proxy: a real nginx, as the example has it and with holes made in it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import find_program
from service_rig import LOGIN_HOST, WIKI_HOST, Rig, write_configuration
from waiting import wait_until

from authsrv.cli.main import main
from authsrv.http.paths import Target
from authsrv.service.asks.conventions import CONVENTIONS, Convention
from authsrv.service.config.loading import load
from authsrv.service.config.probe import Outcome, Way, probe, summarize
from authsrv.service.config.probe_attempts import Probed, Sign, attempts_of, other_writings

EXAMPLE = Path(__file__).parents[2] / "examples" / "nginx"
SECRET = f"https://{WIKI_HOST}/secret"

Hole = tuple[str, str]


class Echo(BaseHTTPRequestHandler):
    """An application that shows what it was sent."""

    def do_GET(self) -> None:
        shown = json.dumps(self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(shown)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(shown)

    do_HEAD = do_POST = do_OPTIONS = do_PROPFIND = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def application() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """A folder with the certificates of both hosts."""
    openssl = find_program("openssl", package="openssl")
    with tempfile.TemporaryDirectory(prefix="probe-") as made:
        for host in (WIKI_HOST, LOGIN_HOST):
            command = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
            command += f" -subj /CN={host} -addext subjectAltName=DNS:{host}"
            command += f" -keyout {made}/{host}.key -out {made}/{host}.crt"
            subprocess.run(command.split(), check=True, capture_output=True, timeout=60)
        yield Path(made)


@contextmanager
def nginx(folder: Path, rig: Rig, application: int, *holes: Hole) -> Iterator[int]:
    """Run the example with holes: each a text of it, and what stands there instead."""
    for path in EXAMPLE.glob("*.conf"):
        shutil.copy(path, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    places = "".join(
        f" {kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    for old, new in (
        *holes,
        ("user www-data;", "user root;" if os.geteuid() == 0 else ""),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/nginx/", f"{folder}/"),
        ("/run/authsrv/", f"{rig.folder}/"),
        ("127.0.0.1:3000", f"127.0.0.1:{application}"),
        ("http {\n", f"http {{\n access_log off;{places}\n"),
    ):
        _replace(folder, old, new)
    more = f"daemon off; pid {folder}/pid;"
    command = [find_program("nginx", package="nginx-light"), "-e", "stderr", "-g", more]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "-c", str(folder / "nginx.conf")], stderr=log)
    try:
        wait_until(lambda: process.poll() is not None or _listens(port))
        assert process.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(15)


def _replace(folder: Path, old: str, new: str) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in folder.glob("*.conf")}
    assert any(old in text for text in texts.values()), f"the example has no {old!r}"
    for path, text in texts.items():
        path.write_text(text.replace(old, new), encoding="utf-8")


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def configuration(rig: Rig) -> Path:
    return rig.folder / "authsrv.toml"


Told = tuple[int, str]


@pytest.fixture
def probe_at(configuration: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Runs the command against a port; gives the exit code, and what was printed."""

    def run(port: int, *more: str, url: str = SECRET, conf: Path = configuration) -> Told:
        capsys.readouterr()
        where = ["--probe", url, "--probe-address", f"127.0.0.1:{port}"]
        code = main(["check-config", str(conf), *where, *(more or ("--insecure-tls",))])
        return code, capsys.readouterr().out

    return run


def let_in(told: str) -> list[str]:
    """What was let in, by what the report says of each."""
    return re.findall(r"^  LET IN +[0-9]+(?:, shown)? +(.*)$", told, re.MULTILINE)


def test_the_example_lets_nothing_in(
    rig: Rig, application: int, certificates: Path, probe_at: Callable[..., Told]
) -> None:
    with nginx(certificates, rig, application) as port:
        code, told = probe_at(port)
    assert code == 0, told
    assert let_in(told) == []
    assert "UNCLEAR" not in told
    assert "nothing was let in: " in told
    assert "the certificate is not verified" in told
    assert told.count("kept out  401           the page, plainly") == 2
    assert told.count("open      200           the open page /public/") == 2


TO_APPLICATION = "{ auth_request off; proxy_pass http://127.0.0.1:3000; }"
LOCATIONS = "location @authsrv_challenge {"
HTTP = "http {\n"
ASK = "proxy_pass_request_body off;"
URI = "proxy_set_header X-Original-URI     $request_uri;"

HOLES: dict[str, tuple[list[Hole], list[str]]] = {
    "the ask tells the target that the client claims": (
        [
            (URI, "proxy_set_header X-Original-URI $told;"),
            (HTTP, HTTP + "map $http_x_original_uri $told { '' $request_uri; default $1; }\n"),
            ("default $1;", "default $http_x_original_uri;"),
        ],
        ["X-Original-URI: /public/", "nginx and haproxy, of /public/"],
    ),
    "the ask tells the target of another service's convention": (
        [
            (URI, "proxy_set_header X-Original-URI $told;"),
            (HTTP, HTTP + "map $http_x_rewrite_url $told { '' $request_uri; default $1; }\n"),
            ("default $1;", "default $http_x_rewrite_url;"),
        ],
        ["X-Rewrite-URL: /public/"],
    ),
    "a location does not ask": (
        [(LOCATIONS, f"location = /secret {TO_APPLICATION} {LOCATIONS}")],
        ["the page, plainly"],
    ),
    "a location of styles does not ask": (
        [(LOCATIONS, f"location ~ [.]css$ {TO_APPLICATION} {LOCATIONS}")],
        ["/secret.css", "/secret/x.css", "/secret;x.css"],
    ),
    "a location of paths with parameters does not ask": (
        [(LOCATIONS, f'location ~ ";" {TO_APPLICATION} {LOCATIONS}')],
        ["/;x/secret", "/secret;x", "/secret;x.css", "/x/..;/secret", "/public/..;/secret"],
    ),
    "clients reach the ask": (
        [
            (LOCATIONS, f"location /ask/ {{ @OFF }} {LOCATIONS}"),
            ("@OFF", "auth_request off; proxy_pass http://authsrv_asks;"),
        ],
        ["/ask/nginx"],
    ),
    "an address is believed that any client may claim": (
        [
            (
                LOCATIONS,
                "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; location = /secret {"
                "satisfy any; allow 10.0.0.0/8; deny all; proxy_pass http://127.0.0.1:3000; }"
                f"{LOCATIONS}",
            ),
        ],
        ["X-Forwarded-For: 10.0.0.1"],
    ),
    "the application gets names with underscores": (
        [
            (HTTP, f"{HTTP} underscores_in_headers on;\n"),
            (ASK, f"{ASK} proxy_pass_request_headers off;"),
        ],
        ["Remote_User: ", "Remote_Groups: ", "X_Authsrv_Token: "],
    ),
    "the application gets the name that the client claims": (
        [
            ("proxy_set_header Remote-User   $authsrv_user;", ""),
            (ASK, f"{ASK} proxy_pass_request_headers off;"),
        ],
        ["Remote-User: "],
    ),
    "hosts that are named nowhere lead to the application": (
        [
            (
                "ssl_reject_handshake on;\n        return 421;",
                "ssl_certificate /etc/nginx/wiki.example.org.crt; ssl_certificate_key "
                f"/etc/nginx/wiki.example.org.key; location / {TO_APPLICATION}",
            ),
        ],
        ["Host: probe.invalid", "Host: 127.0.0.1", "no Host, HTTP/1.0"],
    ),
    "a method goes another way": (
        [
            (
                LOCATIONS,
                "error_page 418 = @other; if ($request_method = POST) { return 418; }"
                f"location @other {TO_APPLICATION} {LOCATIONS}",
            ),
        ],
        ["POST with Content-Length and a body", "POST with a chunked body"],
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(
    hole: str, rig: Rig, application: int, certificates: Path, probe_at: Callable[..., Told]
) -> None:
    replaced, expected = HOLES[hole]
    with nginx(certificates, rig, application, *replaced) as port:
        code, told = probe_at(port)
    assert code == 1
    found = let_in(told)
    for each in expected:
        assert any(line.startswith(each) for line in found), (each, found)
    assert f"LET IN without a credential: {len(found)} of " in told


class Front(socketserver.ThreadingTCPServer):
    """A proxy that refuses strangers, but for what an answer is given for.

    Args:
        certificates: Where those of the site are.
        answer: Gives the answer to a request and its number, counted from 1; without any, the
            request hangs until the client goes.
    """

    daemon_threads = True

    def __init__(self, certificates: Path, answer: Callable[[bytes, int], bytes | None]) -> None:
        super().__init__(("127.0.0.1", 0), FrontHandler)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(
            certificates / f"{WIKI_HOST}.crt", certificates / f"{WIKI_HOST}.key"
        )
        self.answer, self.numbers = answer, itertools.count(1)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class FrontHandler(socketserver.BaseRequestHandler):
    server: Front

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            tls = self.server.tls.wrap_socket(self.request, server_side=True)
            request = tls.recv(65_536)
            answer = self.server.answer(request, next(self.server.numbers))
            if answer is None:
                tls.recv(1)
            else:
                tls.sendall(answer)
            tls.close()


@contextmanager
def front(certificates: Path, answer: Callable[[bytes, int], bytes | None]) -> Iterator[int]:
    with Front(certificates, answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            thread.join()


def status(code: int, *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} X", *fields, "Content-Length: 0", "", ""]).encode()


def as_it_should(request: bytes, number: int) -> bytes:
    return status(200 if request.startswith(b"GET /public/ ") else 401)


def leaky(pattern: str, answer: bytes) -> Callable[[bytes, int], bytes]:
    def decide(request: bytes, number: int) -> bytes:
        hit = re.search(pattern.encode(), request)
        return answer if hit and number > 2 else as_it_should(request, number)

    return decide


PROBED = Probed(
    authority=WIKI_HOST,
    scheme="https",
    target=Target("/secret"),
    convention=CONVENTIONS[0],
    site="wiki",
    open_path="/public/",
    identity_names=("Remote-User",),
    other_hosts=(),
    other_sites=(),
    addresses=(),
    name="probe-x",
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^GET https://", "https://wiki.example.org/secret, Host: wiki.example.org"),
        (r"^GET https://wiki[^\0]*Host: probe[.]invalid", "https://wiki.example.org/secret"),
        (r"Host: .*\r\nHost: ", "two Host fields: wiki.example.org, probe.invalid"),
        (r"^(?!.*\r\nHost: )[^\0]*Accept", "no Host"),
        (r"Connection: .*X-Original-URI[^\0]*\r\nX-Original-URI", "Connection: close, X-Original-"),
        (r"Connection: .*Remote-User", "Connection: close, Remote-User"),
        (r"\r\nX_Original_URI: /public/", "'X_Original_URI'"),
        (r"\r\nX-Original-URI : /public/", "'X-Original-URI '"),
        (r"\r\n X-Original-URI: /public/", "' X-Original-URI'"),
        (r"X-Original-URI: /public/\r\nX-Original-URI: /secret", "X-Original-URI twice"),
        (r"^GET /secret [^\0]*Remote.User: probe-x", "Remote.User: probe-x"),
        (r"^GET /public/ [^\0]*Remote_User: probe-x", "Remote_User: probe-x"),
        (r"X-Forwarded-Host: probe", "X-Forwarded-Host: probe.invalid"),
        (r"X-Original-Method: OPTIONS", "X-Original-Method: OPTIONS"),
        (r"X-Forwarded-Proto: http\r", "X-Forwarded-Proto: http"),
        (r"X-Authsrv-Site: probe", "X-Authsrv-Site: probe"),
        (r"^GET /%73ecret ", "/%73ecret"),
        (r"^GET //secret ", "//secret"),
        (r"^GET /secret#/public/ ", "/secret#/public/"),
        (r"^GET /x/\.\.;/secret ", "/x/..;/secret"),
        (r"^GET /\.authsrv/\.\./secret ", "/.authsrv/../secret"),
        (r"^get /secret ", "get"),
        (r"^TRACE /secret ", "TRACE"),
        (r"^POST [^\0]*Content-Length: 7\r\n\r\nprobe=1$", "POST with Content-Length and a body"),
        (r"chunked\r\n\r\n7\r\nprobe=1\r\n0\r\n\r\n$", "POST with a chunked body"),
        (r"Content-Length: 17\r\n[^\0]*chunked", "POST with Content-Length and Transfer-Encoding"),
        (r"^GET /ask/envoy/public/ ", "/ask/envoy/public/"),
        (r"^GET /authsrv-ask [^\0]*X-Original-URI: /public/", "/authsrv-ask"),
        (r"Connection: Upgrade\r\nUpgrade: websocket", "a WebSocket"),
    ],
)
def test_each_kind_of_attempt_is_made(pattern: str, expected: str) -> None:
    sent = [each for each in attempts_of(PROBED) if re.search(pattern.encode(), each.as_bytes())]
    assert any(each.what.startswith(expected) for each in sent), [each.what for each in sent]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(200), "  kept out  200, empty    Host: probe.invalid\n"),
        (b"HTTP/1.1 200 X\r\n\r\n", "  kept out  200, empty    Host: probe.invalid\n"),
        (b"HTTP/1.1 200 X\r\n\r\nX", "  LET IN    200           Host: probe.invalid\n"),
        (b"HTTP/1.1 200 X\r\nContent-Length: 01\r\n\r\nX", "  LET IN    200           Host: pr"),
    ],
)
def test_an_empty_answer_for_another_host_is_not_the_page(
    answer: bytes, expected: str, certificates: Path, probe_at: Callable[..., Told]
) -> None:
    with front(certificates, leaky(r"\r\nHost: probe", answer)) as port:
        code, told = probe_at(port)
    assert expected in told
    assert code == (0 if "kept out" in expected else 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(206), "  LET IN    206           a WebSocket\n"),
        (status(101), "  LET IN    101           a WebSocket\n"),
        (
            b"HTTP/1.1 103 X\r\nLink: x\r\n\r\n" + status(200),
            "  LET IN    200           a WebSocket",
        ),
        (b"HTTP/1.1 200 \r\nX: 1\r\n\r\n", "  LET IN    200           a WebSocket"),
        (b"HTTP/1.1 103 X\r\n\r\n" + status(403), "  kept out  403           a WebSocket"),
        (b"HTTP/0.9\r\n\r\n", "  UNCLEAR   no HTTP       a WebSocket"),
        (b"HTTP/1.1 200 X", "  UNCLEAR   no HTTP       a WebSocket"),
    ],
)
def test_what_an_answer_means(
    answer: bytes, expected: str, certificates: Path, probe_at: Callable[..., Told]
) -> None:
    with front(certificates, leaky("websocket", answer)) as port:
        code, told = probe_at(port)
    assert expected in told
    assert code == (0 if "kept out" in expected else 1)


def slow_down(request: bytes, number: int) -> bytes:
    return as_it_should(request, number) if number < 60 else status(429)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda *_: status(502), "UNCLEAR   502           the page, plainly"),
        (lambda *_: status(404), "UNCLEAR   404           the page, plainly"),
        (lambda *_: status(401), "UNCLEAR   401           the open page /public/"),
        (
            lambda *_: status(303, "Location: /.authsrv/sign-in?return=/"),
            "UNCLEAR   303           the open page /public/",
        ),
        (lambda *_: b"SSH-2.0-x\r\n\r\n", "UNCLEAR   no HTTP       the page, plainly"),
        (lambda *_: b"HTTP/1.1 2000 X\r\n\r\n", "UNCLEAR   no HTTP       the page, plainly"),
        (lambda *_: b"X" * 70_000, "UNCLEAR   no HTTP       the page, plainly"),
        (lambda *_: b"", "UNCLEAR   closed        the page, plainly"),
        (slow_down, "UNCLEAR   429           the page, plainly"),
    ],
)
def test_what_proves_nothing_is_no_success(
    answer: Callable[[bytes, int], bytes],
    expected: str,
    certificates: Path,
    probe_at: Callable[..., Told],
) -> None:
    with front(certificates, answer) as port:
        code, told = probe_at(port)
    assert code == 1
    assert expected in told
    assert "it cannot be told whether the proxy keeps strangers out" in told


def test_a_refusal_by_silence_is_one(certificates: Path, probe_at: Callable[..., Told]) -> None:
    with front(certificates, leaky("^(PROBE|get) ", b"")) as port:
        code, told = probe_at(port)
    assert code == 0, told
    assert "kept out  closed        PROBE" in told


def test_a_proxy_that_hangs_is_left_at_the_deadline(
    certificates: Path, configuration: Path
) -> None:
    settings = load(configuration).settings
    assert settings is not None
    with front(certificates, lambda *_: None) as port:
        way = Way.to(SECRET, f"127.0.0.1:{port}", is_tls_verified=False)
        findings = list(probe(settings, SECRET, replace(way, deadline_s=0.2)))
    assert [(each.outcome, each.cause) for each in findings] == [(Outcome.UNCLEAR, "no answer")]


class Drip(socketserver.BaseRequestHandler):
    """Sends a bit of a header section now and then, and never its end."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.sendall(b"HTTP/1.1 401 X\r\nX: ")
            while True:
                self.request.sendall(b"x")
                time.sleep(0.02)


class Redirect(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(301)
        self.send_header("Location", f"https://{WIKI_HOST}{self.path}")
        self.end_headers()

    do_HEAD = do_POST = do_OPTIONS = do_PROPFIND = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def plain_front(handler: type[socketserver.BaseRequestHandler]) -> Iterator[Way]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield Way.to(f"http://{WIKI_HOST}/", f"127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()


def test_an_answer_that_drips_is_left_at_the_deadline(configuration: Path) -> None:
    settings = load(configuration).settings
    assert settings is not None
    url = f"http://{WIKI_HOST}/secret"
    with plain_front(Drip) as way:
        (finding,) = probe(settings, url, replace(way, deadline_s=0.3))
    assert (finding.outcome, finding.cause) == (Outcome.UNCLEAR, "no answer")


def test_a_redirect_to_https_keeps_out(configuration: Path) -> None:
    settings = load(configuration).settings
    assert settings is not None
    with plain_front(Redirect) as way:
        findings = list(probe(settings, f"http://{WIKI_HOST}/secret", way))
    assert summarize(findings)[0], summarize(findings)
    # The service refuses what came by http, so that no page is open.
    assert Sign.NAME not in {each.attempt.sign for each in findings}


@pytest.mark.parametrize(
    ("url", "address", "expected"),
    [
        ("https://wiki.example.org/x", None, "wiki.example.org:443"),
        ("http://wiki.example.org/x", None, "wiki.example.org:80"),
        ("https://wiki.example.org:8443/x", None, "wiki.example.org:8443"),
        ("https://wiki.example.org:8443/x", "proxy", "proxy:443"),
        ("https://wiki.example.org/x", "[::1]:8443", "[::1]:8443"),
    ],
)
def test_the_way_to_a_url(url: str, address: str | None, expected: str) -> None:
    way = Way.to(url, address)
    assert str(way) == expected
    assert way.server_name == WIKI_HOST


def test_a_certificate_is_verified_unless_told_otherwise(
    certificates: Path, probe_at: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    with front(certificates, as_it_should) as port:
        code, told = probe_at(port, "--method", "GET")
        assert code == 1
        assert "UNCLEAR   the certificate: self-signed certificate" in told
        assert "--insecure-tls" in told
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / f"{WIKI_HOST}.crt"))
        code, told = probe_at(port, "--method", "GET")
        assert code == 0, told
        assert "is not verified" not in told


def test_nobody_listens(probe_at: Callable[..., Told]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        code, told = probe_at(free.getsockname()[1])
    assert code == 1
    assert "UNCLEAR   connection refused the page, plainly" in told


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"https://{WIKI_HOST}/public/x", "the rules let everybody in at /public/x"),
        ("https://other.example.org/", "the URL's host other.example.org is of no site"),
        (WIKI_HOST, "the URL has no scheme"),
        (f"https://{WIKI_HOST}/s ecret", "must be percent-encoded"),
        (f"https://u@{WIKI_HOST}/secret", "is not a name and perhaps a port"),
    ],
)
def test_a_page_that_proves_nothing_is_not_probed(
    url: str, expected: str, probe_at: Callable[..., Told]
) -> None:
    code, told = probe_at(1, url=url)
    assert code == 1
    assert "there is no probe: " in told
    assert expected in told


@pytest.mark.parametrize("alone", [["--probe-address", "x:1"], ["--insecure-tls"]])
def test_options_of_a_probe_need_one(alone: list[str], configuration: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check-config", str(configuration), *alone])
    assert caught.value.code == 2


MOSTLY_OPEN = """
[[site]]
name = "wiki"
hosts = ["wiki.example.org"]
headers = { preset = "authelia" }

[[site.rule]]
paths = ["/from-inside/**"]
networks = ["198.51.100.0/24"]
access = "open"

[[site.rule]]
paths = ["/secret", "/from-inside/**"]

[[site.rule]]
paths = ["/**"]
access = "open"

[[site]]
name = "blog"
hosts = ["blog.example.org"]

[[site.rule]]
paths = ["/**"]
"""


@pytest.fixture
def mostly_open(rig: Rig, tmp_path: Path) -> Path:
    return write_configuration(tmp_path, rig.folder / "http.keytab", more=MOSTLY_OPEN)


def test_what_the_rules_open_is_not_tried(
    mostly_open: Path, certificates: Path, probe_at: Callable[..., Told]
) -> None:
    def answer(request: bytes, number: int) -> bytes:
        is_secret = re.match(rb"\S+ (/secret|https?://[^/]*/secret|\S*[^\w/.?%]\S*) ", request)
        return status(401 if is_secret else 200)

    with front(certificates, answer) as port:
        _, told = probe_at(port, conf=mostly_open)
    for each in ("/SECRET", "/secret.css", "/ask/nginx"):
        assert f"not tried open by rule  {each}\n" in told, told
    assert "another host by a header\n  kept out  401           X-Original-Host: blog." in told
    assert "kept out  401           Host: blog.example.org\n" in told
    assert "kept out  401           X-Authsrv-Site: blog\n" in told


def test_addresses_of_the_rules_are_claimed(
    mostly_open: Path, certificates: Path, probe_at: Callable[..., Told]
) -> None:
    url = f"https://{WIKI_HOST}/from-inside/x"
    with front(certificates, leaky("198[.]51[.]100[.]1", status(200))) as port:
        code, told = probe_at(port, url=url, conf=mostly_open)
    assert code == 1
    assert "X-Forwarded-For: 198.51.100.1" in let_in(told)


paths = st.text("ab./;%2", max_size=12).map(lambda text: f"/{text}")


@given(paths, paths, st.sampled_from(CONVENTIONS), st.booleans())
def test_attempts_are_single_requests_without_a_credential(
    path: str, open_path: str, convention: Convention, is_open: bool
) -> None:
    probed = replace(
        PROBED,
        target=Target(path, "q=1"),
        convention=convention,
        open_path=open_path if is_open else None,
        identity_names=("X-User",),
        other_hosts=("other.example.org",),
        other_sites=("other",),
        addresses=("192.0.2.1",),
    )
    attempts = list(attempts_of(probed))
    for attempt in attempts:
        head, end, body = attempt.as_bytes().partition(b"\r\n\r\n")
        assert end
        assert body.decode() == attempt.body
        lines = head.decode("latin-1").split("\r\n")
        assert len(lines[0].split(" ")) == 3
        names = {line.partition(":")[0].strip().lower() for line in lines[1:]}
        assert names.isdisjoint({"authorization", "cookie", "proxy-authorization"})
        assert attempt.sign is not Sign.NAME or is_open
    sent = {name for attempt in attempts for name, _ in attempt.fields}
    assert sent >= {name for each in CONVENTIONS for name in each.metadata} - {"Host"}
    assert sent >= {"X-User", "X_User", "X.User"}
    assert path not in other_writings(path, open_path)
