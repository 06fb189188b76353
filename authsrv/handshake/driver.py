"""The coroutine around the handshake table: one token in, the package off the loop, one leg out.

HTTP calls `advance` once a request, a stream calls it in a loop (`Acceptor.accept`), and the SSPI
calls take `submit_step`, which needs no task and tells a receiver, and `complete`: they leave
CompleteAuthToken to the caller. Whatever happens in between, the security context is deleted: at
the end of the leg that establishes or refuses, when the peer is too slow, when the task is
cancelled, when the package hangs. A package that is still running cannot be stopped; its context is
deleted by the thread that runs it, as soon as it returns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from authsrv.core.attributes import ContextAttribute
from authsrv.handshake.calls import Receiver, end_with_loop
from authsrv.errors import AuthsrvError, StateError, UnexpectedTokenError
from authsrv.handshake.machine import Handshake, State
from authsrv.handshake.context_guard import ContextLease
from authsrv.core.limits import Limits
from authsrv.providers.base import Deletion
from authsrv.core.results import Established, Refused, Result
from authsrv.core.role import Role
from authsrv.core.status import SecurityStatus
from authsrv.handshake.pool import WorkerPool

__all__ = ["Leg", "Party", "SecurityHandshake"]

_AT_ONCE = Deletion.AT_ONCE


@dataclass(frozen=True, slots=True)
class Leg:
    """What one token led to.

    Args:
        result: How the leg ended: Established, Continue, Incomplete or Refused; CompleteNeeded or
            CompleteAndContinue where the caller sees to CompleteAuthToken.
        status: The SSPI code that the package answered to the token. It differs from the result's
            where CompleteAuthToken was called: then it is SEC_I_COMPLETE_NEEDED or
            SEC_I_COMPLETE_AND_CONTINUE.
        states: The states that the handshake went through, the one before the token first.
        round: The number of the leg in its handshake, from 1; 0 where the token was not taken.
        token_bytes: The length of the token.
        seconds: The time that the leg took, waiting for a thread included.

    Source: authsrv design decision 3.
    """

    result: Result
    status: SecurityStatus
    states: tuple[State, ...]
    round: int
    token_bytes: int
    seconds: float


class Party(Protocol):
    """What a handshake needs of the acceptor or initiator that began it.

    Source: authsrv design decisions 3 and 4.
    """

    limits: Limits
    pool: WorkerPool

    def take_up(self, handshake: SecurityHandshake) -> None:
        """Note that a handshake is worked on.

        Args:
            handshake: The handshake.

        Source: authsrv design decision 4.
        """

    def put_aside(self, handshake: SecurityHandshake) -> None:
        """Note that a handshake waits for its peer.

        Args:
            handshake: The handshake.

        Raises:
            OverloadedError: max_pending handshakes wait already.

        Source: authsrv design decision 4.
        """

    def forget(self, handshake: SecurityHandshake) -> None:
        """Note that a handshake has ended.

        Args:
            handshake: The handshake.

        Source: authsrv design decision 4.
        """


class _StepUnderWay:
    """One token at the package: the pool tells it the answers, and it tells what they led to."""

    __slots__ = ("_handshake", "_receiver", "done")

    def __init__(self, handshake: SecurityHandshake, receiver: Receiver[Result]) -> None:
        self._handshake = handshake
        self._receiver = receiver
        self.done = receiver.done

    def set_result(self, answers: list[Result]) -> None:
        try:
            ending = self._handshake._conclude(answers)
        except Exception as error:
            self.set_exception(error)
        else:
            self._receiver.set_result(ending)

    def set_exception(self, error: BaseException) -> None:
        if isinstance(error, AuthsrvError):
            self._receiver.set_result(self._handshake._refuse(error))
        else:
            self._handshake.close()
            self._receiver.set_exception(error)

    def end_with_loop(self) -> None:
        end_with_loop(self._receiver)


class SecurityHandshake:
    """One handshake with one peer, driven token by token. Acceptor.begin makes it.

    Args:
        party: Whose limits and threads it keeps to.
        lease: Its security context.
        role: Which side of it this is.

    Source: SSPI AcceptSecurityContext; authsrv design decision 3.
    """

    __slots__ = ("_handshake", "_lease", "_open", "_party", "_timer")

    def __init__(self, party: Party, lease: ContextLease, role: Role = Role.ACCEPTOR) -> None:
        self._party = party
        self._handshake = Handshake(party.limits, started_at=time.monotonic(), role=role)
        self._lease = lease
        self._open = True
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<SecurityHandshake {self._handshake.state.value}>"

    @property
    def state(self) -> State:
        """What the handshake waits for, or how it ended.

        Source: authsrv design decision 3.
        """
        return self._handshake.state

    @property
    def kept(self) -> bytes:
        """What is kept of a token that is not whole; the rest of it comes next.

        Source: SSPI AcceptSecurityContext, SEC_E_INCOMPLETE_MESSAGE.
        """
        return self._handshake.kept

    @property
    def is_open(self) -> bool:
        """Whether a further token can be taken.

        Source: authsrv design decision 3.
        """
        return self._open

    def advance(self, token: bytes) -> Coroutine[Any, Any, Leg]:
        """Take one token from the peer through the security package, CompleteAuthToken included.

        Args:
            token: The token, from the peer, untrusted; 1 to max_token_bytes bytes. It is empty in
                the first leg of an initiator.

        Returns:
            What it led to. Every failure is a Leg whose result is Refused: wrong tokens, limits,
            deadlines, an overloaded server and faults of the package alike.

        Raises:
            asyncio.CancelledError: The task was cancelled; the handshake has failed and its
                context is deleted.

        Source: SSPI AcceptSecurityContext, SspiAcceptSecurityContextAsync.
        """
        # Not awaited here: each coroutine on the way costs at every turn.
        return self._run(self._lease.work, token)

    def submit_step(self, token: bytes, receiver: Receiver[Result]) -> None:
        """Take one token from the peer, leave CompleteAuthToken to the caller, and go on.

        Args:
            token: As of `advance`.
            receiver: Who is told the result, perhaps before this returns. It is as of `advance`;
                or CompleteNeeded or CompleteAndContinue: then `complete` comes next. Who wants it
                no more has to close the handshake.

        Source: SSPI AcceptSecurityContext, SspiAcceptSecurityContextAsync.
        """
        step = _StepUnderWay(self, receiver)
        try:
            function, seconds = self._prepare(self._lease.step, token)
            self._party.pool.submit(function, step, seconds=seconds)
        except AuthsrvError as error:
            step.set_exception(error)

    async def complete(self) -> Leg:
        """Call CompleteAuthToken, after a leg that asked for it.

        Returns:
            What it led to, as of `advance`.

        Raises:
            asyncio.CancelledError: As of `advance`.

        Source: SSPI CompleteAuthToken.
        """
        return await self._run(self._lease.complete, None)

    async def query(self, attribute: ContextAttribute) -> object:
        """Ask an attribute of the established context, which was kept (Retention.KEEP).

        Args:
            attribute: What to ask.

        Returns:
            What ContextAttribute says of it.

        Raises:
            StateError: The handshake is not established, or its context is deleted.
            UnsupportedFunctionError: The package cannot tell.
            PackageFaultError: The package broke.
            UnavailableError: The package did not answer in time, or too many calls wait.

        Source: SSPI QueryContextAttributes.
        """
        if self._handshake.state is not State.ESTABLISHED:
            raise StateError("only an established context has attributes")
        return await self._party.pool.run(partial(self._lease.query, attribute))

    def close(self) -> None:
        """End the handshake and delete its context; a second call does nothing.

        Source: SSPI DeleteSecurityContext.
        """
        if self._open:
            self._end()
        if not self._lease.revoke():
            return
        if self._lease.deletion is _AT_ONCE:
            self._lease.delete()
        else:
            self._party.pool.spawn(self._lease.delete)

    def submit_delete(self, receiver: Receiver[None]) -> None:
        """End the handshake, have its context deleted, and go on.

        Args:
            receiver: Who is told when the context is deleted, perhaps before this returns; or of
                an AuthsrvError where that takes longer than step_seconds, too many calls wait, or
                the pool is closed: then it is deleted later. A call of the package that is still
                running is waited for by nobody: its thread deletes the context.
                Who wants to hear of it no more has to close the handshake.

        Source: SSPI DeleteSecurityContext.
        """
        if self._open:
            self._end()
        if not self._lease.revoke():
            receiver.set_result(None)
        elif self._lease.deletion is _AT_ONCE:
            self._lease.delete()
            receiver.set_result(None)
        else:
            self._submit_deletion(receiver)

    def _submit_deletion(self, receiver: Receiver[None]) -> None:
        try:
            self._party.pool.submit(self._lease.delete, receiver)
        except AuthsrvError as error:
            self._party.pool.spawn(self._lease.delete)
            receiver.set_exception(error)

    def _end(self) -> None:
        self._open = False
        self._disarm()
        self._handshake.abandon()
        self._party.forget(self)

    async def _run(self, work: Callable[..., list[Result]], token: bytes | None) -> Leg:
        began, already = time.monotonic(), self._handshake.steps
        answers: list[Result] = []
        try:
            function, seconds = self._prepare(work, token)
            answers = await self._party.pool.start(function, seconds=seconds)
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
            round=self._handshake.rounds,
            token_bytes=len(token or b""),
            seconds=time.monotonic() - began,
        )

    def _prepare(
        self, work: Callable[..., list[Result]], token: bytes | None
    ) -> tuple[Callable[[], list[Result]], float]:
        """Tell what a thread is to do with the token, and how many seconds it may take."""
        party, handshake, now = self._party, self._handshake, time.monotonic()
        self._disarm()
        party.take_up(self)
        if token is None:
            handshake.await_completion(now=now)
        else:
            work = partial(work, handshake.receive_token(token, now=now))
        left, most = handshake.deadline - now, party.limits.step_seconds
        return work, most if left > most else max(0.0, left)

    def _conclude(self, answers: list[Result]) -> Result:
        """Believe the package's answers where they are legal, and do what they mean."""
        handshake = self._handshake
        if handshake.state is State.FAILED or not answers:
            raise UnexpectedTokenError("the handshake ended while its token was worked on")
        for answer in answers:
            handshake.receive_result(answer)
        ending = answers[-1]
        if isinstance(ending, Established):
            # The lease has deleted the context, unless it is to be kept.
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
        self._party.put_aside(self)
        left = max(0.0, self._handshake.deadline - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left, self.close)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
