"""How long a session ask takes while other clients negotiate without pause."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exercise import ask_beside
from peers import Server
from services import ASK, BROWSER, PROGRAM, log_in, serve_bare, serve_service, write_fields
from table import Figure
from workbench import Load, Plan, Workbench

__all__ = ["measure_ask_times"]

_NAME, _UNIT = "session_ask_p99", "ms"
# Beyond a bare server's: what must be kept, and what should be.
_MUST_MS, _AIM_MS = 15.0, 5.0
# More than are ever asked for in a second beside so many session asks.
_TICKETS_PER_SECOND = 6_000


def measure_ask_times(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure 64 connections with session asks and, beside them, 16 that send a ticket each time.

    Raises:
        BenchError: An answer was not 200, or the tickets ran out.
    """
    seconds = plan.lag_seconds
    with serve_bare(bench) as bare:
        fields = write_fields(bench, BROWSER)
        theirs, _ = _load(bench, bare, fields, seconds, reuse=True)
    with serve_service(bench) as service:
        fields = write_fields(bench, BROWSER, log_in(bench, service, ASK, BROWSER))
        ours, tickets = _load(bench, service, fields, seconds)
    bare_ms = theirs.p99_us / 1e3
    must, aim = bare_ms + _MUST_MS, bare_ms + _AIM_MS
    return [
        Figure(_NAME, ours.p99_us / 1e3, _UNIT, must=must, aim=aim, note=_note(ours, tickets)),
        Figure(f"{_NAME}.bare_aiohttp", theirs.p99_us / 1e3, _UNIT, note=_note(theirs, None)),
    ]


def _load(
    bench: Workbench, server: Server, fields: Path, seconds: float, *, reuse: bool = False
) -> tuple[Load, Load]:
    tokens = bench.make_tokens(int(_TICKETS_PER_SECOND * seconds))
    program = write_fields(bench, PROGRAM)
    with ThreadPoolExecutor() as pool:
        beside = pool.submit(ask_beside, bench, server, seconds, program, tokens, reuse=reuse)
        asked = ask_beside(bench, server, seconds, fields)
        return asked, beside.result()


def _note(asks: Load, tickets: Load | None) -> str:
    beside = "" if tickets is None else f" beside {tickets.requests:,} with a ticket"
    return f"{asks.requests:,} asks in {asks.seconds:.1f} s{beside}, median {asks.p50_us / 1e3:.1f}"
