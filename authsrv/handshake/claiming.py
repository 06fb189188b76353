"""What a provider claims with its yes, on its way through the store, whose no takes its place.

A provider runs on a thread and a store is awaited, so they never call each other: the handshake
takes the claims from one to the other. Where the store can answer at once, as this machine's can,
no task has to wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from authsrv.core.claims import Claim
from authsrv.core.results import Established, Refused, Result
from authsrv.errors import AuthsrvError, ReplayError, StoreError
from authsrv.stores.base import Store

__all__ = ["PendingClaims", "claims_of"]

_SEEN: Final = "the token was used before"
_NO_STORE: Final = "the provider claims what was used, and the acceptor has no store to remember it"


def claims_of(answers: Sequence[Result]) -> tuple[Claim, ...]:
    """Tell what a provider claims with its answers, of which the last one counts."""
    last = answers[-1] if answers else None
    return last.claims if isinstance(last, Established) else ()


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
        except Exception as error:
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


def _refusal(error: Exception) -> Refused:
    if isinstance(error, AuthsrvError):
        return Refused(error)
    return Refused(StoreError(f"the store raised {type(error).__name__}"))
