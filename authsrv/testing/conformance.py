"""The conformance kit: what every provider must do, as plain functions.

A provider's author writes a `Case`, which says how to make the provider and how to play its
clients, and calls `check_provider`; or goes through CHECKS, so that a test suite runs and names the
checks one by one. A check raises AssertionError with what is wrong.

The checks block. One of them lets every logger speak at DEBUG, and listens for tokens.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

from authsrv.core.attributes import ContextAttribute
from authsrv.core.results import Continue, Established, Incomplete, Refused, Result
from authsrv.errors import DeniedError, PeerError, StateError, UnsupportedFunctionError
from authsrv.providers.base import ContextRequest, SecurityContext
from authsrv.testing.handshakes import (
    Case,
    Client,
    ClientGaveUpError,
    Recorder,
    count_legs,
    establish,
    open_context,
    play,
    take_step,
)
from authsrv.testing.leaks import find_leak, overhear

__all__ = ["CHECKS", "Case", "Client", "check_provider", "establish"]

_MANY = 200
_POSITIONS = 48

# NegTokenResp(accept-completed), bare and with supportedMech = Kerberos: RFC 4178 section 4.2.2.
_CLAIMS = (
    bytes.fromhex("a1073005a0030a0100"),
    bytes.fromhex("a1143012a0030a0100a10b06092a864886f712010202"),
)


def _describes_itself(case: Case) -> None:
    """The provider has a name for logs, and with all in place its `check` finds nothing."""
    provider = case.make_provider()
    assert provider.name, "the provider has no name"
    assert provider.name.isprintable(), "the provider's name is not printable"
    try:
        provider.check()
    except Exception as error:
        raise AssertionError(f"check raised {error!r} although all is in place") from error


def _names_the_client(case: Case) -> None:
    """An entitled client gets in and is named, and takes the server's proof for good."""
    with open_context(case.make_provider()) as context:
        result = establish(context, case.make_client())
    _demand_name(case, result)
    assert result.identity.mechanism, "the identity has no mechanism"


def _refuses_strangers(case: Case) -> None:
    """A client that keeps the protocol and is not entitled is denied."""
    with open_context(case.make_provider()) as context:
        result = play(context, case.make_stranger())
    assert isinstance(result, Refused), f"a stranger got in: {result!r}"
    assert isinstance(result.error, DeniedError), f"a stranger is told {result.error!r}"


def _creates_many_contexts(case: Case) -> None:
    """Contexts can be made and deleted without a step, many of them at once."""
    provider = case.make_provider()
    try:
        contexts = [provider.create_context(ContextRequest()) for _ in range(_MANY)]
        for context in contexts:
            context.delete()
    except Exception as error:
        raise AssertionError(f"{_MANY} contexts: raised {type(error).__name__}") from error


def _deletes_twice(case: Case) -> None:
    """A second deletion does nothing: before a step, after a refusal, after success."""
    provider = case.make_provider()
    unused, refused, done = (provider.create_context(ContextRequest()) for _ in range(3))
    take_step(refused, b"no token")
    establish(done, case.make_client())
    for context in (unused, refused, done):
        try:
            context.delete()
            context.delete()
        except Exception as error:
            raise AssertionError(f"a deletion raised {type(error).__name__}") from error


def _refuses_after_deletion(case: Case) -> None:
    """A deleted context lets nobody in, be it unused or half-way."""
    provider = case.make_provider()
    for leg in range(count_legs(case)):
        with open_context(provider) as context:
            result = _play_changed(context, case, leg, _deleting(context))
        assert isinstance(result, Refused), f"deleted before leg {leg + 1}: {result!r}"


def _deleting(context: SecurityContext) -> Callable[[bytes], bytes]:
    def delete_and_pass_on(token: bytes) -> bytes:
        context.delete()
        return token

    return delete_and_pass_on


def _ends_when_established(case: Case) -> None:
    """An established context takes no further token."""
    with open_context(case.make_provider()) as context:
        establish(context, case.make_client())
        result = take_step(context, _first_token(case))
    assert isinstance(result, Refused), f"after the end: {result!r}"


