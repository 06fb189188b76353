"""The providers that the contract runs over, each with clients that belong to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authsrv.providers.base import SecurityProvider
from authsrv.sspi import (
    AscReq,
    AscRet,
    AsyncContext,
    BufferType,
    CallResult,
    ContextHandle,
    CredentialHandle,
    SecBuffer,
    SecBufferDesc,
    SecurityStatus,
    accept_security_context_async,
    complete_auth_token,
)
from authsrv.testing.handshakes import Client

__all__ = ["Backend", "Conversation", "accept", "token_of", "tokens"]

S = SecurityStatus
NO_FLAGS, NOTHING = AscReq(0), AscRet(0)
GOING_ON = (S.SEC_I_CONTINUE_NEEDED, S.SEC_I_COMPLETE_AND_CONTINUE, S.SEC_E_INCOMPLETE_MESSAGE)
COMPLETING = (S.SEC_I_COMPLETE_NEEDED, S.SEC_I_COMPLETE_AND_CONTINUE)


@dataclass(frozen=True)
class Backend:
    """A provider and its clients.

    Args:
        name: For the names of the tests.
        make_provider: Makes the provider.
        make_client: Makes a client that is let in.
        make_stranger: Makes a client that is denied.
        principal: Whom the client is.
        statuses: What the calls of one good handshake answer, in their order.
    """

    name: str
    make_provider: Callable[[], SecurityProvider]
    make_client: Callable[[], Client]
    make_stranger: Callable[[], Client]
    principal: str
    statuses: tuple[SecurityStatus, ...]


@dataclass(frozen=True)
class Conversation:
    """A handshake that was taken to its end.

    Args:
        statuses: What each call answered.
        result: The last call's result.
        completion: What the last CompleteAuthToken answered, or None if it was not called.
    """

    statuses: tuple[SecurityStatus, ...]
    result: CallResult
    completion: SecurityStatus | None


def tokens(token: bytes, *more: SecBuffer) -> SecBufferDesc:
    """Input buffers as the documentation wants them: TOKEN first, EMPTY second."""
    first = SecBuffer(BufferType.TOKEN, token), SecBuffer(BufferType.EMPTY)
    return SecBufferDesc((*first, *more))


def token_of(result: CallResult) -> bytes:
    """The token for the peer in a result."""
    place = result.output.first(BufferType.TOKEN)
    return b"" if place is None else place.data


async def accept(
    credential: CredentialHandle,
    context: ContextHandle | None,
    token: bytes,
    flags: AscReq = NO_FLAGS,
    required: AscRet = NOTHING,
) -> CallResult:
    """Queue one call and wait for it."""
    call = AsyncContext()
    status = accept_security_context_async(
        call, credential, context, tokens(token), flags, required_attributes=required
    )
    assert status is S.SEC_E_OK, status.name
    return await call


async def converse(
    credential: CredentialHandle,
    client: Client,
    flags: AscReq = NO_FLAGS,
    required: AscRet = NOTHING,
) -> Conversation:
    """Take a handshake to its end, as a server in C would: CompleteAuthToken where it is asked."""
    statuses: list[SecurityStatus] = []
    context: ContextHandle | None = None
    completion: SecurityStatus | None = None
    answer: bytes | None = None
    while True:
        token = client.step(answer)
        assert token, "the client has nothing to say"
        result = await accept(credential, context, token, flags, required)
        statuses.append(result.status)
        if result.status in COMPLETING:
            assert result.context is not None
            completion = await complete_auth_token(result.context, result.output)
        if result.status not in GOING_ON:
            if result.status is S.SEC_E_OK and token_of(result):
                assert client.step(token_of(result)) in (None, b"")
            return Conversation(tuple(statuses), result, completion)
        context, answer = result.context, token_of(result)
