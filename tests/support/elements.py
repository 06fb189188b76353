"""Mutations that keep lengths right, so that what is changed is reached by whoever reads it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from authsrv.codecs.der.writer import encode

__all__ = ["Element", "grow", "mutate_element", "read_elements"]

_CONSTRUCTED = 0x20
_OCTET_STRING = 0x04
_TAGS = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A, 0x18, 0x1B, 0x30, 0x60, 0x6E, 0xA0, 0xA3, 0xA9)
_ODD_NUMBERS = tuple(
    number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    for number in (0, 1, 3, 5, 17, 18, 19, 20, 23, 26, 127, 128, -1, -138, 2**31 - 1, 2**31, 2**32)
)


@dataclass(slots=True)
class Element:
    """An element of DER, taken apart as far as it can be."""

    tag: int
    content: bytes
    inside: list[Element] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        return encode(self.tag, b"".join(map(bytes, self.inside)) or self.content)

    def walk(self) -> Iterator[Element]:
        yield self
        for inner in self.inside:
            yield from inner.walk()


def read_elements(data: bytes) -> list[Element]:
    """All elements of which the data consists; none where it does not consist of such.

    The token id of Kerberos, 0x01 0x00, reads like an element, and so does what stands in a frame.
    """
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            return []
        size, start = data[at + 1], at + 2
        if size >= 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[at + 2 : start])
        if start + size > len(data):
            return []
        content = data[start : start + size]
        opens = data[at] & _CONSTRUCTED or (data[at] == _OCTET_STRING and content[:1] == b"\x60")
        found.append(Element(data[at], content, read_elements(content) if opens else []))
        at = start + size
    return found


def mutate_element(data: bytes, chance: random.Random) -> bytes:
    """One to three changes to elements, with all lengths around them right."""
    elements = read_elements(data)
    if not elements:
        return data
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        every = [element for outermost in elements for element in outermost.walk()]
        chance.choice(_CHANGES)(chance.choice(every), every, chance)
    return b"".join(map(bytes, elements))


def _retag(element: Element, every: list[Element], chance: random.Random) -> None:
    element.tag = chance.choice((chance.choice(_TAGS), element.tag ^ 1 << chance.randrange(5)))


def _rewrite(element: Element, every: list[Element], chance: random.Random) -> None:
    element.content = chance.choice(
        (
            b"",
            chance.choice(_ODD_NUMBERS),
            chance.randbytes(chance.choice((1, 4, 16, 300))),
            element.content * 2,
            element.content[: chance.randrange(len(element.content) + 1)],
            element.content + b"\x00",
            b"\xff" * len(element.content),
        )
    )
    element.inside = []


def _flip(element: Element, every: list[Element], chance: random.Random) -> None:
    if not element.inside and element.content:
        at = chance.randrange(len(element.content))
        changed = element.content[at] ^ 1 << chance.randrange(8)
        element.content = element.content[:at] + bytes((changed,)) + element.content[at + 1 :]


def _borrow(element: Element, every: list[Element], chance: random.Random) -> None:
    other = chance.choice(every)
    element.content, element.inside = bytes(other), []


def _leave_out(element: Element, every: list[Element], chance: random.Random) -> None:
    if element.inside:
        del element.inside[chance.randrange(len(element.inside))]


def _repeat(element: Element, every: list[Element], chance: random.Random) -> None:
    if element.inside:
        element.inside.append(chance.choice(element.inside))


def _disorder(element: Element, every: list[Element], chance: random.Random) -> None:
    chance.shuffle(element.inside)


def grow(element: Element, every: list[Element], chance: random.Random) -> None:
    """Thousands of elements where there are few."""
    if element.inside:
        element.inside *= chance.choice((2, 30, 300))


Change = Callable[[Element, list[Element], random.Random], None]
_CHANGES: tuple[Change, ...] = (
    _retag,
    _rewrite,
    _rewrite,
    _rewrite,
    _flip,
    _flip,
    _borrow,
    _leave_out,
    _repeat,
    _disorder,
    grow,
)
