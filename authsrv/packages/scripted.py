"""The shipped fake: a security package that follows a script.

It produces every status, delay and fault, without a realm, a key or a client. It is kept honest by
the same conformance kit as the real packages.

    package = ScriptedPackage([Continue(b"challenge"), Established(ALICE, b"done")])

Each context plays the script from its beginning: the first token gets the first act, and so on.
An act is a result to answer, an exception to raise, or a callable that takes the token and returns
one of these. `Delay(0.2, act)` blocks its thread first, as a slow package does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from authsrv.errors import InvalidTokenError, StateError
from authsrv.identity import Identity
from authsrv.packages.base import ContextRequest
from authsrv.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Established,
    Refused,
    Result,
)

__all__ = ["ALICE", "Act", "Delay", "ScriptedContext", "ScriptedPackage"]

ALICE = Identity(principal="alice@AUTHSRV.TEST", mechanism="scripted")
"""An identity for scripts."""


@dataclass(frozen=True, slots=True)
class Delay:
    """An act that blocks its thread before another act.

    Args:
        seconds: How long. `release` of the package ends all delays early.
        act: What comes then.

    Source: authsrv design section 3 (packages/scripted).
    """

    seconds: float
    act: Act


Act = Result | Exception | Delay | Callable[[bytes], "Act"]
"""One line of a script."""


class ScriptedPackage:
    """A security package that plays a script for every context.

    Args:
        script: The acts, one for each token. A further one for CompleteAuthToken follows every act
            that asks for it.
        fault: What `check` raises, to play a package that cannot work.

    Source: authsrv design section 3 (packages/scripted).
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
        return f"<ScriptedPackage {self.open_contexts} contexts open>"

    @property
    def open_contexts(self) -> int:
        """How many contexts were created and not deleted; what a test of leaks looks at.

        Source: SSPI DeleteSecurityContext.
        """
        with self._guard:
            return self.created - self.deleted

    def create_context(self, request: ContextRequest) -> ScriptedContext:
        """Begin a context; see SecurityPackage.

        Source: SSPI AcceptSecurityContext, first call.
        """
        with self._guard:
            self.created += 1
        return ScriptedContext(self, self._script)

    def check(self) -> None:
        """Raise the fault that was given, if one was; see SecurityPackage.

        Raises:
            Exception: The fault.

        Source: authsrv design decision 7.
        """
        if self._fault is not None:
            raise self._fault

    def release(self) -> None:
        """End all delays, those to come included.

        Source: authsrv design section 3 (packages/scripted).
        """
        self._released.set()

    def wait(self, seconds: float) -> None:
        """Block the calling thread, until `release` at the latest.

        Args:
            seconds: How long.

        Source: authsrv design section 3 (packages/scripted).
        """
        self._released.wait(seconds)

    def count_deletion(self) -> None:
        """Note that a context was deleted; its context calls it.

        Source: SSPI DeleteSecurityContext.
        """
        with self._guard:
            self.deleted += 1


class ScriptedContext:
    """One run of a script.

    Args:
        package: The package.
        script: Its acts.

    Source: authsrv design section 3 (packages/scripted).
    """

    __slots__ = ("_asks_completion", "_deleted", "_package", "_script")

    def __init__(self, package: ScriptedPackage, script: Sequence[Act]) -> None:
        self._package = package
        self._script = list(script)
        self._asks_completion = False
        self._deleted = False

    def step(self, token: bytes) -> Result:
        """Play the next act; see AcceptorContext.

        Source: SSPI AcceptSecurityContext.
        """
        if not token:
            return Refused(InvalidTokenError("the token is empty"))
        return self._play(token)

    def complete(self) -> Result:
        """Play the act of CompleteAuthToken; see AcceptorContext.

        Source: SSPI CompleteAuthToken.
        """
        if not self._asks_completion:
            return Refused(StateError("nothing asked for CompleteAuthToken"))
        return self._play(b"")

    def delete(self) -> None:
        """Count the deletion, once; see AcceptorContext.

        Source: SSPI DeleteSecurityContext.
        """
        if not self._deleted:
            self._deleted = True
            self._package.count_deletion()

    def _play(self, token: bytes) -> Result:
        if self._deleted or not self._script:
            return Refused(InvalidTokenError("the script has no act for this token"))
        result = self._perform(self._script.pop(0), token)
        self._asks_completion = isinstance(result, CompleteNeeded | CompleteAndContinue)
        return result

    def _perform(self, act: Act, token: bytes) -> Result:
        while True:
            if isinstance(act, Delay):
                self._package.wait(act.seconds)
                act = act.act
            elif isinstance(act, Exception):
                raise act
            elif callable(act):
                act = act(token)
            else:
                return act
