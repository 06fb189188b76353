"""A process that accepts tokens: what test_replay starts several of.

    python accepting.py KEYTAB CACHE

It says "ready", or what is in the way. Then it reads tokens from its standard input, one a line in
base64, and answers each with a line: the principal, or the code of the error.
"""

from __future__ import annotations

import base64
import sys

from authsrv.core.results import Established, Refused
from authsrv.errors import AuthsrvError
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.replay import MITReplayCache, ReplayProtection
from authsrv.stores.machine import MachineStore
from authsrv.stores.memory import MemoryStore
from authsrv.testing.handshakes import open_context


def choose(cache: str) -> ReplayProtection:
    if cache == "process":
        return MemoryStore()
    return MachineStore(cache) if cache.startswith("/") else MITReplayCache(cache)


def judge(provider: GssapiProvider, token: bytes) -> str:
    with open_context(provider) as context:
        result = context.step(token)
    if isinstance(result, Established):
        return result.identity.principal
    return result.error.code if isinstance(result, Refused) else "continue"


def check(provider: GssapiProvider) -> str:
    try:
        provider.check()
    except AuthsrvError as error:
        return error.detail
    return "ready"


def main() -> None:
    provider = GssapiProvider(sys.argv[1], replay=choose(sys.argv[2]))
    print(check(provider), flush=True)
    for line in sys.stdin:
        print(judge(provider, base64.b64decode(line)), flush=True)


if __name__ == "__main__":
    main()
