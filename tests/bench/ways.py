"""What stood to choose: ways off the event loop, and places to remember used tokens."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from exercise import (
    Lag,
    measure_handshake_cost,
    shake_hands_without_pause,
    take_lag,
    warm_up,
)
from faults import BenchError, last_line
from measure import median_ratio
from peers import Server, serve_offloading
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_offloading", "measure_replay_choices"]

_REPLAY_CHILD = Path(__file__).parent / "children" / "replay.py"
_MEMORY_BACKED = Path("/dev/shm")
_UNIT = "us"
_OFFLOADING = ("inline", "run_in_executor", "to_thread", "authsrv_workers")
_REPLAY = ("mit_default_file", "mit_file_in_memory", "machine_store", "memory_store")
# MIT's own file is what the store of this machine takes the place of.
_BOUNDS = {"machine_store": (1.15, 1.0)}
# More than any way has ever taken in a second.
_TOKENS_PER_SECOND = 14_000


def measure_offloading(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure the same accept on the loop and by three ways off it, behind a real socket.

    Raises:
        BenchError: A way failed.
    """
    costs: dict[str, list[float]] = {way: [] for way in _OFFLOADING}
    with ExitStack() as stack:
        servers = {way: stack.enter_context(serve_offloading(bench, way)) for way in _OFFLOADING}
        for server in servers.values():
            warm_up(bench, server)
        for _ in range(plan.choice_rounds):
            for way, server in servers.items():
                cost = measure_handshake_cost(bench, server, plan.accepts)
                costs[way].append(cost.cpu_us)
        lags = {way: _lag(bench, server, plan) for way, server in servers.items()}
    notes = {way: f"loop lag p99.9 {lag.p999_ms:.1f} ms" for way, lag in lags.items()}
    return _compare("offload_cpu", costs, notes)


def measure_replay_choices(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure the gssapi package alone with each replay cache; each is shown to refuse a replay.

    Raises:
        BenchError: A fresh token was refused, or a replay accepted.
    """
    costs: dict[str, list[float]] = {choice: [] for choice in _REPLAY}
    with tempfile.TemporaryDirectory(dir=_MEMORY_BACKED) as folder:
        for _ in range(plan.choice_rounds):
            for choice in _REPLAY:
                costs[choice].append(_replay_cost(bench, choice, plan.accepts, folder))
    return _compare("replay_cpu", costs, {})


def _lag(bench: Workbench, server: Server, plan: Plan) -> Lag:
    tokens = bench.make_tokens(int(_TOKENS_PER_SECOND * plan.offload_seconds))
    take_lag(server)
    shake_hands_without_pause(bench, server, plan.offload_seconds, tokens)
    return take_lag(server)


def _compare(
    name: str, costs: Mapping[str, Sequence[float]], notes: Mapping[str, str]
) -> list[Figure]:
    """Compare all with the first."""
    base, *_ = costs
    return [
        Figure(
            f"{name}.{kind}",
            median(taken),
            _UNIT,
            base,
            median_ratio(taken, costs[base]),
            *_BOUNDS.get(kind, (None, None)),
            note=notes.get(kind, ""),
        )
        for kind, taken in costs.items()
    ]


def _replay_cost(bench: Workbench, choice: str, accepts: int, folder: str) -> float:
    tokens = str(bench.make_tokens(accepts))
    command = [sys.executable, str(_REPLAY_CHILD), choice, str(bench.keytab), tokens, folder]
    environment = bench.server_environment(choice)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise BenchError(f"{choice}: {last_line(done.stderr)}")
    return float(done.stdout)
