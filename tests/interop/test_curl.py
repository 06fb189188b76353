"""curl --negotiate against the example server."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from people import Person
from programs import find_program
from serving import Served

from authsrv.codecs.spnego import NegState, NegTokenResp, parse_spnego

pytestmark = pytest.mark.xdist_group("interop")

LARGE = 5_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What curl got for one URL.

    Args:
        status: The HTTP status of the last response.
        connections: How many connections curl opened for it.
        headers: The header fields of the last response, names in small letters.
        body: Its body.
    """

    status: int
    connections: int
    headers: Mapping[str, list[str]]
    body: str

    @property
    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Curl:
    """curl, in somebody's hands.

    Args:
        folder: Where it writes.
        url: The server.
    """

    folder: Path
    url: str

    def get(self, who: Person, *paths: str, options: tuple[str, ...] = ()) -> list[Answer]:
        """Ask for paths, in one run of curl; an answer for each."""
        bodies = [self.folder / f"body-{number}" for number in range(len(paths))]
        targets: list[str] = []
        for path, body in zip(paths, bodies, strict=True):
            targets += ["--output", str(body), f"{self.url}{path}"]
        written = self._run(who, [*options, *targets])
        return [
            _answer(transfer, headers, body.read_text() if body.exists() else "")
            for transfer, headers, body in zip(written[::2], written[1::2], bodies, strict=True)
        ]

    def post(self, who: Person, path: str, content: bytes, *options: str) -> Answer:
        """Post a body."""
        source = self.folder / "content"
        source.write_bytes(content)
        data = ("--data-binary", f"@{source}", *options)
        return self.get(who, path, options=data)[0]

    def _run(self, who: Person, arguments: list[str]) -> list[Any]:
        program = find_program("curl", package="curl")
        command = [program, "--disable", "--silent", "--show-error", "--max-time", "60"]
        command += ["--noproxy", "*", "--negotiate", "--user", ":"]
        command += ["--write-out", "%{json}%{header_json}"]
        done = subprocess.run(
            [*command, *arguments],
            env=who.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return list(_values(done.stdout))


def _values(text: str) -> Iterator[Any]:
    """JSON values that stand one after another."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:]


def _answer(transfer: Mapping[str, Any], headers: Mapping[str, list[str]], body: str) -> Answer:
    return Answer(transfer["http_code"], transfer["num_connects"], headers, body)


@pytest.fixture
def curl(hello: Served, tmp_path: Path) -> Curl:
    """curl, pointed at the example server."""
    return Curl(tmp_path, hello.url)


def proof_of(answer: Answer) -> NegTokenResp:
    """The token by which the server proves itself."""
    (field,) = answer.headers["www-authenticate"]
    scheme, _, token = field.partition(" ")
    assert scheme == "Negotiate"
    proof = parse_spnego(base64.b64decode(token, validate=True))
    assert isinstance(proof, NegTokenResp)
    return proof


def test_somebody_with_a_ticket_is_greeted_by_name(curl: Curl, person: Person) -> None:
    (answer,) = curl.get(person, "/")
    assert answer.status == 200
    assert answer.json["principal"] == person.principal
    assert answer.json["mechanism"] == "kerberos"
    assert answer.json["service"] == "HTTP/localhost"


def test_the_server_proves_itself_with_the_response(curl: Curl, person: Person) -> None:
    proof = proof_of(curl.get(person, "/")[0])
    assert proof.neg_state is NegState.ACCEPT_COMPLETED
    assert proof.response_token


def test_somebody_without_a_ticket_is_asked_to_authenticate(curl: Curl, stranger: Person) -> None:
    (answer,) = curl.get(stranger, "/")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == ["Negotiate"]
    assert answer.headers["cache-control"] == ["no-store"]
    assert answer.body == "Authentication is required.\n"


def test_an_open_path_is_open_to_strangers_and_asks_for_nothing(
    curl: Curl, stranger: Person
) -> None:
    (answer,) = curl.get(stranger, "/public")
    assert answer.status == 200
    assert answer.json == {"public": True}
    assert "www-authenticate" not in answer.headers


def test_an_open_path_does_not_look_at_a_token(curl: Curl, person: Person) -> None:
    (answer,) = curl.get(person, "/public")
    assert answer.status == 200
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("content", [b"", b"hello", bytes(LARGE)], ids=["empty", "small", "large"])
def test_a_posted_body_arrives_whole(curl: Curl, person: Person, content: bytes) -> None:
    answer = curl.post(person, "/echo", content)
    assert answer.status == 200
    assert answer.json == {"principal": person.principal, "length": len(content)}
    assert proof_of(answer).response_token


def test_a_large_post_that_is_challenged_first_arrives_whole(curl: Curl, person: Person) -> None:
    # With --anyauth, curl waits for the challenge before it sends a token; whether it then sends
    # the rest of the first body or closes the connection is its own choice.
    answer = curl.post(person, "/echo", bytes(LARGE), "--anyauth")
    assert answer.status == 200
    assert answer.json == {"principal": person.principal, "length": LARGE}


def test_a_large_post_of_a_stranger_is_challenged(curl: Curl, stranger: Person) -> None:
    answer = curl.post(stranger, "/echo", bytes(LARGE))
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == ["Negotiate"]


def test_two_urls_are_answered_on_one_connection(curl: Curl, person: Person) -> None:
    answers = curl.get(person, "/", "/")
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.json["principal"] for answer in answers] == [person.principal] * 2
    assert [answer.connections for answer in answers] == [1, 0]


def test_an_identity_does_not_stay_on_the_connection(curl: Curl, person: Person) -> None:
    # curl thinks that the connection is authenticated, sends no token, and is asked for one.
    (_, second) = curl.get(person, "/", "/")
    assert proof_of(second).response_token


def test_an_authenticated_client_is_told_what_does_not_exist(curl: Curl, person: Person) -> None:
    (answer,) = curl.get(person, "/nothing")
    assert answer.status == 404
    assert proof_of(answer).response_token


def test_a_stranger_is_not_told_what_does_not_exist(curl: Curl, stranger: Person) -> None:
    (answer,) = curl.get(stranger, "/nothing")
    assert answer.status == 401
