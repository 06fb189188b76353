"""Holds handshakes that wait for a second token, and tells what memory they take.

usage: pending.py scripted|gssapi COUNT KEYTAB

Prints the growth of the resident memory in bytes while COUNT handshakes are pending, and what is
left of it after all were closed. The clients' first token is one that asks for a second.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from dataclasses import replace
from pathlib import Path

from authsrv.core.limits import DEFAULT_LIMITS
from authsrv.core.results import Continue
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.driver import Handshake
from authsrv.providers.base import SecurityProvider
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.scripted import ScriptedProvider

_WARM_UP = 100
# NegTokenInit of RFC 4178 section 4.2.1 with the mechanism Kerberos and no token of it: MIT asks
# for one.
_NO_MECH_TOKEN = bytes.fromhex("601b06062b0601050502a011300fa00d300b06092a864886f712010202")


def make_provider(kind: str, keytab: str) -> tuple[SecurityProvider, bytes]:
    """Make a package, and a token that it answers with CONTINUE_NEEDED."""
    if kind == "gssapi":
        return GssapiProvider(keytab), _NO_MECH_TOKEN
    return ScriptedProvider([Continue(b"more")]), b"first"


def resident_bytes() -> int:
    """Answer the resident memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def begin(acceptor: Acceptor, token: bytes) -> Handshake:
    """Begin a handshake and bring it to where it waits for a second token."""
    handshake = acceptor.create_handshake()
    leg = await handshake.advance(token)
    if not isinstance(leg.result, Continue):
        sys.exit(f"the package answered {leg.result!r}")
    return handshake


async def main() -> None:
    """Measure what the command line names."""
    kind, count, keytab = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    package, token = make_provider(kind, keytab)
    limits = replace(DEFAULT_LIMITS, max_pending=count + _WARM_UP, handshake_seconds=300.0)
    async with Acceptor(package, limits=limits) as acceptor:
        for handshake in [await begin(acceptor, token) for _ in range(_WARM_UP)]:
            handshake.close()
        before = resident_bytes()
        held = [await begin(acceptor, token) for _ in range(count)]
        pending = resident_bytes()
        if acceptor.pending != count:
            sys.exit(f"{acceptor.pending} handshakes are pending, not {count}")
        for handshake in held:
            handshake.close()
        held.clear()
        await asyncio.sleep(1.0)  # contexts are deleted by the workers
        print(pending - before, resident_bytes() - before)


if __name__ == "__main__":
    asyncio.run(main())
