"""What handshakes hold in memory while they wait for their client's second token."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from faults import BenchError, last_line
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_memory"]

_CHILD = Path(__file__).parent / "children" / "pending.py"
_MIB = 1 << 20


def measure_memory(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure our own part with the scripted package, and the whole with MIT's contexts.

    Raises:
        BenchError: A package did not ask for a second token.
    """
    return [_measure(bench, kind, plan.pending) for kind in ("scripted", "gssapi")]


def _measure(bench: Workbench, kind: str, count: int) -> Figure:
    command = [sys.executable, str(_CHILD), kind, str(count), str(bench.keytab)]
    environment = bench.server_environment(f"pending-{kind}")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise BenchError(f"{kind}: {last_line(done.stderr)}")
    held, left = (int(field) for field in done.stdout.split())
    note = f"{held / count:,.0f} bytes each; {left / _MIB:.1f} MiB stay with the allocator"
    return Figure(f"pending_memory_{count}.{kind}", held / _MIB, "MiB", note=note)
