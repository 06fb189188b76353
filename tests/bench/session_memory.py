"""What 100,000 sessions hold in memory where cookies are sealed: nothing, since nothing is kept."""

from __future__ import annotations

import re
from pathlib import Path

from exercise import measure_asks
from peers import Server, free_port
from services import (
    ASK,
    BROWSER,
    log_in,
    make_cookies,
    serve_config,
    write_config,
    write_fields,
)
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_session_memory"]

_NAME, _UNIT = "session_memory", "MiB"
# Ten bytes for each session: less than any way to remember one.
_MUST_MIB = 1.0
_FIELD = "Cookie: __Host-authsrv="
_KIB_A_MIB = 1_024


def measure_session_memory(bench: Workbench, plan: Plan) -> list[Figure]:
    """Ask once with each of many sessions, and compare the memory of the service with before.

    Its caches and the allocator are full after the first of them, a fifth more.

    Raises:
        BenchError: A session was refused.
    """
    config = write_config(bench, port := free_port())
    fields, cookies = write_fields(bench, BROWSER), bench.scratch / "cookies"
    with serve_config(bench, config, port) as server:
        cookie = log_in(bench, server, ASK, BROWSER)

        def ask_with(count: int) -> None:
            make_cookies(config, cookie, count, cookies)
            measure_asks(bench, server, count, fields, cookies, token_field=_FIELD)

        ask_with(plan.sessions // 5)
        before = _memory_mib(server)
        ask_with(plan.sessions)
        grown = max(0.0, _memory_mib(server) - before)
    note = f"{grown * (1 << 20) / plan.sessions:.1f} bytes each, of {before:.0f} MiB"
    return [Figure(f"{_NAME}_{plan.sessions}", grown, _UNIT, must=_MUST_MIB, note=note)]


def _memory_mib(server: Server) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / _KIB_A_MIB