def _refuses_garbage(case: Case) -> None:
    """Garbage is refused by a result that blames the client, and never by an exception."""
    provider = case.make_provider()
    garbage = (b"\x00", b"no token", os.urandom(100), b"\x60\x82\xff\xff", b"\xff" * 65_536)
    for token in garbage:
        with open_context(provider) as context:
            _demand_refusal(take_step(context, token), f"{len(token)} bytes of garbage")


def _refuses_truncated_tokens(case: Case) -> None:
    """The beginning of a token lets nobody in, and is no fault of the server.

    What it lacks may be asked for, or may be no loss.
    """
    provider = case.make_provider()
    token = _first_token(case)
    lengths = {len(token) * part // _POSITIONS for part in range(_POSITIONS)}
    for length in {*lengths, len(token) - 1} - {0}:
        with open_context(provider) as context:
            result = take_step(context, token[:length])
        if not isinstance(result, Continue | Incomplete):
            _demand_refusal(result, f"the first {length} of {len(token)} bytes")


def _withstands_altered_tokens(case: Case) -> None:
    """A changed byte, in whatever leg, makes nobody anybody else, and is no fault of the server.

    Bytes that nothing protects may change without effect.
    """
    provider = case.make_provider()
    for leg in range(count_legs(case)):
        for part in range(_POSITIONS):
            with open_context(provider) as context:
                result = _play_changed(context, case, leg, _flipping(part / _POSITIONS))
            if isinstance(result, Established):
                _demand_name(case, result)
            elif isinstance(result, Refused):
                _demand_refusal(result, f"leg {leg + 1}, altered at {part}/{_POSITIONS}")


def _flipping(where: float) -> Callable[[bytes], bytes]:
    def flip(token: bytes) -> bytes:
        at = int(where * len(token))
        return token[:at] + bytes((token[at] ^ 0x01,)) + token[at + 1 :]

    return flip


def _refuses_replays(case: Case) -> None:
    """A recorded handshake lets nobody in when it is played again."""
    recorder = Recorder(case.make_client())
    provider = case.make_provider()
    with open_context(provider) as context:
        establish(context, recorder)
    with open_context(provider) as context:
        result: Result = Continue()
        for token in recorder.tokens:
            if isinstance(result, Continue):
                result = take_step(context, token)
    _demand_refusal(result, "a replay")


def _tells_attributes(case: Case) -> None:
    """An established context tells the name that it authenticated, and no other one tells any."""
    with open_context(case.make_provider()) as context:
        _demand_silence(context, "before the first token")
        result = establish(context, case.make_client())
        name = context.query(ContextAttribute.NAMES)
        assert name == result.identity.principal, f"it tells another name: {name!r}"
        for attribute in ContextAttribute:
            with contextlib.suppress(UnsupportedFunctionError):
                context.query(attribute)
        context.delete()
        _demand_silence(context, "after its deletion")


def _keeps_tokens_to_itself(case: Case) -> None:
    """No token, nor a piece of one, shows in the log, or in a repr or an error's text."""
    provider = case.make_provider()
    secret = bytes(range(0x81, 0xA1))
    recorder = Recorder(case.make_client())
    shown = [repr(provider)]
    for token in (secret, b"\x60\x22" + secret, b"NTLMSSP\x00\x01\x00\x00\x00" + secret):
        with open_context(provider) as context:
            take_step(_Overheard(context, shown), token)
    with open_context(provider) as context:
        result = establish(_Overheard(context, shown), recorder)
    for token in (secret, *recorder.tokens, result.token):
        leak = find_leak("\n".join(shown), token)
        assert leak is None, f"a token of {len(token)} bytes shows: {leak}"


class _Overheard:
    """A context around which everything that can be read is noted."""

    def __init__(self, context: SecurityContext, shown: list[str]) -> None:
        self._context = context
        self._shown = shown

    def step(self, token: bytes) -> Result:
        with overhear(self._shown):
            return self._note(self._context.step(token))

    def complete(self) -> Result:
        with overhear(self._shown):
            return self._note(self._context.complete())

    def query(self, attribute: ContextAttribute) -> object:
        return self._context.query(attribute)

    def delete(self) -> None:
        self._context.delete()

    def _note(self, result: Result) -> Result:
        cause = str(result.error) if isinstance(result, Refused) else ""
        self._shown += [repr(self._context), repr(result), cause]
        return result


def _refuses_completion_unasked(case: Case) -> None:
    """CompleteAuthToken is refused where nothing asked for it."""
    with open_context(case.make_provider()) as context:
        try:
            result = context.complete()
        except Exception as error:
            raise AssertionError(f"complete raised {type(error).__name__}") from error
    assert isinstance(result, Refused), result


def _refuses_claimed_completion(case: Case) -> None:
    """A client that only says "accept-completed" does not get in, in whatever leg it says so."""
    provider = case.make_provider()
    for leg in range(count_legs(case)):
        for claim in _CLAIMS:
            with open_context(provider) as context:
                result = _play_changed(context, case, leg, _replacing(claim))
            assert result is not None, "the client has given up"
            _demand_refusal(result, f"a claim in leg {leg + 1}")


def _replacing(claim: bytes) -> Callable[[bytes], bytes]:
    return lambda token: claim


def _keeps_contexts_apart(case: Case) -> None:
    """Two handshakes that take turns both come to their end."""
    provider = case.make_provider()
    clients = [case.make_client() for _ in range(2)]
    tokens = [client.step(None) for client in clients]
    with open_context(provider) as one, open_context(provider) as other:
        for _ in range(count_legs(case)):
            results = [take_step(one, tokens[0] or b""), take_step(other, tokens[1] or b"")]
            tokens = [
                client.step(result.token) if isinstance(result, Continue) else None
                for client, result in zip(clients, results, strict=True)
            ]
    for result in results:
        assert isinstance(result, Established), f"two that take turns: {result!r}"
        _demand_name(case, result)


def _works_in_parallel(case: Case) -> None:
    """Several contexts of one provider are established at the same time on several threads."""
    provider = case.make_provider()

    def one(_: int) -> None:
        with open_context(provider) as context:
            _demand_name(case, establish(context, case.make_client()))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(one, range(16)))


