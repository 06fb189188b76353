"""A security context on loan: the loop's side and the thread's side of one native object.

A provider that is running cannot be stopped. So a context has two users: the event loop, which may
give it up at any moment, and the thread that works on it just then. Whoever comes last deletes it.
Any answer and any exception of a provider is checked here, before anybody believes it.
"""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Callable

from authsrv.core.attributes import ContextAttribute
from authsrv.core.claims import Claim
from authsrv.core.flags import AscRet
from authsrv.core.identity import Identity
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    AttributesError,
    AuthsrvError,
    ConfigError,
    OverloadedError,
    ProviderFaultError,
    StateError,
)
from authsrv.providers.base import SecurityContext

__all__ = ["ContextGuard", "Retention", "fault_of", "refusal_to_begin"]

_LOG = logging.getLogger("authsrv")

_NO_FLAGS = AscRet(0)
_ASKS = (CompleteNeeded, CompleteAndContinue)
_RESULT_TYPES = (
    Established,
    Continue,
    CompleteNeeded,
    CompleteAndContinue,
    Incomplete,
    Refused,
)


class Retention(enum.Enum):
    """What becomes of a context once it is established."""

    RELEASE = "release"
    """It is deleted at once: all that is asked of it is who the client is."""
    KEEP = "keep"
    """It is kept, to be queried, until the handshake is closed."""


def fault_of(error: BaseException, whose: str = "the provider", doing: str = "") -> AuthsrvError:
    """Tell what an exception means that nobody expected.

    Its type is a name from somebody's code; its text could hold anything, a token too, and is left
    out. `whose` and `doing` say in words who raised it and where.
    """
    # SSPI has a code for it: SEC_E_INSUFFICIENT_MEMORY. For the rest it has SEC_E_INTERNAL_ERROR.
    kind = OverloadedError if isinstance(error, MemoryError) else ProviderFaultError
    return kind(f"{whose} raised {type(error).__name__} {doing}".rstrip())


def refusal_to_begin(error: Exception) -> AuthsrvError:
    """Tell what it means that a provider made no context."""
    if isinstance(error, ConfigError | ProviderFaultError):
        return error
    return fault_of(error, doing="for a new context")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _are_claims(value: object) -> bool:
    return isinstance(value, tuple) and all(type(claim) is Claim for claim in value)


