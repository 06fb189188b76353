"""What run_app logs where nobody has set up logging, and that it leaves alone who has."""

from __future__ import annotations

import http.client
import re
import sys
from pathlib import Path

import pytest
from serving import Served, clean_environment, serve
from sites import field

SCRIPT = Path(__file__).parent / "logging_server.py"
TIMED = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"


def audit_lines(way: str, *tokens: bytes | None, path: str = "/") -> tuple[list[str], str]:
    """The audit lines of a server that has set up its logs in a way, and all that it wrote."""
    environment = clean_environment({"PYTHONUNBUFFERED": "1"})
    with serve([sys.executable, str(SCRIPT), way], environment) as served:
        ask(served, path, *tokens)
        served.stop()
        logged = served.logged()
    return [line for line in logged.splitlines() if "peer=" in line], logged


def ask(served: Served, path: str, *tokens: bytes | None) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    for token in tokens:
        connection.request("GET", path, headers={"Authorization": field(token)} if token else {})
        connection.getresponse().read()
    connection.close()


def test_each_request_has_a_line_with_time_level_and_log() -> None:
    lines, logged = audit_lines("nothing", None, b"alice", b"\xff")
    told = [re.fullmatch(rf"{TIMED} (\w+) authsrv\.audit (\w+) .*", line) for line in lines]
    assert [found and found.groups() for found in told] == [
        ("INFO", "challenged"),
        ("INFO", "established"),
        ("ERROR", "refused"),
    ]
    assert all(re.match(TIMED, line) for line in logged.splitlines())


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("root", ["own refused"]),
        ("authsrv", ["own refused"]),
        ("audit", ["own refused"]),
        ("silent", []),
        ("late", ["own challenged", "own established", "own refused"]),
        ("late authsrv", ["own challenged", "own established", "own refused"]),
        ("late audit", ["own challenged", "own established", "own refused"]),
    ],
)
def test_an_application_that_has_set_up_logging_is_left_alone(way: str, words: list[str]) -> None:
    lines, _ = audit_lines(way, None, b"alice", b"\xff")
    assert [line.replace(" authsrv.audit", "").split(" method=")[0] for line in lines] == words


@pytest.mark.parametrize("way", ["nothing", "late audit"])
def test_a_handler_for_one_log_hides_no_fault_of_another(way: str) -> None:
    _, logged = audit_lines(way, b"alice", path="/crash")
    assert re.search(rf"^{TIMED} ERROR aiohttp\.server ", logged, re.MULTILINE)
    assert "the application's own" in logged


def test_a_level_that_was_given_stays() -> None:
    lines, _ = audit_lines("level", None, b"alice", b"\xff")
    assert [line.split(" ")[3:5] for line in lines] == [["authsrv.audit", "refused"]]
