"""What is done to a server: handshakes counted, timed and checked, and one token sent twice."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from faults import BenchError
from peers import Server
from services import ASK
from workbench import Load, Workbench

__all__ = [
    "Cost",
    "Lag",
    "ask_beside",
    "ask_without_pause",
    "demand_replay_refused",
    "demand_stream_replay_refused",
    "measure_asks",
    "measure_handshake_cost",
    "measure_request_cost",
    "measure_stream_cost",
    "shake_hands_without_pause",
    "take_lag",
    "warm_up",
]

_PRIVATE, _PUBLIC, _LAG = "/private", "/public", "/lag"
# What the load generator takes for "speak MS-NNS".
_STREAMS = "nns"
_DONE, _ERROR, _IN_PROGRESS = 0x14, 0x15, 0x16
_CONNECTIONS = 16
_BUSY_CONNECTIONS = 64
_WARM_UP = 200
_ENDLESS = 10_000_000
# What a server still does after its last answer belongs to the answers.
_SETTLE_S = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """What requests took.

    Args:
        cpu_us: Processor time of the server for one request, in microseconds.
        per_second: Requests that were answered in a second.
    """

    cpu_us: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Lag:
    """How late an event loop was, in milliseconds.

    Args:
        samples: How often it was looked at.
        p50_ms: The median.
        p999_ms: The 99.9th percentile.
        max_ms: The worst.
    """

    samples: int
    p50_ms: float
    p999_ms: float
    max_ms: float


def warm_up(bench: Workbench, server: Server) -> None:
    """Shake hands some times before anything is measured."""
    measure_handshake_cost(bench, server, _WARM_UP)


def demand_replay_refused(bench: Workbench, server: Server) -> None:
    """Send one token twice, on two connections.

    Raises:
        BenchError: The first was refused, or the second accepted.
    """
    token = bench.make_tokens(1).read_text().strip()
    first, _ = server.ask(_PRIVATE, token)
    second, _ = server.ask(_PRIVATE, token)
    if first != 200 or second == 200:
        raise BenchError(
            f"{server.name} answered a token with {first} and its replay with {second}"
        )


def demand_stream_replay_refused(bench: Workbench, server: Server) -> None:
    """Send one token twice, on two connections, with the framing of MS-NNS.

    Raises:
        BenchError: The first was refused, or the second accepted.
    """
    token = base64.b64decode(bench.make_tokens(1).read_text())
    answers = [_begin_stream(server.port, token) for _ in range(2)]
    if answers != [_DONE, _ERROR]:
        raise BenchError(f"{server.name} answered a token and its replay with {answers}")


def _begin_stream(port: int, token: bytes) -> int:
    """Send a token; answers the kind of the frame that comes back, or 0."""
    frame = bytes((_IN_PROGRESS, 1, 0)) + len(token).to_bytes(2, "big") + token
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(frame)
        answer = connection.recv(5)
    return answer[0] if answer else 0


def measure_stream_cost(bench: Workbench, server: Server, count: int) -> Cost:
    """Shake hands over streams with fresh tokens and ask the kernel what it took.

    Raises:
        BenchError: An answer was not HandshakeDone with a token for the client.
    """
    return _measure(bench, server, _STREAMS, count, bench.make_tokens(count))


def measure_handshake_cost(bench: Workbench, server: Server, count: int) -> Cost:
    """Shake hands with fresh tokens and ask the kernel what it took.

    Raises:
        BenchError: An answer was not 200 with a token for the client.
    """
    return _measure(bench, server, _PRIVATE, count, bench.make_tokens(count))


def measure_request_cost(bench: Workbench, server: Server, count: int) -> Cost:
    """Send requests that need no authentication and ask the kernel what they took.

    Raises:
        BenchError: An answer was not 200.
    """
    return _measure(bench, server, _PUBLIC, count, None)


def measure_asks(
    bench: Workbench,
    server: Server,
    count: int,
    fields: Path,
    tokens: Path | None = None,
    *,
    path: str = ASK,
    token_field: str | None = None,
) -> Cost:
    """Ask, and ask the kernel what it took.

    Args:
        bench: The tools.
        server: Who is asked.
        count: How often.
        fields: All fields of an ask.
        tokens: What is sent with each ask, once.
        path: Of the ask.
        token_field: As of `Workbench.run_load`; without it, tokens are tickets, and every answer
            has to prove the server to the client.

    Raises:
        BenchError: An answer was not 200.
    """
    return _measure(bench, server, path, count, tokens, fields=fields, token_field=token_field)


def _measure(
    bench: Workbench,
    server: Server,
    path: str,
    count: int,
    tokens: Path | None,
    *,
    fields: Path | None = None,
    token_field: str | None = None,
) -> Cost:
    before = server.cpu_seconds()
    load = bench.run_load(
        server.port,
        path,
        connections=_CONNECTIONS,
        requests=count,
        tokens=tokens,
        fields=fields,
        token_field=token_field,
    )
    time.sleep(_SETTLE_S)
    used = server.cpu_seconds() - before
    load.demand_all()
    if tokens is not None and token_field is None:
        load.demand_mutual()
    return Cost(used / load.requests * 1e6, load.requests / load.seconds)


def shake_hands_without_pause(
    bench: Workbench, server: Server, seconds: float, tokens: Path, *, reuse: bool = False
) -> Load:
    """Keep 64 connections busy with handshakes for a time.

    Args:
        bench: The tools.
        server: Who answers.
        seconds: For how long.
        tokens: Enough of them.
        reuse: Whether the same tokens are sent again; for the scripted package.

    Raises:
        BenchError: An answer was not 200 with a token, or the tokens ran out.
    """
    load = bench.run_load(
        server.port,
        _PRIVATE,
        connections=_BUSY_CONNECTIONS,
        requests=_ENDLESS,
        seconds=seconds,
        tokens=tokens,
        reuse=reuse,
    )
    load.demand_mutual()
    if load.exhausted:
        raise BenchError(f"the tokens ran out after {load.seconds:.1f} of {seconds:g} s")
    return load


def ask_without_pause(bench: Workbench, server: Server, seconds: float) -> Load:
    """Keep 64 connections busy for a time with requests that need no authentication.

    Raises:
        BenchError: An answer was not 200.
    """
    load = bench.run_load(
        server.port,
        _PUBLIC,
        connections=_BUSY_CONNECTIONS,
        requests=_ENDLESS,
        seconds=seconds,
    )
    load.demand_all()
    return load


def ask_beside(
    bench: Workbench, server: Server, seconds: float, fields: Path, tokens: Path | None = None
) -> Load:
    """Keep connections busy with asks for a time: 64 of them, or 16 that send a ticket each time.

    Raises:
        BenchError: An answer was not 200, or the tickets ran out.
    """
    load = bench.run_load(
        server.port,
        ASK,
        connections=_BUSY_CONNECTIONS if tokens is None else _CONNECTIONS,
        requests=_ENDLESS,
        seconds=seconds,
        tokens=tokens,
        fields=fields,
    )
    load.demand_all()
    if load.exhausted:
        raise BenchError(f"the tokens ran out after {load.seconds:.1f} of {seconds:g} s")
    return load


def take_lag(server: Server) -> Lag:
    """Ask a server how late its event loop was since it was asked last.

    Raises:
        BenchError: It does not tell.
    """
    status, body = server.ask(_LAG)
    if status != 200:
        raise BenchError(f"{server.name} does not tell its lag: {status}")
    seen: Mapping[str, float] = json.loads(body)
    return Lag(int(seen["samples"]), seen["p50_ms"], seen["p999_ms"], seen["max_ms"])
