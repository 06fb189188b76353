"""A server under bad input, and a witness of all that it lets be seen.

The witness hears every log at DEBUG and keeps every response. In the end it looks through all of
it: no piece of a token that a client sent, and no text of an exception, may stand there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from authsrv.aiohttp import AppRunner, NegotiateAuth, current_identity, setup
from authsrv.testing.leaks import find_leak

__all__ = ["TEXTS", "Answer", "LeakMonitor", "Server", "negotiate", "serve"]

SHUTDOWN_S = 0.1
ECHO_BYTES = 40

# What clients are told, written down once more and apart from the code.
BROKEN = "broken"
TEXTS: dict[int | str, str] = {
    400: "The authentication data in the request could not be understood.",
    401: "Authentication failed.",
    BROKEN: "The authentication data in the request could not be understood.",
    431: "The authentication data in the request is too large.",
    500: "Authentication failed because of a fault of the server.",
    503: "Authentication is not possible at the moment. Try again later.",
}
CHALLENGE = "Authentication is required.\n"


def negotiate(token: bytes) -> str:
    """The value of an Authorization field with a token."""
    return f"Negotiate {base64.b64encode(token).decode()}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    headers: CIMultiDict[str]
    text: str

    @property
    def challenge(self) -> str | None:
        return self.headers.get("WWW-Authenticate")

    @property
    def server_token(self) -> bytes:
        return base64.b64decode((self.challenge or "").partition(" ")[2], validate=True)


@dataclass(slots=True)
class LeakMonitor:
    """Everything that could be seen, and what may not be seen in it."""

    log: pytest.LogCaptureFixture
    lines: list[str] = field(default_factory=list)
    tokens: list[bytes] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)

    def see(self, answer: Answer) -> None:
        """Keep a response.

        The server's own token shares names and numbers with the client's, but nothing long.
        """
        for name, value in answer.headers.items():
            if name.lower() != "www-authenticate":
                self.lines.append(f"{name}: {value}")
        self.lines.append(answer.text)
        sent, echo = b"".join(set(self.tokens)), answer.server_token
        for at in range(len(echo) - ECHO_BYTES + 1):
            piece = echo[at : at + ECHO_BYTES]
            assert piece not in sent, "the server sends a client's token back"

    def check(self) -> None:
        """Fail if a piece of a token or a secret text shows anywhere."""
        text = "\n".join(self.lines)
        # All at once: looking for one in a long text takes as long as looking for all of them.
        leak = find_leak(text, b"".join(set(self.tokens)))
        assert leak is None, f"a token shows: {leak}"
        for secret in self.secrets:
            assert secret not in text, "a secret text shows"

    def audit(self, word: str) -> list[logging.LogRecord]:
        """The records of the audit log that begin with a word."""
        return [
            record
            for record in self.log.records
            if record.name == "authsrv.audit" and record.getMessage().startswith(f"{word} ")
        ]

    def expect(
        self, answer: Answer, status: int, cause: str, words: str, *, level: int = logging.WARNING
    ) -> logging.LogRecord:
        """Demand a refusal: status, fixed text, header fields, and the named cause in the log.

        Args:
            answer: The response.
            status: Its status.
            cause: The cause's short name in the log.
            words: A pattern for the cause in words; it must match all of them.
            level: The level of the record.
        """
        assert answer.status == status, answer
        is_broken = status == 401 and cause in ("bad-token", "lost-handshake")
        found = re.fullmatch(
            re.escape(TEXTS[BROKEN if is_broken else status]) + r"\nReference: ([0-9a-f]{12})\n",
            answer.text,
        )
        assert found, answer.text
        assert answer.headers["Cache-Control"] == "no-store"
        assert (answer.challenge is not None) == (status == 401), answer.headers
        assert answer.headers.get("Retry-After") == ("2" if status == 503 else None)
        (record,) = [
            record for record in self.audit("refused") if record.getMessage().endswith(found[1])
        ]
        assert record.levelno == level
        line = record.getMessage()
        told = re.search(rf' http={status} cause={cause} reason=("(?:[^"\\]|\\.)*") ', line)
        assert told, line
        reason = json.loads(told[1])
        assert re.fullmatch(words, reason), reason
        return record


@dataclass(slots=True)
class Server:
    """A server that listens, and the client that the witness looks over the shoulder of."""

    url: str
    auth: NegotiateAuth
    session: aiohttp.ClientSession
    witness: LeakMonitor

    async def ask(self, token: bytes | None = None, *fields: str) -> Answer:
        """Send a request with a token, or with Authorization fields as they are."""
        if token is not None:
            self.witness.tokens.append(token)
            fields = (*fields, negotiate(token))
        headers = CIMultiDict([("Authorization", value) for value in fields])
        async with self.session.get(self.url, headers=headers) as response:
            answer = Answer(response.status, CIMultiDict(response.headers), await response.text())
        self.witness.see(answer)
        return answer

    async def must_let_in(self, token: bytes, principal: str = "alice@AUTHSRV.TEST") -> None:
        """A server that has refused somebody goes on to let others in."""
        answer = await self.ask(token)
        assert (answer.status, answer.text) == (200, principal)


async def tell_name(request: web.Request) -> web.Response:
    return web.Response(text=current_identity(request).principal)


@contextlib.asynccontextmanager
async def serve(
    witness: LeakMonitor, *, runner: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Server]:
    """Serve an application on loopback.

    Args:
        witness: Who looks on.
        runner: Settings of the runner.
        settings: Settings of `setup`.
    """
    app = web.Application()
    app.router.add_get("/", tell_name)
    auth = setup(app, **settings)
    running = AppRunner(app, **{"shutdown_timeout": SHUTDOWN_S, **(runner or {})})
    await running.setup()
    try:
        await web.TCPSite(running, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{running.addresses[0][1]}/"
        # One connection, so that a handshake of several legs stays on it.
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield Server(url, auth, session, witness)
    finally:
        await running.cleanup()
