"""What every measurement stands on: a realm, fresh tokens, the load generator, a scratch folder."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from faults import BenchError
from programs import Programs

__all__ = ["FULL", "QUICK", "Load", "Plan", "Workbench"]

_SERVICE = "HTTP@localhost"
_NO_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Args:
        rounds: Rounds of handshakes in which the peers take turns.
        handshakes: Handshakes a peer and round.
        request_rounds: Rounds of requests without authentication. They are many and short, since
            a bound of a few percent is looked at and the machine has other guests.
        requests: Requests without authentication a peer and round.
        choice_rounds: Rounds in which ways off the loop, or replay caches, take turns.
        call_rounds: Rounds in which the calls of SSPI and the plain handshake take turns; many and
            short, too.
        calls: Handshakes each way a round.
        lag_seconds: How long connections shake hands without pause while the lag is taken.
        slow_seconds: How long they do with a package that takes 200 ms a call.
        imports: Fresh interpreters an import is timed in.
        pending: Handshakes held at once while memory is taken.
        accepts: Calls for each way of getting off the loop, and for each replay cache, a round.
        offload_seconds: How long the loop's lag is taken with each way.
        sessions: With how many sessions the auth service is asked while its memory is looked at.
    """

    rounds: int
    handshakes: int
    request_rounds: int
    requests: int
    choice_rounds: int
    call_rounds: int
    calls: int
    lag_seconds: float
    slow_seconds: float
    imports: int
    pending: int
    accepts: int
    offload_seconds: float
    sessions: int


FULL = Plan(
    rounds=40,
    handshakes=500,
    request_rounds=60,
    requests=2_000,
    choice_rounds=15,
    call_rounds=100,
    calls=160,
    lag_seconds=10.0,
    slow_seconds=6.0,
    imports=15,
    pending=10_000,
    accepts=600,
    offload_seconds=3.0,
    sessions=100_000,
)
QUICK = Plan(
    rounds=4,
    handshakes=300,
    request_rounds=8,
    requests=1_000,
    choice_rounds=3,
    call_rounds=10,
    calls=160,
    lag_seconds=2.0,
    slow_seconds=2.0,
    imports=5,
    pending=10_000,
    accepts=300,
    offload_seconds=1.0,
    sessions=20_000,
)


@dataclass(frozen=True, slots=True)
class Load:
    """What the load generator saw.

    Args:
        requests: Requests that were answered.
        seconds: From the first request to the last answer.
        statuses: Answers by status code.
        mutual: Answers 200 that carried a token for the client.
        dropped: Requests that were never answered.
        exhausted: Whether the tokens ran out before the time was up.
        p50_us: Median time of an answer.
        p99_us: Its 99th percentile.
        max_us: The slowest answer.
    """

    requests: int
    seconds: float
    statuses: Mapping[int, int]
    mutual: int
    dropped: int
    exhausted: bool
    p50_us: int
    p99_us: int
    max_us: int

    def demand_all(self, status: int = 200) -> None:
        """Raise BenchError unless every request was answered with one status."""
        if self.requests == 0 or self.dropped or dict(self.statuses) != {status: self.requests}:
            raise BenchError(f"answers {dict(self.statuses)}, {self.dropped} dropped")

    def demand_mutual(self) -> None:
        """Raise BenchError unless every answer proved the server to the client."""
        self.demand_all()
        if self.mutual != self.requests:
            raise BenchError(f"only {self.mutual} of {self.requests} answers carry a server token")


@dataclass(frozen=True, slots=True)
class Workbench:
    """The tools of all measurements.

    Args:
        programs: The compiled programs.
        environment: Of the realm: KRB5_CONFIG, KRB5CCNAME with a ticket for a user, KRB5_KTNAME.
        keytab: The keys of the service HTTP/localhost.
        scratch: A folder that is removed at the end.
    """

    programs: Programs
    environment: Mapping[str, str]
    keytab: Path
    scratch: Path

    def make_tokens(self, count: int) -> Path:
        """Make fresh tokens; they can be used for five minutes, each once.

        Returns:
            A file with one base64 token a line; it is written over by the next call.
        """
        path = self.scratch / "tokens"
        command = [str(self.programs.tokens), _SERVICE, str(count), str(path)]
        subprocess.run(command, env=self.environment, check=True, timeout=120)
        return path

    def server_environment(self, name: str) -> dict[str, str]:
        """Answer the environment of a server: it knows its keys, has no ticket, and keeps its
        replay cache of the default kind in a folder of its own, so that no peer pays for the
        entries of another.
        """
        cache = self.scratch / f"rcache-{name}"
        cache.mkdir(exist_ok=True)
        cache.chmod(0o1777)
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "HOME") if key in os.environ}
        return kept | {
            "KRB5_CONFIG": self.environment["KRB5_CONFIG"],
            "KRB5_KTNAME": f"FILE:{self.keytab}",
            "KRB5RCACHEDIR": str(cache),
        }

    def run_load(
        self,
        port: int,
        path: str,
        *,
        connections: int,
        requests: int,
        seconds: float = _NO_LIMIT_S,
        tokens: Path | None = None,
        reuse: bool = False,
        fields: Path | None = None,
        token_field: str | None = None,
    ) -> Load:
        """Send requests to a server on loopback over keep-alive connections.

        Args:
            port: The server's.
            path: Of every request.
            connections: Each has one request under way.
            requests: At most so many.
            seconds: After so long nothing new is sent.
            tokens: One for each request; without it the requests carry none.
            reuse: Begin again at the first token when they run out.
            fields: A file with the header fields of every request, each line ended by CR and LF;
                a Host without it.
            token_field: The beginning of the field that carries a token, where that is not
                "Authorization: Negotiate ".

        Raises:
            BenchError: The load generator gave up.
        """
        command = [str(self.programs.load)]
        command += [] if fields is None else ["-f", str(fields)]
        command += [] if token_field is None else ["-n", token_field]
        command += [str(port), path, str(connections), str(requests), str(seconds)]
        if tokens is not None:
            command += [str(tokens), "cycle" if reuse else "once"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
        if done.returncode != 0:
            raise BenchError(done.stderr.strip())
        seen = json.loads(done.stdout)
        del seen["reconnects"]
        seen["statuses"] = {int(code): count for code, count in seen["statuses"].items()}
        return Load(**seen)
