"""The calls of SSPI and the handshake over streams, beside what they are made of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from exercise import Cost, demand_stream_replay_refused, measure_stream_cost
from faults import BenchError, last_line
from handshakes import loop_cost
from measure import median_ratio
from peers import serve_streams
from table import Figure
from workbench import Plan, Workbench

__all__ = ["measure_calls", "measure_streams"]

_CHILD = Path(__file__).parent / "children" / "sspi_calls.py"
_UNIT = "us"
_CALL, _STREAM, _C_LOOP = "sspi_call_cpu", "stream_handshake_cpu", "c_loop"
_CALL_MUST, _CALL_AIM = 1.25, 1.05
_STREAM_MUST, _STREAM_AIM = 2.7, 2.0
_MAX_WORKERS = 32


def measure_calls(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure a handshake by the C-shaped calls, deletion included, and the plain one.

    Raises:
        BenchError: A fresh token was refused, or a replay accepted.
    """
    rounds = plan.call_rounds
    tokens = bench.make_tokens(2 * rounds * plan.calls)
    command = [sys.executable, str(_CHILD), str(bench.keytab), str(tokens), str(rounds)]
    environment = bench.server_environment("sspi_calls")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise BenchError(f"{_CALL}: {last_line(done.stderr)}")
    seen = json.loads(done.stdout)
    calls, plain = seen["sspi"], seen["plain"]
    ratio = median_ratio(calls, plain)
    return [
        Figure(_CALL, median(calls), _UNIT, "plain", ratio, _CALL_MUST, _CALL_AIM),
        Figure(f"{_CALL}.plain", median(plain), _UNIT),
        Figure("pending_calls_1000", seen["threads"], "threads", must=_MAX_WORKERS),
    ]


def measure_streams(bench: Workbench, plan: Plan) -> list[Figure]:
    """Measure handshakes over connections that stay open, and the loop in C.

    Raises:
        BenchError: An answer was not HandshakeDone with a token, or a replay was accepted.
    """
    ours: list[Cost] = []
    theirs: list[Cost] = []
    with serve_streams(bench) as server:
        measure_stream_cost(bench, server, plan.handshakes)
        demand_stream_replay_refused(bench, server)
        for _ in range(plan.choice_rounds):
            ours.append(measure_stream_cost(bench, server, plan.handshakes))
            theirs.append(loop_cost(bench, plan.handshakes))
    costs, floors = ([cost.cpu_us for cost in side] for side in (ours, theirs))
    ratio = median_ratio(costs, floors)
    note = "one handshake after the other on each connection"
    return [
        Figure(_STREAM, median(costs), _UNIT, _C_LOOP, ratio, _STREAM_MUST, _STREAM_AIM, note),
    ]
