"""How late the event loop of our server is while many clients shake hands."""

from __future__ import annotations

from pathlib import Path

from exercise import Lag, ask_without_pause, shake_hands_without_pause, take_lag
from peers import serve_authsrv
from table import Figure
from workbench import Load, Plan, Workbench

__all__ = ["measure_lags"]

_NAME, _UNIT = "loop_lag", "ms"
# Beyond the lag of an aiohttp application that authenticates nobody, under as many connections.
_BEYOND_MS, _AIM_MS = 5.0, 5.0
_SLOW_CALL_S = 0.2
# Tokens for a machine that turns out that much quicker than it was a minute ago.
_SPARE = 1.6


def measure_lags(bench: Workbench, plan: Plan, handshakes_per_second: float) -> list[Figure]:
    """Measure the lag under Kerberos handshakes without pause, and under a slow package.

    Args:
        bench: The tools.
        plan: Says for how long.
        handshakes_per_second: What our server reached before; it decides how many tokens are made.

    Raises:
        BenchError: An answer was not 200, or the tokens ran out before the time was up.
    """
    bare, load = _lag_of_bare_server(bench, plan.lag_seconds)
    note = f"max {bare.max_ms:.1f} ms; {load.requests:,} requests in {load.seconds:.1f} s"
    must = bare.p999_ms + _BEYOND_MS
    return [
        *_lag_under_handshakes(bench, plan.lag_seconds, handshakes_per_second, must),
        Figure(f"{_NAME}_p999.bare_aiohttp", bare.p999_ms, _UNIT, note=note),
        *_lag_under_slow_package(bench, plan.slow_seconds, must),
    ]


def _lag_of_bare_server(bench: Workbench, seconds: float) -> tuple[Lag, Load]:
    with serve_authsrv(bench, "bare_lag", "--lag", "--middleware", "off") as server:
        take_lag(server)
        load = ask_without_pause(bench, server, seconds)
        return take_lag(server), load


def _lag_under_handshakes(
    bench: Workbench, seconds: float, per_second: float, must: float
) -> list[Figure]:
    tokens = bench.make_tokens(int(per_second * seconds * _SPARE))
    with (
        serve_authsrv(bench, "lag", "--lag") as server,
        serve_authsrv(bench, "bystander", "--lag") as bystander,
    ):
        take_lag(server)
        take_lag(bystander)
        load = shake_hands_without_pause(bench, server, seconds, tokens)
        busy, idle = take_lag(server), take_lag(bystander)
    note = f"max {idle.max_ms:.1f} ms; an idle process meanwhile: what the machine itself adds"
    bystanding = Figure(f"{_NAME}_p999.bystander", idle.p999_ms, _UNIT, note=note)
    return [*_pair("handshakes", busy, load, must), bystanding]


def _lag_under_slow_package(bench: Workbench, seconds: float, must: float) -> list[Figure]:
    options = ("--lag", "--package", "scripted", "--delay", str(_SLOW_CALL_S))
    with serve_authsrv(bench, "slow", *options) as server:
        take_lag(server)
        tokens = _scripted_tokens(bench)
        load = shake_hands_without_pause(bench, server, seconds, tokens, reuse=True)
        lag = take_lag(server)
    return _pair("slow_package", lag, load, must)


def _scripted_tokens(bench: Workbench) -> Path:
    path = bench.scratch / "scripted-tokens"
    path.write_text("b2s=\n")
    return path


def _pair(kind: str, lag: Lag, load: Load, must: float) -> list[Figure]:
    note = (
        f"{load.requests:,} handshakes in {load.seconds:.1f} s, "
        f"answer p99 {load.p99_us / 1e3:.0f} ms; lag median {lag.p50_ms:.2f} ms"
    )
    name = f"{_NAME}_p999.{kind}"
    return [
        Figure(name, lag.p999_ms, _UNIT, must=must, aim=_AIM_MS, note=note),
        Figure(f"{_NAME}_max.{kind}", lag.max_ms, _UNIT),
    ]
