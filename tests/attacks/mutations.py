"""What the content of one request can be: every list with every frame, and good tokens mutated.

    PYTHONPATH=tests/support python tests/attacks/mutations.py KEYTAB COUNT [SEED]

It runs in the environment of a realm whose user has logged in, and tells what came of the tokens.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator

from elements import mutate_element
from initiators import DELEGATE, INTEGRITY, MUTUAL, fresh_token, kerberos_token
from tickets import with_authenticator

from authsrv.codecs.der import reader as der
from authsrv.codecs.der.types import read_oid
from authsrv.codecs.der.writer import build_frame, encode_oid
from authsrv.codecs.spnego import (
    IAKERB,
    KERBEROS,
    MS_KERBEROS,
    NEGOEX,
    NTLM,
    SPNEGO,
    NegState,
    build_neg_token_init,
    build_neg_token_resp,
)
from authsrv.core.results import Continue, Refused, Result
from authsrv.errors import DeniedError, InvalidTokenError, PeerError
from authsrv.providers.base import ContextRequest, SecurityProvider
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos.keytab import KeytabFile, KeytabSnapshot
from authsrv.providers.pyspnego import PyspnegoProvider
from authsrv.stores.memory import MemoryStore
from authsrv.testing.handshakes import remembering

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


_LISTS = ((KERBEROS, NTLM), (MS_KERBEROS, KERBEROS, NTLM), (KERBEROS, NEGOEX), (NTLM, KERBEROS))


def good_tokens() -> list[bytes]:
    """Tokens of every shape that is accepted, each of which was not used yet."""
    shapes: list[bytes] = []
    for flags in ([MUTUAL], [INTEGRITY], [MUTUAL, DELEGATE]):
        shapes += [kerberos_token(flags=flags), fresh_token(flags=flags)]
        shapes += [build_neg_token_init(listed, kerberos_token(flags=flags)) for listed in _LISTS]
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


Tokens = tuple[bytes, ...]
_OFFER = build_neg_token_init([NTLM, KERBEROS])


class Mutations:
    """Handshakes with one token that is no good one, without end.

    Args:
        snapshot: The service's keys; with them authenticators are changed and encrypted anew, as a
            client does that has a ticket.
        seed: The same seed leads to the same changes, of other tickets.
    """

    def __init__(self, snapshot: KeytabSnapshot, seed: int) -> None:
        self._snapshot = snapshot
        self._chance = random.Random(seed)
        self._shapes = good_tokens()
        self._ways = (self._bytes, self._elements, self._elements, self._authenticator)

    def __iter__(self) -> Iterator[Tokens]:
        for number in itertools.count(1):
            if number % 500 == 0:
                self._shapes = good_tokens()
            later = self._chance.randrange(8)
            if later == 0:
                yield _OFFER, self._mutated(build_neg_token_resp(response_token=self._raw()))
            elif later == 1:
                # The third token, which proves the list of mechanisms.
                proof = build_neg_token_resp(NegState.ACCEPT_COMPLETED, mech_list_mic=bytes(28))
                second = build_neg_token_resp(response_token=kerberos_token())
                yield _OFFER, second, self._mutated(proof)
            else:
                yield (self._chance.choice(self._ways)(self._chance.choice(self._shapes)),)

    def _raw(self) -> bytes:
        raw = self._shapes[0]
        return self._authenticator(raw) if self._chance.random() < 0.5 else raw

    def _mutated(self, token: bytes) -> bytes:
        return self._chance.choice((self._bytes, self._elements))(token)

    def _bytes(self, token: bytes) -> bytes:
        return mutated(token, self._chance)

    def _elements(self, token: bytes) -> bytes:
        return mutate_element(token, self._chance)

    def _authenticator(self, token: bytes) -> bytes:
        try:
            return with_authenticator(token, self._snapshot, self._elements)
        except InvalidTokenError:
            # It offers another mechanism first, and so carries no request that is looked at.
            return self._elements(token)


def ask(provider: SecurityProvider, tokens: Tokens) -> Result:
    """What comes of a handshake; of its last token, if it gets that far."""
    context = remembering(provider.create_context(ContextRequest()), provider)
    try:
        for token in tokens:
            result = context.step(token)
            if not isinstance(result, Continue):
                break
        return result
    finally:
        context.delete()


def told(result: Result) -> str:
    return result.error.code if isinstance(result, Refused) else type(result).__name__


def is_our_fault(result: Result) -> bool:
    return isinstance(result, Refused) and not isinstance(result.error, PeerError | DeniedError)


def main() -> None:
    keytab, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    providers: list[SecurityProvider] = [
        GssapiProvider(keytab),
        GssapiProvider(keytab, replay=MemoryStore()),
        PyspnegoProvider(),
    ]
    outcomes: Counter[str] = Counter()
    began = time.monotonic()
    handshakes = Mutations(KeytabFile(keytab).snapshot(), seed)
    for number, tokens in enumerate(itertools.islice(handshakes, count)):
        result = ask(providers[number % len(providers)], tokens)
        outcomes[told(result)] += 1
        if is_our_fault(result):
            print(f"{providers[number % len(providers)]}: {result!r} by", end=" ")
            print(*(token.hex() for token in tokens), flush=True)
    print(f"{count} in {time.monotonic() - began:.0f} s: {dict(outcomes.most_common())}")


if __name__ == "__main__":
    main()