CHECKS: Mapping[str, Callable[[Case], None]] = MappingProxyType(
    {
        check.__name__[1:]: check
        for check in (
            _describes_itself,
            _names_the_client,
            _refuses_strangers,
            _creates_many_contexts,
            _deletes_twice,
            _refuses_after_deletion,
            _ends_when_established,
            _refuses_garbage,
            _refuses_truncated_tokens,
            _withstands_altered_tokens,
            _refuses_replays,
            _tells_attributes,
            _keeps_tokens_to_itself,
            _refuses_completion_unasked,
            _refuses_claimed_completion,
            _keeps_contexts_apart,
            _works_in_parallel,
        )
    }
)
"""Every check by its name, which says what a good provider does: "names_the_client"."""


def check_provider(case: Case) -> None:
    """Run all checks on a provider.

    Raises:
        AssertionError: What is wrong.
    """
    for check in CHECKS.values():
        check(case)


def _play_changed(
    context: SecurityContext, case: Case, leg: int, change: Callable[[bytes], bytes]
) -> Result | None:
    """Play a handshake whose one token is changed; None where the client gave it up after that."""
    client = Recorder(
        case.make_client(), lambda number, token: change(token) if number == leg else token
    )
    try:
        return play(context, client)
    except ClientGaveUpError:
        if len(client.tokens) <= leg:
            raise
        return None


def _first_token(case: Case) -> bytes:
    token = case.make_client().step(None)
    assert token, "the client has nothing to say"
    return token


def _demand_silence(context: SecurityContext, when: str) -> None:
    try:
        context.query(ContextAttribute.NAMES)
    except StateError:
        return
    raise AssertionError(f"it tells an attribute {when}")


def _demand_name(case: Case, result: Established) -> None:
    principal = result.identity.principal
    assert principal == case.principal, f"{principal} instead of {case.principal}"


def _demand_refusal(result: Result, what: str) -> None:
    assert isinstance(result, Refused), f"{what}: {result!r}"
    assert isinstance(result.error, PeerError | DeniedError), f"{what}: {result.error!r}"
