"""What a provider claims with its yes, on its way through the store, whose no takes its place.

A provider runs on a thread and a store is awaited, so they never call each other: the handshake
takes the claims from one to the other. Where the store can answer at once, as this machine's can,
it is asked on the provider's thread, behind the provider: there nobody waits for the interpreter
lock that each call of the system lets go, and no task has to wait for the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from authsrv.core.claims import Claim
from authsrv.core.results import Established, Refused, Result
from authsrv.errors import AuthsrvError, ReplayError, StoreError
from authsrv.stores.base import Store

__all__ = ["Answered", "PendingClaims", "answer_and_claim", "claims_of"]

_SEEN: Final = "the token was used before"
_NO_STORE: Final = "the provider claims what was used, and the acceptor has no store to remember it"


def claims_of(answers: Sequence[Result]) -> tuple[Claim, ...]:
    """Tell what a provider claims with its answers, of which the last one counts."""
    last = answers[-1] if answers else None
    return last.claims if isinstance(last, Established) else ()


class Answered(NamedTuple):
    """What a provider has answered, and the store as far as it could at once.

    Args:
        answers: The provider's answers; the last one is the store's where that says no.
        claims: What has to be waited for; None where nothing has.
    """

    answers: list[Result]
    claims: PendingClaims | None


def answer_and_claim(ask: Callable[[], list[Result]], store: Store | None) -> Answered:
    """Ask a provider, and claim what it claims, on a thread.

    Args:
        ask: Gives the provider's answers.
        store: Where it is claimed.
    """
    answers = ask()
    claimed = claims_of(answers)
    if not claimed:
        return Answered(answers, None)
    claims = PendingClaims(claimed, store)
    refusal = claims.make_at_once()
    if refusal is not None:
        answers[-1] = refusal
    return Answered(answers, None if refusal is not None or claims.are_made else claims)


class PendingClaims:
    """Claims that were not yet made, one after the other; each is made once.

    Args:
        claims: The claims.
        store: Where they are made; None where there is none, so that nothing is fresh.
    """

    __slots__ = ("_left", "_store")

    def __init__(self, claims: Sequence[Claim], store: Store | None) -> None:
        self._left = list(claims)
        self._store = store

    def make_at_once(self) -> Refused | None:
        """Make those that need no waiting.

        Returns:
            Why nobody is let in; None where nothing is in the way so far.
        """
        try:
            while self._left:
                fresh = self._demand_store().check_at_once(self._left[0])
                if fresh is None:
                    return None
                self._judge(fresh)
        except BaseException as error:
            # On a thread even a SystemExit is no more than a store that broke.
            return _refusal(error)
        return None

    @property
    def are_made(self) -> bool:
        """Whether all are made, and were fresh."""
        return not self._left

    async def make(self, seconds: float) -> Refused | None:
        """Make the rest; the store has so many seconds. What it returns is as of make_at_once."""
        try:
            async with asyncio.timeout(seconds):
                while self._left:
                    self._judge(await self._demand_store().check_and_store(self._left[0]))
        except TimeoutError:
            return Refused(StoreError(f"the store did not answer within {seconds:.3g} s"))
        except Exception as error:
            return _refusal(error)
        return None

    def _demand_store(self) -> Store:
        if self._store is None:
            raise StoreError(_NO_STORE)
        return self._store

    def _judge(self, fresh: object) -> None:
        # Whatever is not one of the two is no answer, and above all it is no yes.
        if fresh is False:
            raise ReplayError(_SEEN)
        if fresh is not True:
            raise StoreError(f"the store answered {type(fresh).__name__}, which is no answer")
        del self._left[0]


def _refusal(error: BaseException) -> Refused:
    if isinstance(error, AuthsrvError):
        return Refused(error)
    return Refused(StoreError(f"the store raised {type(error).__name__}"))
