"""How late the event loop of our server is while many clients shake hands."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from faults import BenchError
from peers import Server, serve_authsrv
from table import Figure
from workbench import Load, Plan, Workbench

__all__ = ["measure_lags"]

_CONNECTIONS = 64
_MUST_MS, _AIM_MS = 20.0, 5.0
_SLOW_CALL_S = 0.2
_IDLE_S = 1.0
# Tokens for a machine that turns out that much quicker than it was a minute ago.
_SPARE = 1.6
_ENDLESS = 10_000_000


def measure_lags(bench: Workbench, plan: Plan, handshakes_per_second: float) -> list[Figure]:
    """Measure the lag under Kerberos handshakes without pause, and under a slow package.

    Args:
        bench: The tools.
        plan: Says for how long.
        handshakes_per_second: What our server reached before; it decides how many tokens are made.

    Raises:
        BenchError: An answer was not 200, or the tokens ran out before the time was up.
    """
    figures = []
    with serve_authsrv(bench, "lag", "--lag") as server:
        time.sleep(_IDLE_S)
        figures.append(_figure("loop_lag_p999.idle", _take_lag(server), None))
        count = int(handshakes_per_second * plan.lag_seconds * _SPARE)
        load = _shake_hands(bench, server, plan.lag_seconds, bench.make_tokens(count))
        load.demand_mutual()
        figures += _pair("handshakes", _take_lag(server), load)
    options = ("--lag", "--package", "scripted", "--delay", str(_SLOW_CALL_S))
    with serve_authsrv(bench, "slow", *options) as server:
        _take_lag(server)
        load = _shake_hands(bench, server, plan.slow_seconds, _scripted_tokens(bench), reuse=True)
        load.demand_all()
        figures += _pair("slow_package", _take_lag(server), load)
    return figures


def _shake_hands(
    bench: Workbench, server: Server, seconds: float, tokens: Path, *, reuse: bool = False
) -> Load:
    _take_lag(server)
    load = bench.run_load(
        server.port,
        "/private",
        connections=_CONNECTIONS,
        requests=_ENDLESS,
        seconds=seconds,
        tokens=tokens,
        reuse=reuse,
    )
    if load.exhausted:
        raise BenchError(f"the tokens ran out after {load.seconds:.1f} of {seconds:g} s")
    return load


def _scripted_tokens(bench: Workbench) -> Path:
    path = bench.scratch / "scripted-tokens"
    path.write_text("b2s=\n")
    return path


def _take_lag(server: Server) -> Mapping[str, float]:
    status, body = server.ask("/lag")
    if status != 200:
        raise BenchError(f"the lag could not be read: {status}")
    seen: dict[str, float] = json.loads(body)
    return seen


def _pair(name: str, lag: Mapping[str, float], load: Load) -> list[Figure]:
    return [
        _figure(f"loop_lag_p999.{name}", lag, load, _MUST_MS, _AIM_MS),
        Figure(f"loop_lag_max.{name}", lag["max_ms"], "ms"),
    ]


def _figure(
    name: str,
    lag: Mapping[str, float],
    load: Load | None,
    must: float | None = None,
    aim: float | None = None,
) -> Figure:
    note = f"median {lag['p50_ms']:.2f}, max {lag['max_ms']:.1f} ms"
    if load is not None:
        note += f"; {load.requests:,} handshakes in {load.seconds:.1f} s"
        note += f", answer p99 {load.p99_us / 1e3:.1f} ms"
    return Figure(name, lag["p999_ms"], "ms", must=must, aim=aim, note=note)
