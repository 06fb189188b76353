"""The demo: it shows what it promises, and it can fail."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"
SERVICE = DEMO.with_name("demo_service.py")
NGINX = DEMO.with_name("nginx")
DEMO_FILES = DEMO.parents[1] / "authsrv" / "service" / "demo_files"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    return module


def test_the_demo_shows_every_handshake_and_every_refusal_with_its_cause() -> None:
    done = subprocess.run([sys.executable, DEMO], capture_output=True, text=True, timeout=60)
    shown = done.stdout
    assert done.returncode == 0, shown + done.stderr
    assert shown.count("\n  as expected") == 7
    assert "await-token > accepting > established" in shown
    assert "SEC_E_OK (0x00000000)" in shown
    assert "token   kerberos, " in shown
    assert "alice@AUTHSRV.TEST" in shown
    assert "no-token: the request carries no token" in shown
    assert "wrong-service: the ticket is for other/localhost@AUTHSRV.TEST" in shown
    assert "replay: the token was used before" in shown
    assert "s ahead of ours" in shown
    assert "SEC_E_TIME_SKEW (0x80090324)" in shown


def test_the_demo_of_the_service_lets_in_by_ticket_and_by_password() -> None:
    done = subprocess.run([sys.executable, SERVICE], capture_output=True, text=True, timeout=60)
    shown = done.stdout
    assert done.returncode == 0, shown + done.stderr
    assert shown.count("\n  as expected") == 3
    assert "basis=ticket" in shown
    assert "way=password" in shown
    assert "basis=session" in shown


def test_a_case_that_comes_out_otherwise_is_a_surprise(
    demo: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    played = demo.Demo(demo.Server("http://localhost:1"))
    nowhere = ("--max-time", "2", "http://127.0.0.1:1/")
    played.play(demo.Case("closed", nowhere, dict(os.environ), "200", ()))
    assert played.surprises == 1
    assert "NOT as expected" in capsys.readouterr().out


def test_a_refusal_for_another_cause_is_a_surprise(demo: ModuleType) -> None:
    server = demo.Server("http://localhost:1")
    server.lines.put(
        'authsrv.audit refused method=GET path="/" http=401 cause=replay reason="used before"'
    )
    played = demo.Demo(server)
    nowhere = ("--max-time", "2", "http://127.0.0.1:1/")
    case = demo.Case("other", nowhere, dict(os.environ), "000", ("refused",), "clock-skew")
    played.play(case)
    assert played.surprises == 1


def test_the_demo_says_which_program_is_missing(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, DEMO], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "krb5-user" in done.stderr


def run_serve_demo(port: int, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "authsrv", "serve", "--demo", "--port", str(port)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_demo_says_that_its_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_serve_demo(port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"port {port} is taken: choose another with --port\n"


def test_a_number_that_is_no_port_is_said_to_be_none() -> None:
    done = run_serve_demo(70_000)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "70000 is no port: choose one from 1 to 65535 with --port\n"


# Somebody takes the port after the demo has looked, and answers at it while nginx tries and ends.
LATE = """\
#!{python}
import socket, sys, time
with socket.create_server(("127.0.0.1", {port})):
    time.sleep(1)
sys.exit("bind() to 127.0.0.1:{port} failed (98: Address already in use)")
"""


def test_the_demo_takes_nobody_else_at_its_port_for_nginx(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = tmp_path / "nginx"
    program.write_text(LATE.format(python=sys.executable, port=port), encoding="utf-8")
    program.chmod(0o755)
    done = run_serve_demo(port, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {port} is taken: choose another with --port" in done.stderr


SAID = re.compile(
    r"^\s*(?:map|error_page|auth_request\w*|proxy_(?!temp_path)\w+|add_header|return|if|"
    r"upstream nowhere|absolute_redirect|large_client_header_buffers)\s.*$",
    re.MULTILINE,
)


def said_by(*texts: str) -> set[str]:
    """What nginx is told of asks, answers and applications, without blanks and the demo's port."""
    lines = (" ".join(line.split()) for text in texts for line in SAID.findall(text))
    return {line.replace("$host:$port", "$host") for line in lines}


def test_the_demo_s_nginx_is_told_what_the_example_s_is() -> None:
    example = [path.read_text(encoding="utf-8") for path in NGINX.glob("*.conf")]
    demo = (DEMO_FILES / "nginx.conf").read_text(encoding="utf-8").replace("$$", "$")
    assert said_by(*example) ^ said_by(demo) == set()
