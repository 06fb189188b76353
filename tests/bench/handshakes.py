"""Processor time of a Kerberos handshake: ours beside Apache, a loop in C, and the obvious code."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from statistics import median

from faults import BenchError
from measure import median_ratio
from peers import Server, serve_apache, serve_authsrv, serve_to_thread
from table import Figure
from workbench import Load, Plan, Workbench

__all__ = ["C_LOOP", "Handshakes", "measure_handshakes"]

C_LOOP = "c_loop"
_PRIVATE = "/private"
_CONNECTIONS = 16
_WARM_UP = 200
_SETTLE_S = 0.1
_BOUNDS = {"apache": (0.8, 0.5), C_LOOP: (3.0, 2.0), "to_thread": (0.3, 0.2)}


@dataclass(frozen=True, slots=True)
class Handshakes:
    """What the measurement of handshakes brought.

    Args:
        figures: For the table.
        per_second: Handshakes a second that our server reached.
    """

    figures: list[Figure]
    per_second: float


def measure_handshakes(bench: Workbench, plan: Plan) -> Handshakes:
    """Measure all peers in turns, round by round, and compare within each round.

    Raises:
        BenchError: A server answered otherwise than 200 with a token, or accepted a replay.
    """
    missing: dict[str, str] = {}
    costs: dict[str, list[float]] = {}
    rates: list[float] = []
    with ExitStack() as stack:
        servers = _start_peers(bench, stack, missing)
        for server in servers.values():
            _warm_up(bench, server)
            _demand_replay_refused(bench, server)
        for _ in range(plan.rounds):
            for name, server in servers.items():
                cost, load = _cost_us(bench, server, plan.handshakes)
                costs.setdefault(name, []).append(cost)
                if name == "authsrv":
                    rates.append(load.requests / load.seconds)
            costs.setdefault(C_LOOP, []).append(_loop_cost_us(bench, plan.handshakes))
    return Handshakes(_figures(costs, missing), median(rates) if rates else 0.0)


def _start_peers(bench: Workbench, stack: ExitStack, missing: dict[str, str]) -> dict[str, Server]:
    starters: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        "authsrv": lambda: serve_authsrv(bench, "authsrv"),
        "apache": lambda: serve_apache(bench),
        "to_thread": lambda: serve_to_thread(bench),
    }
    servers = {}
    for name, start in starters.items():
        try:
            servers[name] = stack.enter_context(start())
        except BenchError as error:
            missing[name] = str(error)
    return servers


def _warm_up(bench: Workbench, server: Server) -> None:
    load = bench.run_load(
        server.port,
        _PRIVATE,
        connections=_CONNECTIONS,
        requests=_WARM_UP,
        tokens=bench.make_tokens(_WARM_UP),
    )
    load.demand_mutual()


def _demand_replay_refused(bench: Workbench, server: Server) -> None:
    token = bench.make_tokens(1).read_text().strip()
    first, _ = server.ask(_PRIVATE, token)
    second, _ = server.ask(_PRIVATE, token)
    if first != 200 or second == 200:
        raise BenchError(
            f"{server.name} answered a token with {first} and its replay with {second}"
        )


def _cost_us(bench: Workbench, server: Server, handshakes: int) -> tuple[float, Load]:
    tokens = bench.make_tokens(handshakes)
    before = server.cpu_seconds()
    load = bench.run_load(
        server.port, _PRIVATE, connections=_CONNECTIONS, requests=handshakes, tokens=tokens
    )
    time.sleep(_SETTLE_S)
    used = server.cpu_seconds() - before
    load.demand_mutual()
    return used / load.requests * 1e6, load


def _loop_cost_us(bench: Workbench, handshakes: int) -> float:
    tokens = bench.make_tokens(handshakes)
    command = [str(bench.programs.accept_loop), str(bench.keytab), str(tokens)]
    environment = bench.server_environment(C_LOOP)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip())
    seen = json.loads(done.stdout)
    if not seen["replay_refused"]:
        raise BenchError("the loop in C accepted a replay")
    return float(seen["cpu_us"]) / float(seen["accepts"])


def _figures(costs: Mapping[str, list[float]], missing: Mapping[str, str]) -> list[Figure]:
    name, unit = "kerberos_handshake_cpu", "us"
    figures = []
    ours = costs.get("authsrv")
    for peer, (must, aim) in _BOUNDS.items():
        theirs = costs.get(peer)
        note = missing.get(peer) or missing.get("authsrv") or ""
        ratio = median_ratio(ours, theirs) if ours and theirs else None
        value = median(ours) if ours else None
        figures.append(Figure(name, value, unit, peer, ratio, must, aim, note))
    for peer in _BOUNDS:
        if peer in costs:
            figures.append(Figure(f"{name}.{peer}", median(costs[peer]), unit))
    return figures