class ContextGuard:
    """A security context, used by one thread at a time and deleted exactly once.

    `abandon` is called on the loop at any moment, everything else on a thread.

    Args:
        context: The provider's context.
        required: The attributes that it must have once it is established.
        retention: What becomes of it then.
        admit: Called with the identity that it establishes; raises an AuthsrvError to refuse it. It
            may block.

    Raises:
        ProviderFaultError: There is no context.
    """

    __slots__ = (
        "_abandoned",
        "_admit",
        "_busy",
        "_context",
        "_guard",
        "_last",
        "_required",
    )

    def __init__(
        self,
        context: SecurityContext,
        required: AscRet = _NO_FLAGS,
        retention: Retention = Retention.RELEASE,
        admit: Callable[[Identity], None] | None = None,
    ) -> None:
        if context is None:
            raise ProviderFaultError("the provider made no context")
        self._context: SecurityContext | None = context
        self._required = required
        self._admit = admit
        # The results after which nobody needs the context any more.
        self._last = Refused if retention is Retention.KEEP else (Established, Refused)
        self._guard = threading.Lock()
        self._busy = False
        self._abandoned = False

    def work(self, token: bytes) -> list[Result]:
        """Take one token through the provider, CompleteAuthToken included where it asks for it.

        Args:
            token: The token, from the peer, untrusted.

        Returns:
            The provider's answers, one or two; none if the context was given up before.
        """
        return self._use(token, _ASKS)

    def step(self, token: bytes) -> list[Result]:
        """As `work`, but leave CompleteAuthToken to the caller: at most one answer."""
        return self._use(token, ())

    def complete(self) -> list[Result]:
        """Call CompleteAuthToken; the answers are as of `step`."""
        return self._use(None, ())

    def query(self, attribute: ContextAttribute) -> object:
        """Ask an attribute of an established context; `authsrv.core.attributes` says what it is.

        Raises:
            StateError: The context is deleted, or at work.
            UnsupportedFunctionError: The provider cannot tell.
            ProviderFaultError: It raised something else; OverloadedError for a MemoryError.
        """
        context = self._acquire()
        if context is None:
            raise self._unusable()
        try:
            return context.query(attribute)
        except AuthsrvError:
            raise
        except BaseException as error:
            raise fault_of(error, doing="in query") from None
        finally:
            self._release(ended=False)

    def abandon(self) -> bool:
        """Forbid further work; True if the caller has to see to the deletion."""
        with self._guard:
            self._abandoned = True
            return self._context is not None and not self._busy

    def delete(self) -> None:
        """Delete the context; a second call does nothing."""
        with self._guard:
            context, self._context = self._context, None
        if context is None:
            return
        try:
            context.delete()
        except BaseException as error:
            # Nobody could do anything about it: the leg is over, and its client is not at fault.
            _LOG.error("the provider raised %s in delete", type(error).__name__)

    def _use(self, token: bytes | None, asks: tuple[type, ...]) -> list[Result]:
        """Ask the provider, and again where it wants CompleteAuthToken and we are to see to it."""
        context = self._acquire()
        results: list[Result] = []
        if context is None:
            return results
        try:
            if token is not None:
                results.append(self._ask(context.step, token))
            if token is None or isinstance(results[0], asks):
                results.append(self._ask(context.complete))
            return results
        finally:
            self._release(ended=not results or isinstance(results[-1], self._last))

    def _acquire(self) -> SecurityContext | None:
        with self._guard:
            if self._abandoned or self._context is None or self._busy:
                return None
            self._busy = True
            return self._context

    def _unusable(self) -> StateError:
        with self._guard:
            if self._context is not None and not self._abandoned:
                status = SecurityStatus.SEC_E_OUT_OF_SEQUENCE
                return StateError("the context is at work", status=status)
        return StateError("the context is deleted")

    def _release(self, *, ended: bool) -> None:
        with self._guard:
            self._busy = False
            self._abandoned = self._abandoned or ended
            delete = self._abandoned
        if delete:
            self.delete()

    def _ask(self, call: Callable[..., Result], *token: bytes) -> Result:
        """Believe an answer that keeps the contract; any exception is the fault of the provider."""
        try:
            return self._checked(call(*token))
        except AuthsrvError as error:
            return Refused(error)
        except BaseException as error:
            # On this thread even a SystemExit is no more than a provider that broke.
            return Refused(fault_of(error))

    def _checked(self, result: Result) -> Result:
        # A subclass could have a status that its class does not have.
        if type(result) not in _RESULT_TYPES:
            raise ProviderFaultError(
                f"the provider answered {type(result).__name__}, which is not a result"
            )
        if not isinstance(getattr(result, "token", b""), bytes):
            raise ProviderFaultError("the provider made a token that is not bytes")
        if isinstance(result, Refused) and not isinstance(result.error, AuthsrvError):
            raise ProviderFaultError("the provider refused without a cause")
        unused, missing = getattr(result, "unused", 0), getattr(result, "missing", None)
        if not _is_count(unused) or not (missing is None or _is_count(missing)):
            raise ProviderFaultError(
                "the provider gave a count of bytes that is not a whole number"
            )
        if isinstance(result, Established):
            self._check_established(result.identity)
            if not _are_claims(result.claims):
                raise ProviderFaultError("the provider claims what is no claim")
        return result

    def _check_established(self, identity: Identity) -> None:
        lacking = self._required & ~identity.attributes if self._required else None
        if lacking:
            raise AttributesError(f"the context lacks what is required: {lacking.name}")
        if self._admit is not None:
            self._admit(identity)
