"""One choice of replay protection, measured in a process of its own.

usage: replay.py CHOICE KEYTAB TOKENS FOLDER

Takes every token of the file through the gssapi package, on one thread and without a loop, and
prints the processor time of one in microseconds. Fails if the first token is accepted once more.
"""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable
from pathlib import Path

from authsrv.core.results import Established, Result
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.replay import MITReplayCache, ProcessReplayCache, ReplayProtection

_CHOICES: dict[str, Callable[[str], ReplayProtection]] = {
    "mit_default_file": lambda folder: MITReplayCache(),
    "mit_file_in_memory": lambda folder: MITReplayCache(f"file2:{folder}/rcache"),
    "in_process": lambda folder: ProcessReplayCache(),
}


def take(package: GssapiProvider, token: bytes) -> Result:
    """Take one token through a context of its own."""
    context = package.create_context(ContextRequest())
    try:
        return context.step(token)
    finally:
        context.delete()


def main() -> None:
    """Measure the choice that the command line names."""
    choice, keytab, path, folder = sys.argv[1:]
    tokens = [base64.b64decode(line) for line in Path(path).read_text().splitlines()]
    package = GssapiProvider(keytab, replay=_CHOICES[choice](folder))
    package.check()
    begun = time.process_time()
    results = [take(package, token) for token in tokens]
    used = time.process_time() - begun
    if not all(isinstance(result, Established) for result in results):
        sys.exit("a fresh token was refused")
    if isinstance(take(package, tokens[0]), Established):
        sys.exit("a replay was accepted")
    print(used / len(tokens) * 1e6)


if __name__ == "__main__":
    main()
