"""What the content of one request can be: every list with every frame, and good tokens mutated.

    PYTHONPATH=tests python tests/attacks/mutations.py KEYTAB COUNT [SEED]

It runs in the environment of a realm whose user has logged in, and tells what came of each token.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from initiators import INTEGRITY, MUTUAL, fresh_token, kerberos_token

from authsrv.errors import DeniedError, PeerError
from authsrv.packages.base import ContextRequest
from authsrv.packages.gssapi import GssapiPackage
from authsrv.packages.replay import MITReplayCache, ProcessReplayCache
from authsrv.results import Refused, Result
from authsrv.tokens import der
from authsrv.tokens.der_types import read_oid
from authsrv.tokens.der_writer import build_frame, encode_oid
from authsrv.tokens.spnego import (
    IAKERB,
    KERBEROS,
    MS_KERBEROS,
    NEGOEX,
    NTLM,
    SPNEGO,
    build_neg_token_init,
)

OLD_KERBEROS = "1.3.5.1.5.2"
"""Kerberos 5 by the OID of a draft, which libgssapi knows to this day."""
UNKNOWN = "1.2.3.4"
OIDS = (KERBEROS, MS_KERBEROS, OLD_KERBEROS, IAKERB, NTLM, NEGOEX, SPNEGO, UNKNOWN)


def framed(token: bytes, oid: str) -> bytes:
    """The same request of Kerberos in the frame of another mechanism."""
    reader = der.open_frame(token)
    read_oid(reader)
    return build_frame(oid, reader.take_rest())


def lists_and_frames(request: bytes) -> Iterator[tuple[str, bytes]]:
    """Every list of one or two mechanisms, with the request framed, bare, cut or absent."""
    bare = der.open_frame(request)
    read_oid(bare)
    insides: dict[str, bytes | None] = {oid: framed(request, oid) for oid in OIDS}
    insides |= {"bare": bare.take_rest()[2:], "cut": request[:-9], "empty": b"", "absent": None}
    for name, inside in insides.items():
        if inside:
            yield f"{name} alone", inside
        for size in (1, 2):
            for listed in itertools.product(OIDS, repeat=size):
                yield f"{name} in {listed}", build_neg_token_init(listed, inside)


def good_tokens() -> list[bytes]:
    """Tokens of every shape that is accepted, each of which was not used yet."""
    shapes: list[bytes] = []
    for flags in ([MUTUAL], [INTEGRITY]):
        raw = kerberos_token(flags=flags)
        shapes += [raw, fresh_token(flags=flags)]
        for listed in ((MS_KERBEROS, KERBEROS, NTLM), (KERBEROS, NEGOEX), (NTLM, KERBEROS)):
            shapes.append(build_neg_token_init(listed, kerberos_token(flags=flags)))
    return shapes


_FRAGMENTS = [
    *map(encode_oid, OIDS),
    *(bytes.fromhex(text) for text in ("00", "30", "a0", "a1", "a2", "a3", "a4", "0400", "80ff")),
    bytes.fromhex("84ffffffff"),
    b"\x60\x80",
]


def mutated(token: bytes, chance: random.Random) -> bytes:
    """A token with one to three changes, most of them where no ciphertext is."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        end = len(token) if chance.random() < 0.3 else min(len(token), 220)
        at = chance.randrange(end) if end else 0
        size = chance.choice((1, 1, 1, 2, 4, 16))
        change = chance.randrange(7)
        if change == 0:
            token = token[:at] + bytes((token[at] ^ 1 << chance.randrange(8),)) + token[at + 1 :]
        elif change == 1:
            token = token[:at] + chance.randbytes(size) + token[at + size :]
        elif change == 2:
            token = token[:at] + token[at + size :]
        elif change == 3:
            token = token[:at] + token[at : at + size] + token[at:]
        elif change == 4:
            token = token[:at] + chance.choice(_FRAGMENTS) + token[at:]
        elif change == 5:
            part = chance.choice(_FRAGMENTS)
            token = token[:at] + part + token[at + len(part) :]
        else:
            token = (
                token[:at] if chance.random() < 0.2 else token[:at] + b"\x00" * size + token[at:]
            )
        if not token:
            return b"\x60"
    return token


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """That many mutations of good tokens, of which there are new ones now and then."""
    chance = random.Random(seed)
    shapes: Sequence[bytes] = ()
    for number in range(count):
        if number % 500 == 0:
            shapes = good_tokens()
        yield mutated(chance.choice(shapes), chance)


def ask(package: GssapiPackage, token: bytes) -> Result:
    context = package.create_context(ContextRequest())
    try:
        return context.step(token)
    finally:
        context.delete()


def told(result: Result) -> str:
    return result.error.slug if isinstance(result, Refused) else type(result).__name__


def main() -> None:
    keytab, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    packages = [
        GssapiPackage(keytab, replay=kind()) for kind in (MITReplayCache, ProcessReplayCache)
    ]
    outcomes: Counter[str] = Counter()
    began = time.monotonic()
    for number, token in enumerate(mutations(count, seed)):
        result = ask(packages[number % 2], token)
        outcomes[told(result)] += 1
        if isinstance(result, Refused) and not isinstance(result.error, PeerError | DeniedError):
            print(f"a fault of ours: {result.error!r} by {token.hex()}", flush=True)
    print(
        f"{count} in {time.monotonic() - began:.0f} s: {dict(outcomes.most_common())}", flush=True
    )


if __name__ == "__main__":
    main()
