"""The proxies that are tried, by default and with the settings that README names."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import string
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from programs import find_program
from workshop import envoy

__all__ = ["GATEWAYS", "Gateway", "Tuning", "run_gateway"]

CONFIGURATIONS = Path(__file__).parent / "proxies"
START_S = 20.0
STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a proxy is configured beyond what it needs to run.

    Args:
        settings: Lines of its configuration, as README says them.
        peer: Options of Squid's cache_peer.
    """

    settings: tuple[str, ...] = ()
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A reverse proxy.

    Args:
        name: How README calls it.
        configuration: The file that configures it, with places for the rest.
        command: What starts it with a configuration.
        tuned: What README recommends.
        account: The line that names the account that it runs as, when root starts it.
        default: What it cannot be tried without.
        at_least: How many bytes a token may have with what README recommends.
        package: The Debian package; empty if it is not Debian's.
    """

    name: str
    configuration: str
    command: Callable[[Path], list[str]]
    tuned: Tuning
    account: str = ""
    default: Tuning = field(default_factory=Tuning)
    at_least: int = 60_000
    package: str = ""


def program(name: str, package: str) -> str:
    """An ordinary user's PATH has no sbin, where most of them are."""
    return shutil.which(name, path="/usr/sbin") or find_program(name, package=package)


GATEWAYS = [
    Gateway(
        "nginx 1.22", "nginx.conf",
        lambda conf: [program("nginx", "nginx-light"), "-e", "stderr", "-c", str(conf)],
        Tuning(("large_client_header_buffers 4 128k;", "client_max_body_size 0;")),
        "user root;",
        package="nginx-light",
    ),
    Gateway(
        "HAProxy 2.6", "haproxy.cfg",
        lambda conf: [program("haproxy", "haproxy"), "-db", "-f", str(conf)],
        Tuning(("tune.bufsize 131072",)),
        package="haproxy",
    ),
    Gateway(
        "Apache 2.4", "apache.conf",
        lambda conf: [program("apache2", "apache2-bin"), "-DFOREGROUND", "-f", str(conf)],
        Tuning(("LimitRequestFieldSize 131072",)),
        "User www-data",
        package="apache2-bin",
    ),
    Gateway(
        "Squid 5.7", "squid.conf",
        lambda conf: [program("squid", "squid"), "-N", "-f", str(conf)],
        Tuning((), "login=PASS"),
        "cache_effective_user proxy",
        Tuning((), "login=PASS"),
        at_least=45_000,  # its strings hold 64 KiB
        package="squid",
    ),
    Gateway(
        "Caddy 2.6", "Caddyfile",
        lambda conf: [program("caddy", "caddy"), "run", "--config", str(conf), "--adapter",
                      "caddyfile"],
        Tuning(),
        package="caddy",
    ),
    Gateway(
        "Envoy 1.40", "envoy.yaml",
        lambda conf: [str(envoy()), "--disable-hot-restart", "--concurrency", "1",
                      "--log-level", "error", "-c", str(conf)],
        Tuning(("max_request_headers_kb: 128",)),
    ),
]  # fmt: skip


@contextmanager
def run_gateway(gateway: Gateway, tuning: Tuning, site: int) -> Iterator[int]:
    """Run a proxy in front of a site until the end of the block; gives its port."""
    with tempfile.TemporaryDirectory(prefix="proxy-", ignore_cleanup_errors=True) as made:
        folder, port = Path(made), free_port()
        if os.geteuid() == 0:
            # Some of them write as another user.
            folder.chmod(0o777)
        conf = folder / gateway.configuration
        text = string.Template((CONFIGURATIONS / gateway.configuration).read_text())
        conf.write_text(text.substitute(
            folder=folder, port=port, site=site, peer=tuning.peer,
            settings="\n".join(tuning.settings),
            user=gateway.account if os.geteuid() == 0 else "",
        ))  # fmt: skip
        with running(gateway.command(conf), folder) as process:
            await_port(process, port, folder)
            yield port


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_port(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"the proxy does not listen: {(folder / 'output').read_text(errors='replace')}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
