"""The coroutine around the handshake table: one token in, the provider off the loop, one leg out.

HTTP calls `advance` once a request, `streams.accept` calls it in a loop, and the SSPI
calls take `submit_step`, which needs no task and tells a handler, and `complete`: they leave
CompleteAuthToken to the caller. Whatever happens in between, the security context is deleted: at
the end of the leg that establishes or refuses, when the peer is too slow, when the task is
cancelled, when the provider hangs. A provider that is still running cannot be stopped; its context
is deleted by the thread that runs it, as soon as it returns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from authsrv.core.attributes import ContextAttribute
from authsrv.core.results import Established, Refused, Result
from authsrv.core.role import Role
from authsrv.core.status import SecurityStatus
from authsrv.errors import AuthsrvError, StateError, UnexpectedTokenError
from authsrv.handshake.calls import CompletionHandler, end_with_loop
from authsrv.handshake.claiming import Answered, PendingClaims, answer_and_claim
from authsrv.handshake.context_guard import ContextGuard
from authsrv.handshake.machine import HandshakeMachine, State
from authsrv.handshake.registry import HandshakeRegistry

__all__ = ["Handshake", "Leg"]


@dataclass(frozen=True, slots=True)
class Leg:
    """What one token led to.

    Args:
        result: How the leg ended: Established, Continue, Incomplete or Refused; CompleteNeeded or
            CompleteAndContinue where the caller sees to CompleteAuthToken.
        status: The SSPI code that the provider answered to the token. It differs from the result's
            where CompleteAuthToken was called: then it is SEC_I_COMPLETE_NEEDED or
            SEC_I_COMPLETE_AND_CONTINUE.
        states: The states that the handshake went through, the one before the token first.
        token_bytes: The length of the token.
        seconds: The time that the leg took, waiting for a thread included.
    """

    result: Result
    status: SecurityStatus
    states: tuple[State, ...]
    token_bytes: int
    seconds: float


class _StepUnderWay:
    """One token at the provider: the pool tells it the answers, and it tells what they led to."""

    __slots__ = ("_handler", "_handshake", "done")

    def __init__(self, handshake: Handshake, handler: CompletionHandler[Result]) -> None:
        self._handshake = handshake
        self._handler = handler
        self.done = handler.done

    def set_result(self, answered: Answered) -> None:
        if answered.claims is None:
            self._conclude(answered.answers)
        else:
            # Somebody has to hold the task: the loop does not.
            self._handshake._claiming = asyncio.get_running_loop().create_task(
                self._claim(answered.claims, answered.answers)
            )

    async def _claim(self, claims: PendingClaims, answers: list[Result]) -> None:
        try:
            await self._handshake._claim(claims, answers)
        except BaseException:
            # It was cancelled: with its loop, as nobody else has it.
            self._handshake.close()
            self.end_with_loop()
            raise
        if not self._handler.done():
            self._conclude(answers)

    def _conclude(self, answers: list[Result]) -> None:
        try:
            ending = self._handshake._conclude(answers)
        except Exception as error:
            self.set_exception(error)
        else:
            self._handler.set_result(ending)

    def set_exception(self, error: BaseException) -> None:
        if isinstance(error, AuthsrvError):
            self._handler.set_result(self._handshake._refuse(error))
        else:
            self._handshake.close()
            self._handler.set_exception(error)

    def end_with_loop(self) -> None:
        end_with_loop(self._handler)


class Handshake:
    """One handshake with one peer, driven token by token. Acceptor.create_handshake makes it.

    Args:
        registry: Whose limits and threads it keeps to.
        guard: Its security context.
        role: Which side of it this is.
    """

    __slots__ = ("_claiming", "_guard", "_handshake", "_open", "_registry", "_timer")

    def __init__(
        self, registry: HandshakeRegistry, guard: ContextGuard, role: Role = Role.ACCEPTOR
    ) -> None:
        self._registry = registry
        self._handshake = HandshakeMachine(registry.limits, started_at=time.monotonic(), role=role)
        self._guard = guard
        self._open = True
        self._timer: asyncio.TimerHandle | None = None
        self._claiming: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Handshake {self._handshake.state.value}>"

    @property
    def state(self) -> State:
        """What the handshake waits for, or how it ended."""
        return self._handshake.state

    @property
    def kept(self) -> bytes:
        """What is kept of a token that is not whole; the rest of it comes next."""
        return self._handshake.kept

    @property
    def is_open(self) -> bool:
        """Whether a further token can be taken."""
        return self._open

    def advance(self, token: bytes) -> Coroutine[Any, Any, Leg]:
        """Take one token from the peer through the provider, CompleteAuthToken included.

        Every failure is a Leg whose result is Refused: wrong tokens, limits, deadlines, an
        overloaded server and faults of the provider alike.

        Args:
            token: The token, from the peer, untrusted; 1 to max_token_bytes bytes. It is empty in
                the first leg of an initiator.

        Raises:
            asyncio.CancelledError: The task was cancelled; the handshake has failed and its
                context is deleted.
        """
        # Not awaited here: each coroutine on the way costs at every turn.
        return self._run(self._guard.work, token)

    def submit_step(self, token: bytes, handler: CompletionHandler[Result]) -> None:
        """Take one token from the peer, leave CompleteAuthToken to the caller, and go on.

        Args:
            token: As of `advance`.
            handler: Who is told the result, perhaps before this returns. It is as of `advance`;
                or CompleteNeeded or CompleteAndContinue: then `complete` comes next. Who wants it
                no more has to close the handshake.
        """
        step = _StepUnderWay(self, handler)
        try:
            function, seconds = self._prepare(self._guard.step, token)
            self._registry.pool.submit(function, step, seconds=seconds)
        except AuthsrvError as error:
            step.set_exception(error)

    async def complete(self) -> Leg:
        """Call CompleteAuthToken, after a leg that asked for it; its answer is as of `advance`.

        Raises:
            asyncio.CancelledError: As of `advance`.
        """
        return await self._run(self._guard.complete, None)

    async def query(self, attribute: ContextAttribute) -> object:
        """Ask an attribute of the established context, which was kept (Retention.KEEP).

        Raises:
            StateError: The handshake is not established, or its context is deleted.
            UnsupportedFunctionError: The provider cannot tell.
            ProviderFaultError: The provider broke.
            UnavailableError: The provider did not answer in time, or too many calls wait.
        """
        if self._handshake.state is not State.ESTABLISHED:
            raise StateError("only an established context has attributes")
        return await self._registry.pool.run(partial(self._guard.query, attribute))

    def close(self) -> None:
        """End the handshake and delete its context; a second call does nothing."""
        if self._open:
            self._end()
        if self._guard.abandon():
            self._registry.pool.spawn(self._guard.delete)

    def submit_delete(self, handler: CompletionHandler[None]) -> None:
        """End the handshake, have its context deleted, and go on.

        Args:
            handler: Who is told when the context is deleted, perhaps before this returns; or of
                an AuthsrvError where that takes longer than step_seconds, too many calls wait, or
                the pool is closed: then it is deleted later. A call of the provider that is still
                running is waited for by nobody: its thread deletes the context.
                Who wants to hear of it no more has to close the handshake.
        """
        if self._open:
            self._end()
        if not self._guard.abandon():
            handler.set_result(None)
            return
        try:
            self._registry.pool.submit(self._guard.delete, handler)
        except AuthsrvError as error:
            self._registry.pool.spawn(self._guard.delete)
            handler.set_exception(error)

    def _end(self) -> None:
        self._open = False
        self._disarm()
        self._handshake.abandon()
        self._registry.remove(self)

    async def _run(self, work: Callable[..., list[Result]], token: bytes | None) -> Leg:
        began, already = time.monotonic(), self._handshake.steps
        answers: list[Result] = []
        try:
            function, seconds = self._prepare(work, token)
            answers, claims = await self._registry.pool.start(function, seconds=seconds)
            if claims is not None:
                await self._claim(claims, answers)
            ending = self._conclude(answers)
        except AuthsrvError as error:
            ending = self._refuse(error)
        except BaseException:
            self.close()
            raise
        return Leg(
            result=ending,
            status=answers[0].status if answers else ending.status,
            states=self._handshake.path_from(already),
            token_bytes=len(token or b""),
            seconds=time.monotonic() - began,
        )

    def _prepare(
        self, work: Callable[..., list[Result]], token: bytes | None
    ) -> tuple[Callable[[], Answered], float]:
        """Tell what a thread is to do with the token, and how many seconds it may take."""
        registry, handshake, now = self._registry, self._handshake, time.monotonic()
        self._disarm()
        registry.mark_running(self)
        if token is None:
            handshake.await_completion(now=now)
        else:
            work = partial(work, handshake.receive_token(token, now=now))
        left, most = handshake.deadline - now, registry.limits.step_seconds
        asking = partial(answer_and_claim, work, registry.store)
        return asking, most if left > most else max(0.0, left)

    async def _claim(self, claims: PendingClaims, answers: list[Result]) -> None:
        """Await the store, within the deadline, and put its no in the place of the yes."""
        left, most = self._handshake.deadline - time.monotonic(), self._registry.limits.step_seconds
        refusal = await claims.make(max(0.0, min(left, most)))
        if refusal is not None:
            answers[-1] = refusal

    def _conclude(self, answers: list[Result]) -> Result:
        """Believe the provider's answers where they are legal, and do what they mean."""
        handshake = self._handshake
        if handshake.state is State.FAILED or not answers:
            raise UnexpectedTokenError("the handshake ended while the provider worked on its token")
        for answer in answers:
            handshake.receive_result(answer)
        ending = answers[-1]
        if isinstance(ending, Established):
            # The guard has deleted the context, unless it is to be kept.
            self._end()
        elif isinstance(ending, Refused):
            self.close()
        else:
            self._wait_for_peer()
        return ending

    def _refuse(self, error: AuthsrvError) -> Refused:
        self.close()
        return Refused(error)

    def _wait_for_peer(self) -> None:
        self._registry.mark_waiting(self)
        left = max(0.0, self._handshake.deadline - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left, self.close)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
