"""What an ask costs: beside a server that lets everybody in, Apache's sessions, the middleware."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from exercise import Cost, measure_asks
from faults import BenchError
from measure import median_ratio
from peers import Server, serve_apache, serve_authsrv
from services import (
    ASK,
    BROWSER,
    DIRECT_BROWSER,
    DIRECT_PROGRAM,
    PROGRAM,
    demand_refused,
    log_in,
    serve_bare,
    serve_service,
    write_fields,
)
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_session_asks", "measure_ticket_asks"]

_SESSION, _TICKET, _UNIT = "session_ask_cpu", "kerberos_ask_cpu", "us"
_BARE, _APACHE, _MIDDLEWARE = "bare_aiohttp", "apache_sessions", "middleware"
# What must be reached, and what should be.
_SESSION_BOUNDS = {_BARE: (3.0, 1.5), _APACHE: (1.5, 1.0)}
_TICKET_BOUNDS = (1.2, 1.15)
_APACHE_PATH = "/session"
# An application has cookies of its own.
_OTHER_COOKIE = "; JSESSIONID=0123456789ABCDEF0123456789ABCDEF"

_Measure = Callable[[], Cost]


def measure_session_asks(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure asks that carry a session, with the fields that nginx sends of a browser's request.

    Raises:
        BenchError: The service let in somebody without a session, or refused one.
    """
    missing = ""
    with ExitStack() as stack:
        service = stack.enter_context(serve_service(bench))
        demand_refused(service, ASK, BROWSER)
        fields = _with_session(bench, service, ASK, BROWSER)
        bare = stack.enter_context(serve_bare(bench))
        ways: dict[str, _Measure] = {
            _SESSION: lambda: measure_asks(bench, service, plan.requests, fields),
            _BARE: lambda: measure_asks(bench, bare, plan.requests, fields),
        }
        try:
            ways[_APACHE] = _apache_way(bench, stack, plan)
        except BenchError as error:
            missing = str(error)
        costs = _take_turns(ways, plan.request_rounds)
    ours = costs[_SESSION]
    figures = [
        _compare(_SESSION, ours, peer, costs.get(peer), bounds, missing)
        for peer, bounds in _SESSION_BOUNDS.items()
    ]
    return [*figures, *_plain(_SESSION, costs)]


def measure_ticket_asks(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure asks of a program with a fresh ticket each, and requests to the middleware.

    Raises:
        BenchError: A server refused a ticket, or did not prove itself to the client.
    """
    with serve_service(bench) as service, serve_authsrv(bench, "middleware") as middleware:
        fields, direct = write_fields(bench, PROGRAM), write_fields(bench, DIRECT_PROGRAM)
        count = plan.handshakes
        ways: dict[str, _Measure] = {
            _TICKET: lambda: measure_asks(bench, service, count, fields, bench.make_tokens(count)),
            _MIDDLEWARE: lambda: measure_asks(
                bench, middleware, count, direct, bench.make_tokens(count), path="/private"
            ),
        }
        costs = _take_turns(ways, plan.rounds)
    theirs = costs[_MIDDLEWARE]
    figure = _compare(_TICKET, costs[_TICKET], _MIDDLEWARE, theirs, _TICKET_BOUNDS)
    return [figure, *_plain(_TICKET, costs)]


def _with_session(bench: Workbench, server: Server, path: str, fields: str) -> Path:
    cookie = log_in(bench, server, path, fields)
    return write_fields(bench, fields, cookie + _OTHER_COOKIE)


def _apache_way(bench: Workbench, stack: ExitStack, plan: Plan) -> _Measure:
    apache = stack.enter_context(serve_apache(bench))
    demand_refused(apache, _APACHE_PATH, DIRECT_BROWSER)
    fields = _with_session(bench, apache, _APACHE_PATH, DIRECT_BROWSER)
    return lambda: measure_asks(bench, apache, plan.requests, fields, path=_APACHE_PATH)


def _take_turns(ways: Mapping[str, _Measure], rounds: int) -> dict[str, list[float]]:
    for measure in ways.values():
        measure()  # warms up
    costs: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        # Whoever goes first finds another machine than whoever goes last.
        for way in ways if number % 2 else reversed(ways):
            costs[way].append(ways[way]().cpu_us)
    return costs


def _compare(
    name: str,
    ours: list[float],
    peer: str,
    theirs: list[float] | None,
    bounds: tuple[float, float],
    note: str = "",
) -> Figure:
    ratio = median_ratio(ours, theirs) if theirs else None
    return Figure(name, median(ours), _UNIT, peer, ratio, *bounds, note=note)


def _plain(name: str, costs: Mapping[str, list[float]]) -> list[Figure]:
    return [
        Figure(f"{name}.{way}", median(taken), _UNIT) for way, taken in costs.items() if way != name
    ]
