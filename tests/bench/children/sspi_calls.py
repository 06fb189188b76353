"""The calls of SSPI beside the plain handshake, on the same package, in a process of its own.

usage: sspi_calls.py KEYTAB TOKENS ROUNDS

The two take turns, round by round, with sixteen handshakes under way; every token is used once.
Prints one JSON object: the processor time of one handshake in microseconds for each round, `plain`
and `sspi`, and `threads`, how many threads a thousand pending calls had beside the main one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import uvloop

from authsrv.core.results import Established
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.scripted import ALICE, Delay, ScriptedProvider
from authsrv.sspi import (
    AsyncContext,
    BufferType,
    CredentialHandle,
    SecBuffer,
    SecBufferDesc,
    SecurityStatus,
    accept_security_context_async,
    acquire_credentials,
    delete_security_context_async,
    get_async_call_status,
)

_AT_ONCE = 16
_PENDING = 1_000
_OK = SecurityStatus.SEC_E_OK


async def take_plainly(acceptor: Acceptor, token: bytes) -> None:
    """One handshake as HTTP and streams drive it."""
    leg = await acceptor.create_handshake().advance(token)
    if not isinstance(leg.result, Established):
        sys.exit(f"a fresh token was refused: {leg.result}")


async def take_by_calls(credential: CredentialHandle, token: bytes) -> None:
    """One handshake by the calls, up to the deletion of the context."""
    given = SecBufferDesc((SecBuffer(BufferType.TOKEN, token), SecBuffer(BufferType.EMPTY)))
    output = SecBufferDesc((SecBuffer(BufferType.TOKEN),))
    call = AsyncContext()
    accept_security_context_async(call, credential, None, given, output=output)
    result = await call
    if result.status is not _OK or result.context is None:
        sys.exit(f"a fresh token was refused: {result.status.name}")
    deletion = AsyncContext()
    delete_security_context_async(deletion, result.context)
    await deletion


async def cost(take: Callable[[bytes], Awaitable[None]], tokens: Sequence[bytes]) -> float:
    """The processor time of one handshake, in microseconds."""
    left: Iterator[bytes] = iter(tokens)

    async def work() -> None:
        for token in left:
            await take(token)

    begun = time.process_time()
    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return (time.process_time() - begun) / len(tokens) * 1e6


async def count_threads() -> int:
    """Queue a thousand calls on a package that does not answer yet."""
    package = ScriptedProvider([Delay(60, Established(ALICE))])
    async with acquire_credentials(package) as credential:
        before = threading.active_count()
        calls = [AsyncContext() for _ in range(_PENDING)]
        for call in calls:
            given = SecBufferDesc((SecBuffer(BufferType.TOKEN, b"token"),))
            accept_security_context_async(call, credential, None, given)
        await asyncio.sleep(0.5)
        if any(get_async_call_status(c) is not _PENDING_STATUS for c in calls):
            sys.exit("a call ended although its package did not answer")
        threads = threading.active_count() - before
        package.release()
        for call in calls:
            result = await call
            if result.context is None:
                sys.exit(f"a pending call failed: {result.status.name}")
            delete_security_context_async(AsyncContext(), result.context)
    return threads


_PENDING_STATUS = SecurityStatus.SEC_I_ASYNC_CALL_PENDING


async def main(keytab: str, tokens: list[bytes], rounds: int) -> None:
    """Measure what the command line names."""
    first = tokens[0]
    package = GssapiProvider(keytab)
    share = len(tokens) // (2 * rounds)
    costs: dict[str, list[float]] = {"plain": [], "sspi": []}
    async with Acceptor(package) as acceptor, acquire_credentials(package) as credential:
        takes: dict[str, Callable[[bytes], Awaitable[None]]] = {
            "plain": lambda token: take_plainly(acceptor, token),
            "sspi": lambda token: take_by_calls(credential, token),
        }
        for number in range(rounds):
            # Whoever goes first finds another machine than whoever goes last.
            for name in takes if number % 2 else reversed(takes):
                costs[name].append(await cost(takes[name], tokens[:share]))
                del tokens[:share]
        leg = await acceptor.create_handshake().advance(first)
        if isinstance(leg.result, Established):
            sys.exit("a replay was accepted")
    print(json.dumps({**costs, "threads": await count_threads()}))


if __name__ == "__main__":
    lines = Path(sys.argv[2]).read_text().splitlines()
    uvloop.run(main(sys.argv[1], [base64.b64decode(line) for line in lines], int(sys.argv[3])))
