"""What a request without authentication costs, with the middleware and without it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median

from faults import BenchError
from measure import median_ratio
from peers import Server, serve_apache, serve_authsrv, serve_to_thread
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_floors"]

_PUBLIC = "/public"
_CONNECTIONS = 16
_WARM_UP = 1_000
_SETTLE_S = 0.05
_NAME, _UNIT = "open_request_cpu", "us"


def measure_floors(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure one application with the middleware on and off, and the other servers' floors.

    Raises:
        BenchError: A server answered otherwise than 200.
    """
    with ExitStack() as stack:
        on = stack.enter_context(serve_authsrv(bench, "middleware_on"))
        off = stack.enter_context(serve_authsrv(bench, "middleware_off", "--middleware", "off"))
        costs = _take_turns(bench, (on, off), plan.rounds + 1, plan.requests)
    ours, theirs = costs["middleware_on"], costs["middleware_off"]
    ratio = median_ratio(ours, theirs)
    return [
        Figure(_NAME, median(ours), _UNIT, "middleware_off", ratio, 1.1, 1.05),
        Figure(f"{_NAME}.middleware_off", median(theirs), _UNIT),
        *_other_floors(bench, plan),
    ]


def _take_turns(
    bench: Workbench, servers: Sequence[Server], rounds: int, requests: int
) -> Mapping[str, list[float]]:
    costs: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        _cost_us(bench, server, _WARM_UP)
    for number in range(rounds):
        # Whoever goes first finds another machine than whoever goes second.
        for server in servers if number % 2 else reversed(servers):
            costs[server.name].append(_cost_us(bench, server, requests))
    return costs


def _cost_us(bench: Workbench, server: Server, requests: int) -> float:
    before = server.cpu_seconds()
    load = bench.run_load(server.port, _PUBLIC, connections=_CONNECTIONS, requests=requests)
    time.sleep(_SETTLE_S)
    used = server.cpu_seconds() - before
    load.demand_all()
    return used / load.requests * 1e6


def _other_floors(bench: Workbench, plan: Plan) -> list[Figure]:
    figures = []
    for name, serve in (("apache", serve_apache), ("to_thread", serve_to_thread)):
        try:
            with serve(bench) as server:
                cost = _take_turns(bench, [server], 1, plan.requests)[name][0]
            figures.append(Figure(f"{_NAME}.{name}", cost, _UNIT))
        except BenchError as error:
            figures.append(Figure(f"{_NAME}.{name}", None, _UNIT, note=str(error)))
    return figures
