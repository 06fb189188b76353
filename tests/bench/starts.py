"""How long the service takes from its start until it listens, beside what it has to import."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from faults import BenchError, last_line
from measure import median_ratio
from peers import free_port
from services import write_config
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_starts"]

_NAME, _UNIT, _PEER = "service_start", "ms", "bare_imports"
_MUST = 2.5
# What no start of the service can do without; jinja2 and joserfc load when they are used.
_NEEDED = "aiohttp.web, uvloop, gssapi.raw, lmdb, pydantic, krb5"
_CIPHERS = "from cryptography.hazmat.primitives.ciphers import aead"
_PATIENCE_S = 30.0


def measure_starts(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure both in turns: a process that imports and ends, and one that comes to listen.

    Raises:
        BenchError: The service does not start, or a module is missing.
    """
    config = write_config(bench, free_port())
    environment = bench.server_environment("starts")
    serving = [sys.executable, "-m", "authsrv", "serve", "--config", str(config)]
    importing = [sys.executable, "-c", f"import {_NEEDED}\n{_CIPHERS}\nprint('ready', flush=True)"]
    starts, imports = [], []
    for command in (serving, importing):
        _ready_ms(command, environment)  # writes the byte code, and makes the store
    for _ in range(plan.imports):
        starts.append(_ready_ms(serving, environment))
        imports.append(_ready_ms(importing, environment))
    ratio = median_ratio(starts, imports)
    note = f"best {min(starts):.0f} ms against {min(imports):.0f} ms"
    return [
        Figure(_NAME, median(starts), _UNIT, _PEER, ratio, _MUST, note=note),
        Figure(f"{_NAME}.{_PEER}", median(imports), _UNIT),
    ]


def _ready_ms(command: list[str], environment: dict[str, str]) -> float:
    """Start a process; answer how long it took until it wrote its first line."""
    begun = time.perf_counter()
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        taken = (time.perf_counter() - begun) * 1e3
        process.terminate()
        _, log = process.communicate(timeout=_PATIENCE_S)
    if not line:
        raise BenchError(f"{' '.join(command[1:3])} did not come to be ready: {last_line(log)}")
    return taken
