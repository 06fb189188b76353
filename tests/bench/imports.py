"""How long an import takes, in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from faults import BenchError, last_line
from table import Figure
from workbench import Plan

__all__ = ["measure_imports"]

_MUST_MS, _AIM_MS = 150.0, 60.0
_TIMED = """
{before}
import time
begun = time.perf_counter()
import {module}
print(time.perf_counter() - begun)
"""
_CASES = (
    ("import_time.authsrv", "authsrv", ""),
    ("import_time.authsrv_aiohttp", "authsrv.aiohttp", "import aiohttp, aiohttp.web"),
)


def measure_imports(plan: Plan) -> list[Figure]:
    """Time the imports of authsrv, and of authsrv.aiohttp where aiohttp is imported already.

    Raises:
        BenchError: A module cannot be imported.
    """
    figures = []
    for name, module, before in _CASES:
        _import_ms(module, before)  # writes the byte code
        times = [_import_ms(module, before) for _ in range(plan.imports)]
        note = f"median of {len(times)}, best {min(times):.1f} ms"
        figures.append(Figure(name, median(times), "ms", must=_MUST_MS, aim=_AIM_MS, note=note))
    return figures


def _import_ms(module: str, before: str) -> float:
    program = _TIMED.format(module=module, before=before)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise BenchError(f"import {module}: {last_line(done.stderr)}")
    return float(done.stdout) * 1e3
