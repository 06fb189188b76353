"""The conformance kit: what every security package must do, as plain functions.

A package's author writes a `Case`, which says how to make the package and how to play its client,
and calls `check_package`. Each check is a function of its own, listed in CHECKS, so that a test
suite can run and name them one by one. A check raises AssertionError with what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from authsrv.errors import AuthsrvError, DeniedError, PeerError
from authsrv.packages.base import AcceptorContext, ContextRequest, SecurityPackage
from authsrv.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)

__all__ = [
    "CHECKS",
    "Case",
    "Client",
    "check_claimed_completion",
    "check_creates_contexts_cheaply",
    "check_deletes_twice",
    "check_keeps_tokens_to_itself",
    "check_names_the_client",
    "check_package",
    "check_refuses_after_deletion",
    "check_refuses_completion_unasked",
    "check_refuses_garbage",
    "check_works_in_parallel",
    "establish",
]

_RESULTS = (Established, Continue, CompleteNeeded, CompleteAndContinue, Incomplete, Refused)
_MANY = 200


class Client(Protocol):
    """An initiator that plays the client's part of one handshake.

    Source: RFC 2743 section 2.2.1 (GSS_Init_sec_context).
    """

    def step(self, token: bytes | None) -> bytes | None:
        """Give the client a token of the server, or None to begin, and take its answer.

        Args:
            token: The server's token.

        Returns:
            The client's token, or None where it has nothing more to say.

        Source: RFC 2743 section 2.2.1.
        """
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """A package under test, and the client that belongs to it.

    Args:
        make_package: Makes a package.
        make_client: Makes a client that is entitled to get in.
        principal: Whom the package must name then.

    Source: authsrv design section 3 (testing).
    """

    make_package: Callable[[], SecurityPackage]
    make_client: Callable[[], Client]
    principal: str


def establish(context: AcceptorContext, client: Client) -> Established:
    """Take a handshake between a context and a client to its end.

    Args:
        context: A new context.
        client: A new client.

    Returns:
        The result that ended it.

    Raises:
        AssertionError: It did not end in Established.

    Source: RFC 2743 section 2.2.
    """
    token = client.step(None)
    for _ in range(10):
        assert token, "the client has nothing to say, and the handshake is not done"
        result = _completed(context, context.step(token))
        assert not isinstance(result, Refused), f"refused: {result.error!r}"
        if isinstance(result, Established):
            if result.token:
                client.step(result.token)
            return result
        assert isinstance(result, Continue), f"unexpected {result!r}"
        token = client.step(result.token)
    raise AssertionError("the handshake does not end")


def _completed(context: AcceptorContext, result: Result) -> Result:
    if isinstance(result, CompleteNeeded | CompleteAndContinue):
        return context.complete()
    return result


def check_names_the_client(case: Case) -> None:
    """An entitled client gets in and is named.

    Source: authsrv design decision 1.
    """
    context = case.make_package().create_context(ContextRequest())
    result = establish(context, case.make_client())
    context.delete()
    assert result.identity.principal == case.principal, result.identity.principal
    assert result.identity.mechanism


def check_creates_contexts_cheaply(case: Case) -> None:
    """Contexts can be made and deleted without a step, many of them.

    Source: SSPI DeleteSecurityContext.
    """
    package = case.make_package()
    contexts = [package.create_context(ContextRequest()) for _ in range(_MANY)]
    for context in contexts:
        context.delete()


def check_deletes_twice(case: Case) -> None:
    """A second deletion does nothing, before and after a step.

    Source: SSPI DeleteSecurityContext.
    """
    package = case.make_package()
    unused, used = (package.create_context(ContextRequest()) for _ in range(2))
    used.step(b"no token")
    for context in (unused, unused, used, used):
        context.delete()


def check_refuses_after_deletion(case: Case) -> None:
    """A deleted context lets nobody in.

    Source: SSPI DeleteSecurityContext.
    """
    context = case.make_package().create_context(ContextRequest())
    context.delete()
    result = _safely(context, b"no token")
    assert isinstance(result, Refused), result


def check_refuses_garbage(case: Case) -> None:
    """Garbage is refused by a result that blames the client, and never by an exception.

    Source: SSPI SEC_E_INVALID_TOKEN.
    """
    package = case.make_package()
    for token in _garbage(case):
        context = package.create_context(ContextRequest())
        result = _safely(context, token)
        context.delete()
        assert isinstance(result, Refused), f"{len(token)} bytes of garbage: {result!r}"
        assert isinstance(result.error, PeerError | DeniedError), result.error


def check_keeps_tokens_to_itself(case: Case) -> None:
    """No refusal shows a byte of the token, in its text or in its repr.

    Source: authsrv design decision 7.
    """
    package = case.make_package()
    secret = b"SECRETSECRETSECRET"
    for token in (secret, b"\x60\x20" + secret, b"NTLMSSP\x00\x01\x00\x00\x00" + secret):
        context = package.create_context(ContextRequest())
        result = _safely(context, token)
        context.delete()
        shown = f"{result!r} {getattr(result, 'error', '')}"
        assert "SECRET" not in shown, shown
        assert secret.hex() not in shown, shown


def check_refuses_completion_unasked(case: Case) -> None:
    """CompleteAuthToken is refused where nothing asked for it.

    Source: SSPI CompleteAuthToken.
    """
    context = case.make_package().create_context(ContextRequest())
    result = context.complete()
    context.delete()
    assert isinstance(result, Refused), result


def check_claimed_completion(case: Case) -> None:
    """A client that only says "accept-complete" does not get in, first or second.

    Source: RFC 4178 section 4.2.2 (negState).
    """
    claim = bytes.fromhex("a1073005a0030a0100")
    context = case.make_package().create_context(ContextRequest())
    assert isinstance(_safely(context, claim), Refused)
    context.delete()
    context = case.make_package().create_context(ContextRequest())
    first = case.make_client().step(None)
    assert first is not None
    result = _completed(context, context.step(first))
    if not isinstance(result, Established):
        assert isinstance(_safely(context, claim), Refused)
    context.delete()


def check_works_in_parallel(case: Case) -> None:
    """Several contexts of one package are established at the same time on several threads.

    Source: SSPI AcceptSecurityContext, remarks on threads.
    """
    package = case.make_package()

    def one(_: int) -> str:
        context = package.create_context(ContextRequest())
        try:
            return establish(context, case.make_client()).identity.principal
        finally:
            context.delete()

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(one, range(16))) == {case.principal}


CHECKS: Mapping[str, Callable[[Case], None]] = MappingProxyType(
    {
        check.__name__: check
        for check in (
            check_names_the_client,
            check_creates_contexts_cheaply,
            check_deletes_twice,
            check_refuses_after_deletion,
            check_refuses_garbage,
            check_keeps_tokens_to_itself,
            check_refuses_completion_unasked,
            check_claimed_completion,
            check_works_in_parallel,
        )
    }
)
"""Every check by its name."""


def check_package(case: Case) -> None:
    """Run all checks on a package.

    Args:
        case: The package and its client.

    Raises:
        AssertionError: What is wrong.

    Source: authsrv design section 3 (testing).
    """
    for check in CHECKS.values():
        check(case)


def _garbage(case: Case) -> Iterator[bytes]:
    first = case.make_client().step(None) or b""
    yield from (b"\x00", b"no token", os.urandom(100), b"\x60\x82\xff\xff", b"\xff" * 65_536)
    yield first[: len(first) // 2]
    yield first[:-1]


def _safely(context: AcceptorContext, token: bytes) -> Result:
    try:
        result = _completed(context, context.step(token))
    except AuthsrvError as error:
        raise AssertionError(f"raised {error!r} where a Refused belongs") from error
    except Exception as error:
        raise AssertionError(f"raised {type(error).__name__} for a client's bytes") from error
    assert isinstance(result, _RESULTS), result
    return result
