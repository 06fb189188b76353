"""The shipped fake: a provider that follows a script.

It produces every status, delay and fault, without a realm, a key or a client. It is kept honest by
the same conformance kit as the real providers.

    provider = ScriptedProvider([Continue(b"challenge"), Established(ALICE, b"done")])

Each context plays the script from its beginning: the first token gets the first act, and so on.
An act is a result to answer, an exception to raise, or a callable that takes the token and returns
one of these. `Delay(0.2, act)` blocks its thread first, as a slow provider does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authsrv.core.attributes import ContextAttribute, NegotiationInfo, PackageInfo, attribute_of
from authsrv.core.identity import Identity
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Established,
    Refused,
    Result,
)
from authsrv.core.role import Role
from authsrv.errors import InvalidTokenError, StateError
from authsrv.providers.base import ContextRequest, InitiatorRequest

__all__ = ["ALICE", "Act", "Delay", "ScriptedContext", "ScriptedProvider"]

ALICE = Identity(principal="alice@AUTHSRV.TEST", mechanism="scripted")
"""An identity for scripts."""


@dataclass(frozen=True, slots=True)
class Delay:
    """An act that blocks its thread before another act.

    Args:
        seconds: How long; `ScriptedProvider.release` ends all delays early.
        act: What comes then.
    """

    seconds: float
    act: Act


Act = Result | Exception | Delay | Callable[[bytes], "Act"]
"""One line of a script."""


class ScriptedProvider:
    """A provider that plays a script for every context.

    Args:
        script: The acts, one for each token. A further one for CompleteAuthToken follows every act
            that asks for it.
        fault: What `check` raises, to play a provider that cannot work.
    """

    name = "scripted"

    def __init__(
        self, script: Sequence[Act] = (Established(ALICE),), *, fault: Exception | None = None
    ) -> None:
        self._script = tuple(script)
        self._fault = fault
        self._guard = threading.Lock()
        self._released = threading.Event()
        self.created = 0
        self.deleted = 0

    def __repr__(self) -> str:
        return f"<ScriptedProvider {self.open_contexts} contexts open>"

    @property
    def open_contexts(self) -> int:
        """How many contexts were created and not deleted; what a test of leaks looks at."""
        with self._guard:
            return self.created - self.deleted

    def create_context(self, request: ContextRequest) -> ScriptedContext:
        """See SecurityProvider.create_context."""
        with self._guard:
            self.created += 1
        return ScriptedContext(self, self._script)

    def create_initiator(self, request: InitiatorRequest) -> ScriptedContext:
        """See InitiatorProvider.create_initiator."""
        with self._guard:
            self.created += 1
        return ScriptedContext(self, self._script, Role.INITIATOR)

    def check(self) -> None:
        """See SecurityProvider.check: raises the fault that was given, if one was."""
        if self._fault is not None:
            raise self._fault

    def release(self) -> None:
        """End all delays, those to come included."""
        self._released.set()

    def wait(self, seconds: float) -> None:
        """Block the calling thread, until `release` at the latest."""
        self._released.wait(seconds)

    def count_deletion(self) -> None:
        """Note that a context was deleted; its context calls it."""
        with self._guard:
            self.deleted += 1


class ScriptedContext:
    """One run of a script.

    Args:
        provider: What counts its deletion and ends its delays.
        script: The acts.
        role: Which side it plays; an initiator's first step has no token.
    """

    __slots__ = ("_asks_completion", "_deleted", "_identity", "_provider", "_script", "_speaks")

    def __init__(
        self, provider: ScriptedProvider, script: Sequence[Act], role: Role = Role.ACCEPTOR
    ) -> None:
        self._provider = provider
        self._speaks = role is Role.INITIATOR
        self._script = list(script)
        self._asks_completion = False
        self._deleted = False
        self._identity: Identity | None = None

    def step(self, token: bytes) -> Result:
        """See SecurityContext.step: plays the next act."""
        if not token and not self._speaks:
            return Refused(InvalidTokenError("the token is empty"))
        self._speaks = False
        return self._play(token)

    def complete(self) -> Result:
        """See SecurityContext.complete: plays the next act, if the one before asked for it."""
        if not self._asks_completion:
            return Refused(StateError("nothing asked for CompleteAuthToken"))
        return self._play(b"")

    def query(self, attribute: ContextAttribute) -> object:
        """See SecurityContext.query: tells what the identity of the script knows."""
        if self._identity is None or self._deleted:
            raise StateError("only an established context has attributes")
        if attribute is ContextAttribute.NEGOTIATION_INFO:
            return NegotiationInfo(PackageInfo("scripted"))
        return attribute_of(self._identity, attribute)

    def delete(self) -> None:
        """See SecurityContext.delete: counts the deletion, once."""
        if not self._deleted:
            self._deleted = True
            self._provider.count_deletion()

    def _play(self, token: bytes) -> Result:
        if self._deleted or not self._script:
            return Refused(InvalidTokenError("the script has no act for this token"))
        result = self._perform(self._script.pop(0), token)
        self._asks_completion = isinstance(result, CompleteNeeded | CompleteAndContinue)
        if isinstance(result, Established):
            self._identity = result.identity
        return result

    def _perform(self, act: Act, token: bytes) -> Result:
        while True:
            if isinstance(act, Delay):
                self._provider.wait(act.seconds)
                act = act.act
            elif isinstance(act, Exception):
                raise act
            elif callable(act):
                act = act(token)
            else:
                return act
