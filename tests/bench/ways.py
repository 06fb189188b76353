"""What stood to choose: ways off the event loop, and places to remember used tokens."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from faults import BenchError, last_line
from measure import median_ratio
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_offloading", "measure_replay_choices"]

_CHILDREN = Path(__file__).parent / "children"
_MEMORY_BACKED = Path("/dev/shm")
_OFFLOADING = ("inline", "run_in_executor", "to_thread", "authsrv_workers")
_REPLAY = ("mit_default_file", "mit_file_in_memory", "in_process")


def measure_offloading(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure the same accept on the loop and by three ways off it.

    Raises:
        BenchError: A way failed.
    """
    script = str(_CHILDREN / "offload.py")
    costs: dict[str, list[float]] = {way: [] for way in _OFFLOADING}
    for _ in range(plan.rounds):
        for way in _OFFLOADING:
            tokens = str(bench.make_tokens(plan.accepts))
            costs[way].append(_run(bench, way, [script, way, str(bench.keytab), tokens]))
    return [_figure("offload_cpu", way, costs[way], "inline", costs["inline"]) for way in costs]


def measure_replay_choices(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure the gssapi package with each replay cache; each is shown to refuse a replay.

    Raises:
        BenchError: A fresh token was refused, or a replay accepted.
    """
    script, base = str(_CHILDREN / "replay.py"), "mit_default_file"
    costs: dict[str, list[float]] = {choice: [] for choice in _REPLAY}
    with tempfile.TemporaryDirectory(dir=_MEMORY_BACKED) as folder:
        for _ in range(plan.rounds):
            for choice in _REPLAY:
                tokens = str(bench.make_tokens(plan.accepts))
                command = [script, choice, str(bench.keytab), tokens, folder]
                costs[choice].append(_run(bench, choice, command))
    return [_figure("replay_cpu", choice, costs[choice], base, costs[base]) for choice in costs]


def _figure(
    name: str, kind: str, ours: Sequence[float], base: str, theirs: Sequence[float]
) -> Figure:
    return Figure(f"{name}.{kind}", median(ours), "us", base, median_ratio(ours, theirs))


def _run(bench: Workbench, name: str, arguments: Sequence[str]) -> float:
    command = [sys.executable, *arguments]
    environment = bench.server_environment(name)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise BenchError(f"{name}: {last_line(done.stderr)}")
    return float(done.stdout)
