"""What the tests of the calls have in common: a provider that does what the token says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from backends import tokens
from waiting import until

from authsrv.core.identity import Identity
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.results import CompleteNeeded, Continue, Established
from authsrv.providers.scripted import Act, Delay, ScriptedProvider
from authsrv.sspi import (
    AsyncContext,
    ContextAttribute,
    ContextHandle,
    CredentialHandle,
    CredentialUse,
    SecurityStatus,
    accept_security_context_async,
    acquire_credentials_handle_async,
    delete_security_context_async,
    free_credentials_handle_async,
    initialize_security_context_async,
    query_context_attributes,
)

__all__ = [
    "QUEUEING",
    "World",
    "a_world",
    "begun",
    "delete",
    "make_world",
    "nothing_is_left",
    "person",
    "turns",
]

S = SecurityStatus
LONG = 60.0


def obey(token: bytes) -> Act:
    """Do what the client's token says; any other token is the client's name."""
    name, _, command = token.decode().rpartition(":")
    established = Established(Identity(principal=name or "nobody", mechanism="scripted"), b"proof")
    match command:
        case "slow":
            return Delay(LONG, established)
        case "continue":
            return Continue(b"next")
        case "slow-continue":
            return Delay(LONG, Continue(b"next"))
        case "complete":
            return CompleteNeeded()
        case _:
            return established


@dataclass
class World:
    """Handles of every kind, all of one provider.

    Args:
        provider: It does what tokens say.
        credential: For both directions.
        established: A server's context.
        partial: A server's context that awaits a token.
        spare: A credential to be freed.
        empty: A credential to be filled.
        fresh: A context to be filled.
        another: Another one.
    """

    provider: ScriptedProvider
    credential: CredentialHandle
    established: ContextHandle = field(default_factory=ContextHandle)
    partial: ContextHandle = field(default_factory=ContextHandle)
    spare: CredentialHandle = field(default_factory=CredentialHandle)
    empty: CredentialHandle = field(default_factory=CredentialHandle)
    fresh: ContextHandle = field(default_factory=ContextHandle)
    another: ContextHandle = field(default_factory=ContextHandle)

    @property
    def contexts(self) -> tuple[ContextHandle, ...]:
        """All handles of contexts."""
        return self.established, self.partial, self.fresh, self.another

    def free(self) -> None:
        """Free all credentials."""
        for credential in (self.credential, self.spare, self.empty):
            credential.free()


async def make_world(limits: Limits = DEFAULT_LIMITS) -> World:
    """Make one, to be put away by hand."""
    provider = ScriptedProvider([obey] * 8)
    credential, spare = CredentialHandle(), CredentialHandle()
    for handle in (credential, spare):
        call, use = (
            AsyncContext(),
            CredentialUse.BOTH if handle is credential else CredentialUse.INBOUND,
        )
        status = acquire_credentials_handle_async(
            call, None, provider, use, None, handle, limits=limits
        )
        assert status is S.SEC_E_OK
        assert (await call).status is S.SEC_E_OK
    world = World(provider, credential, spare=spare)
    await begun(world, b"alice:", world.established)
    await begun(world, b"alice:continue", world.partial)
    return world


@asynccontextmanager
async def a_world(limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[World]:
    """Make one, and see that nothing is left of it."""
    world = await make_world(limits)
    try:
        yield world
    finally:
        world.provider.release()
        for handle in world.contexts:
            await _put_away(handle)
        world.free()
    await nothing_is_left(world.provider)


async def _put_away(handle: ContextHandle) -> None:
    while handle.is_busy:
        await asyncio.sleep(0)
    if handle.is_valid:
        await delete(handle)


async def begun(world: World, token: bytes, handle: ContextHandle) -> SecurityStatus:
    """Take the first leg of a server."""
    call = AsyncContext()
    status = accept_security_context_async(
        call, world.credential, None, tokens(token), new_context=handle
    )
    assert status is S.SEC_E_OK, status.name
    return (await call).status


async def delete(handle: ContextHandle | None) -> None:
    """Delete a context and wait until it is done."""
    assert handle is not None
    call = AsyncContext()
    status = delete_security_context_async(call, handle)
    assert status is S.SEC_E_OK, status.name
    assert (await call).status is S.SEC_E_OK


async def person(handle: ContextHandle) -> object:
    """Ask who the peer is."""
    answer = await query_context_attributes(handle, ContextAttribute.NAMES)
    assert answer.status is S.SEC_E_OK, answer.status.name
    return answer.value


async def turns(count: int) -> None:
    """Let the loop turn some times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def nothing_is_left(provider: ScriptedProvider) -> None:
    """No context is open, as soon as the threads are out of the provider."""
    await until(lambda: not provider.open_contexts)
    assert provider.created == provider.deleted


Queueing = Callable[[AsyncContext, World], SecurityStatus]

QUEUEING: dict[str, Queueing] = {
    "acquire": lambda call, world: acquire_credentials_handle_async(
        call, None, world.provider, CredentialUse.INBOUND, None, world.empty
    ),
    "free": lambda call, world: free_credentials_handle_async(call, world.spare),
    "accept": lambda call, world: accept_security_context_async(
        call, world.credential, None, tokens(b"bob:"), new_context=world.fresh
    ),
    "accept-next": lambda call, world: accept_security_context_async(
        call, world.credential, world.partial, tokens(b"alice:")
    ),
    "initialize": lambda call, world: initialize_security_context_async(
        call, world.credential, None, "HTTP/localhost", new_context=world.fresh
    ),
    "delete": lambda call, world: delete_security_context_async(call, world.established),
}
"""Every function that queues something, with arguments that are right."""
