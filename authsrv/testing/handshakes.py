"""Playing handshakes between a provider and a client, leg by leg and in memory.

What the conformance kit is made of. A `Case` says how to make a provider and its clients, `play`
takes a handshake as far as it goes, and a `Recorder` stands between the two: it notes the client's
tokens, or changes them on their way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from authsrv.core.attributes import ContextAttribute
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.errors import AuthsrvError, StoreError
from authsrv.handshake.claiming import PendingClaims, claims_of
from authsrv.providers.base import ContextRequest, SecurityContext, SecurityProvider
from authsrv.stores.base import Store

__all__ = [
    "Case",
    "Client",
    "ClientGaveUpError",
    "Recorder",
    "count_legs",
    "establish",
    "open_context",
    "play",
    "remembering",
    "take_step",
]

_RESULTS = (Established, Continue, CompleteNeeded, CompleteAndContinue, Incomplete, Refused)
_MAX_LEGS = 10
_MAX_WAIT_S = 5.0


class Client(Protocol):
    """An initiator that plays the client's part of one handshake."""

    def step(self, token: bytes | None) -> bytes | None:
        """Give the client a token of the server, or None to begin, and take its answer.

        It answers None where it has nothing more to say.

        Raises:
            Exception: Anything, where the server's token does not convince the client.
        """
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A provider under test, and the clients that belong to it.

    Args:
        make_provider: Makes a provider. Those that are made one after the other share what has to
            outlive a process, such as a replay cache on disk.
        make_client: Makes a client that is entitled to get in.
        make_stranger: Makes a client that keeps the protocol and is not entitled: it has another
            password, or a ticket for another service.
        principal: Whom the provider must name for the entitled one.
    """

    make_provider: Callable[[], SecurityProvider]
    make_client: Callable[[], Client]
    make_stranger: Callable[[], Client]
    principal: str


class ClientGaveUpError(AssertionError):
    """The client had nothing to say although the provider asked, or did not take its token."""


@dataclass(slots=True)
class Recorder:
    """A client whose tokens are noted, and may be changed on their way.

    Args:
        client: The client.
        disturb: Takes the number of the leg, from 0, and the client's token, and answers what is
            sent in its place.
        tokens: What was sent so far.
    """

    client: Client
    disturb: Callable[[int, bytes], bytes] = lambda leg, token: token
    tokens: list[bytes] = field(default_factory=list, repr=False)

    def step(self, token: bytes | None) -> bytes | None:
        """See Client.step."""
        answer = self.client.step(token)
        if not answer:
            return None
        self.tokens.append(self.disturb(len(self.tokens), answer))
        return self.tokens[-1]


@contextlib.contextmanager
def open_context(provider: SecurityProvider) -> Iterator[SecurityContext]:
    """Make a context that is deleted at the end of the block.

    What the provider claims is made in its store, as the handshake does it: where it was claimed
    before, a Refused takes the place of the Established.
    """
    context = remembering(provider.create_context(ContextRequest()), provider)
    try:
        yield context
    finally:
        context.delete()


def remembering(context: SecurityContext, provider: SecurityProvider) -> SecurityContext:
    """Make a context of a provider claim what it says that was used; its steps may block."""
    return _Remembering(context, getattr(provider, "store", None))


class _Remembering:
    """A context that is used as the handshake uses it."""

    def __init__(self, context: SecurityContext, store: Store | None) -> None:
        self._context = context
        self._store = store

    def __repr__(self) -> str:
        return repr(self._context)

    def step(self, token: bytes) -> Result:
        return self._judged(self._context.step(token))

    def complete(self) -> Result:
        return self._judged(self._context.complete())

    def query(self, attribute: ContextAttribute) -> object:
        return self._context.query(attribute)

    def delete(self) -> None:
        self._context.delete()

    def _judged(self, result: Result) -> Result:
        claims = PendingClaims(claims_of([result]), self._store)
        give_up_at = time.monotonic() + _MAX_WAIT_S
        while not claims.are_made:
            refusal = claims.make_at_once()
            if refusal is not None:
                return refusal
            if time.monotonic() > give_up_at:
                return Refused(StoreError("the store does not answer"))
            if self._store is not None:
                # That opens it.
                _ = self._store.born_at
                time.sleep(0.001)
        return result


def take_step(context: SecurityContext, token: bytes) -> Result:
    """Take one step, CompleteAuthToken included where the step asks for it.

    Raises:
        AssertionError: The provider raised, or answered what is no result.
    """
    try:
        result: object = context.step(token)
        if isinstance(result, CompleteNeeded | CompleteAndContinue):
            result = context.complete()
    except AuthsrvError as error:
        raise AssertionError(f"raised {error!r} where a Refused belongs") from error
    except Exception as error:
        raise AssertionError(f"raised {type(error).__name__} for a client's bytes") from error
    assert isinstance(result, _RESULTS), f"a {type(result).__name__} is no result"
    return result


def play(context: SecurityContext, client: Client) -> Result:
    """Take a handshake of a new context and a new client to the first result that is no Continue.

    Raises:
        ClientGaveUpError: The client ended it.
        AssertionError: The provider raised, or the handshake does not end.
    """
    token = _answer(client, None)
    for _ in range(_MAX_LEGS):
        result = take_step(context, token)
        if not isinstance(result, Continue):
            return result
        token = _answer(client, result.token)
    raise AssertionError("the handshake does not end")


def _answer(client: Client, token: bytes | None) -> bytes:
    try:
        answer = client.step(token)
    except Exception as error:
        raise ClientGaveUpError(f"the client raised {type(error).__name__}") from error
    if not answer:
        raise ClientGaveUpError("the client has nothing to say, and the handshake is not done")
    return answer


def establish(context: SecurityContext, client: Client) -> Established:
    """Take a handshake of a new context and a new client to its good end.

    The client has taken the last token for good.

    Raises:
        AssertionError: It did not end in Established.
    """
    result = play(context, client)
    assert not isinstance(result, Refused), f"refused: {result.error!r}"
    assert isinstance(result, Established), f"unexpected {result!r}"
    if result.token:
        try:
            client.step(result.token)
        except Exception as error:
            raise AssertionError("the client does not take the server's proof") from error
    return result


def count_legs(case: Case) -> int:
    """Count the tokens that an entitled client sends.

    Raises:
        AssertionError: An entitled client does not get in.
    """
    recorder = Recorder(case.make_client())
    with open_context(case.make_provider()) as context:
        establish(context, recorder)
    return len(recorder.tokens)
