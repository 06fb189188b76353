"""What a request without authentication costs, with the middleware and without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median

from exercise import measure_request_cost
from faults import BenchError
from measure import median_ratio
from peers import Server, serve_apache, serve_authsrv, serve_to_thread
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_floors"]

_WARM_UP = 1_000
_OTHER_ROUNDS = 8
_NAME, _UNIT = "open_request_cpu", "us"
_MUST, _AIM = 1.3, 1.05


def measure_floors(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure one application with the middleware on and off, and the other servers' floors.

    Raises:
        BenchError: A server answered otherwise than 200.
    """
    with ExitStack() as stack:
        on = stack.enter_context(serve_authsrv(bench, "middleware_on"))
        off = stack.enter_context(serve_authsrv(bench, "middleware_off", "--middleware", "off"))
        costs = _take_turns(bench, (on, off), plan.request_rounds, plan.requests)
    ours, theirs = costs[on.name], costs[off.name]
    return [
        Figure(_NAME, median(ours), _UNIT, off.name, median_ratio(ours, theirs), _MUST, _AIM),
        Figure(f"{_NAME}.{off.name}", median(theirs), _UNIT),
        *_other_floors(bench, plan),
    ]


def _take_turns(
    bench: Workbench, servers: Sequence[Server], rounds: int, requests: int
) -> Mapping[str, list[float]]:
    costs: dict[str, list[float]] = {server.name: [] for server in servers}
    for server in servers:
        measure_request_cost(bench, server, _WARM_UP)
    for number in range(rounds):
        # Whoever goes first finds another machine than whoever goes last.
        for server in servers if number % 2 else reversed(servers):
            costs[server.name].append(measure_request_cost(bench, server, requests).cpu_us)
    return costs


def _other_floors(bench: Workbench, plan: Plan) -> list[Figure]:
    figures = []
    for name, serve in (("apache", serve_apache), ("to_thread", serve_to_thread)):
        try:
            with serve(bench) as server:
                costs = _take_turns(bench, [server], _OTHER_ROUNDS, plan.requests)
            figures.append(Figure(f"{_NAME}.{name}", median(costs[name]), _UNIT))
        except BenchError as error:
            figures.append(Figure(f"{_NAME}.{name}", None, _UNIT, note=str(error)))
    return figures
