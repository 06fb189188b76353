"""A process that accepts tokens: what test_replay starts several of.

    python accepting.py KEYTAB CACHE

It says "ready", or what is in the way. Then it reads tokens from its standard input, one a line in
base64, and answers each with a line: the principal, or the slug of the error.
"""

from __future__ import annotations

import base64
import sys

from authsrv.errors import AuthsrvError
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiPackage
from authsrv.providers.replay import MITReplayCache, ProcessReplayCache, ReplayProtection
from authsrv.core.results import Established, Refused


def choose(cache: str) -> ReplayProtection:
    return ProcessReplayCache() if cache == "process" else MITReplayCache(cache)


def judge(package: GssapiPackage, token: bytes) -> str:
    context = package.create_context(ContextRequest())
    result = context.step(token)
    context.delete()
    if isinstance(result, Established):
        return result.identity.principal
    return result.error.slug if isinstance(result, Refused) else "continue"


def check(package: GssapiPackage) -> str:
    try:
        package.check()
    except AuthsrvError as error:
        return error.cause
    return "ready"


def main() -> None:
    package = GssapiPackage(sys.argv[1], replay=choose(sys.argv[2]))
    print(check(package), flush=True)
    for line in sys.stdin:
        print(judge(package, base64.b64decode(line)), flush=True)


if __name__ == "__main__":
    main()
