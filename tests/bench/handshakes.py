"""Processor time of a Kerberos handshake: ours beside Apache, a loop in C, and the obvious code."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from statistics import median

from exercise import Cost, demand_replay_refused, measure_handshake_cost, warm_up
from faults import BenchError, last_line
from measure import median_ratio
from peers import Server, serve_apache, serve_authsrv, serve_to_thread
from table import Figure
from workbench import Plan, Workbench

__all__ = ["Handshakes", "loop_cost", "measure_handshakes"]

_NAME, _UNIT = "kerberos_handshake_cpu", "us"
_OURS, _C_LOOP = "authsrv", "c_loop"
_BOUNDS = {"apache": (0.8, 0.5), _C_LOOP: (3.3, 2.0), "to_thread": (0.3, 0.2)}


@dataclass(frozen=True, slots=True)
class Handshakes:
    """What the measurement of handshakes brought.

    Args:
        figures: For the table.
        per_second: Handshakes a second that our server reached; 0 if it did not run.
    """

    figures: list[Figure]
    per_second: float


def measure_handshakes(bench: Workbench, plan: Plan) -> Handshakes:
    """Measure all peers in turns, round by round, and compare within each round.

    Raises:
        BenchError: A server answered otherwise than 200 with a token, or accepted a replay.
    """
    missing: dict[str, str] = {}
    rounds: list[dict[str, Cost]] = []
    with ExitStack() as stack:
        servers = _start_peers(bench, stack, missing)
        for server in servers.values():
            warm_up(bench, server)
            demand_replay_refused(bench, server)
        for number in range(plan.rounds):
            rounds.append(_run_round(bench, servers, plan.handshakes, number))
    costs = {peer: [costs[peer].cpu_us for costs in rounds] for peer in rounds[0]}
    rates = [costs[_OURS].per_second for costs in rounds if _OURS in costs]
    return Handshakes(_figures(costs, missing), median(rates) if rates else 0.0)


def _start_peers(bench: Workbench, stack: ExitStack, missing: dict[str, str]) -> dict[str, Server]:
    starters: dict[str, Callable[[], AbstractContextManager[Server]]] = {
        _OURS: lambda: serve_authsrv(bench, _OURS),
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


def _run_round(
    bench: Workbench, servers: Mapping[str, Server], handshakes: int, number: int
) -> dict[str, Cost]:
    peers = [*servers, _C_LOOP]
    costs = {}
    # Whoever goes first finds another machine than whoever goes last.
    for peer in peers if number % 2 else reversed(peers):
        if peer == _C_LOOP:
            costs[peer] = loop_cost(bench, handshakes)
        else:
            costs[peer] = measure_handshake_cost(bench, servers[peer], handshakes)
    return costs


def loop_cost(bench: Workbench, handshakes: int) -> Cost:
    """Run the loop in C, which refuses a replay too.

    Raises:
        BenchError: It refused a fresh token, or accepted a replay.
    """
    tokens = bench.make_tokens(handshakes)
    command = [str(bench.programs.accept_loop), str(bench.keytab), str(tokens)]
    environment = bench.server_environment(_C_LOOP)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise BenchError(last_line(done.stderr))
    seen = json.loads(done.stdout)
    if not seen["replay_refused"]:
        raise BenchError("the loop in C accepted a replay")
    accepts = float(seen["accepts"])
    return Cost(float(seen["cpu_us"]) / accepts, accepts / float(seen["wall_us"]) * 1e6)


def _figures(costs: Mapping[str, list[float]], missing: Mapping[str, str]) -> list[Figure]:
    ours = costs.get(_OURS)
    value = median(ours) if ours else None
    figures = []
    for peer, (must, aim) in _BOUNDS.items():
        theirs = costs.get(peer)
        note = missing.get(_OURS) or missing.get(peer) or ""
        ratio = median_ratio(ours, theirs) if ours and theirs else None
        figures.append(Figure(_NAME, value, _UNIT, peer, ratio, must, aim, note))
    for peer in _BOUNDS:
        if peer in costs:
            figures.append(Figure(f"{_NAME}.{peer}", median(costs[peer]), _UNIT))
    return figures
