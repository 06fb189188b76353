"""Measures what authsrv promises about speed, beside its peers, in one run on one machine.

usage: python tests/bench/run.py [--quick] [--only NAME]...

Prints a table, writes build/bench.json, and ends with 0 if every figure that must reach a bound
reaches it, else with 1. Compare ratios: absolute times belong to the machine and the minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ask_times import measure_ask_times
from asks import measure_session_asks, measure_ticket_asks
from contract import measure_calls, measure_streams
from faults import BenchError
from floors import measure_floors
from handshakes import measure_handshakes
from imports import measure_imports
from lags import measure_lags
from memory import measure_memory
from programs import compile_programs
from session_memory import measure_session_memory
from starts import measure_starts
from table import Figure, all_reached, print_table, write_json
from ways import measure_offloading, measure_replay_choices
from workbench import FULL, QUICK, Plan, Workbench

from authsrv.devrealm import Realm, RealmError
from authsrv.stores.machine import MachineStore

_BUILD = Path(__file__).resolve().parents[2] / "build"
# Used where our own rate could not be measured.
_GUESSED_RATE = 4_000.0
# Until then, the age of each token is read.
_YOUNG_S = 605.0


def main() -> int:
    """Run every measurement and answer the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run: little of everything")
    parser.add_argument("--only", metavar="NAME", action="append", help="these measurements alone")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    # A plain exit, so that servers are ended and folders removed on the way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    begun, busy = time.monotonic(), os.getloadavg()[0]
    try:
        with _open_workbench() as bench:
            figures = list(_measure_all(bench, plan, options.only))
    except (BenchError, RealmError) as error:
        print(f"the bench cannot run: {error}", file=sys.stderr)
        return 1
    print_table(figures)
    write_json(figures, _BUILD / "bench.json")
    reached = all_reached(figures)
    verdict = "every bound is kept" if reached else "NOT every bound is kept"
    print(f"\n{verdict}; {time.monotonic() - begun:.0f} s; written to build/bench.json")
    print(f"load average before the start: {busy:.1f}; with more than 0.5, run it again")
    return 0 if reached else 1


@contextmanager
def _open_workbench() -> Iterator[Workbench]:
    programs = compile_programs(_BUILD / "bench")
    _make_old_store()
    with tempfile.TemporaryDirectory(prefix="authsrv-bench-") as name:
        scratch = Path(name)
        scratch.chmod(0o711)  # Apache's children, another user, pass through it
        with Realm(services=("HTTP/localhost",), users=("alice",)) as realm:
            realm.login("alice")
            yield Workbench(programs, realm.environment("alice"), realm.keytab, scratch)


def _make_old_store() -> None:
    """See to it that the servers' store is not new: then it would cost what it does at first."""
    births = iter([time.time() - 3_600])
    store = MachineStore(clock=lambda: next(births, None) or time.time())
    age = time.time() - store.born_at
    asyncio.run(store.close())
    if age < _YOUNG_S:
        print(f"the store {store.path} is {age:.0f} s old: figures are too high", file=sys.stderr)


def _measure_all(bench: Workbench, plan: Plan, only: Sequence[str] | None) -> Iterator[Figure]:
    rate = _GUESSED_RATE

    def handshakes() -> list[Figure]:
        nonlocal rate
        measured = measure_handshakes(bench, plan)
        rate = measured.per_second or rate
        return measured.figures

    parts: dict[str, Callable[[], list[Figure]]] = {
        "kerberos_handshake_cpu": handshakes,
        "sspi_call_cpu": lambda: measure_calls(bench, plan),
        "stream_handshake_cpu": lambda: measure_streams(bench, plan),
        "loop_lag": lambda: measure_lags(bench, plan, rate),
        "open_request_cpu": lambda: measure_floors(bench, plan),
        "import_time": lambda: measure_imports(plan),
        "pending_memory": lambda: measure_memory(bench, plan),
        "offload_cpu": lambda: measure_offloading(bench, plan),
        "replay_cpu": lambda: measure_replay_choices(bench, plan),
        "session_ask_cpu": lambda: measure_session_asks(bench, plan),
        "kerberos_ask_cpu": lambda: measure_ticket_asks(bench, plan),
        "session_ask_p99": lambda: measure_ask_times(bench, plan),
        "service_start": lambda: measure_starts(bench, plan),
        "session_memory": lambda: measure_session_memory(bench, plan),
    }
    for name, measure in parts.items():
        if only is not None and name not in only:
            continue
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            yield from measure()
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            yield Figure(name, None, "", note=f"{type(error).__name__}: {error}", needed=True)


if __name__ == "__main__":
    sys.exit(main())
