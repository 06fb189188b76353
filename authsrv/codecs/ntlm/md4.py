"""MD4 (RFC 1320), which OpenSSL 3 and therefore hashlib lack, and NTLM's keys are made with.

It is not a secure hash, and is here for NTOWFv2 alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

__all__ = ["md4"]

_WORD = 0xFFFF_FFFF
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_BLOCK = 64

# RFC 1320 section 3.4: of each round the function, constant, order of the words, and shifts.
_ROUNDS: Sequence[tuple[Callable[[int, int, int], int], int, Sequence[int], Sequence[int]]] = (
    (lambda x, y, z: (x & y) | (~x & z), 0, range(16), (3, 7, 11, 19)),
    (
        lambda x, y, z: (x & y) | (x & z) | (y & z),
        0x5A827999,
        (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
        (3, 5, 9, 13),
    ),
    (
        lambda x, y, z: x ^ y ^ z,
        0x6ED9EBA1,
        (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15),
        (3, 9, 11, 15),
    ),
)


def md4(data: bytes) -> bytes:
    """Make the MD4 digest, 16 bytes."""
    filler = bytes(-(len(data) + 9) % _BLOCK)
    padded = data + b"\x80" + filler + struct.pack("<Q", len(data) * 8 & 0xFFFF_FFFF_FFFF_FFFF)
    state = _START
    for at in range(0, len(padded), _BLOCK):
        state = _mix(state, struct.unpack_from("<16L", padded, at))
    return struct.pack("<4L", *state)


def _mix(state: tuple[int, int, int, int], words: Sequence[int]) -> tuple[int, int, int, int]:
    a, b, c, d = state
    for function, constant, order, shifts in _ROUNDS:
        for step, index in enumerate(order):
            total = (a + function(b, c, d) + words[index] + constant) & _WORD
            shift = shifts[step % 4]
            a, b, c, d = d, (total << shift | total >> (32 - shift)) & _WORD, b, c
    before_a, before_b, before_c, before_d = state
    return (
        (a + before_a) & _WORD,
        (b + before_b) & _WORD,
        (c + before_c) & _WORD,
        (d + before_d) & _WORD,
    )
