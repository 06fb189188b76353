"""Finding a token where none may be: in a log, in an error's text, in a response.

A token shows itself as it is, in base64, in hexadecimal, or the way `repr` writes bytes. Eight of
its bytes in a row are enough to call it a leak: fewer occur by chance. What a token says in plain
letters is left out, because names (the service, the realm) stand in tickets and may stand in logs.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import traceback
from collections.abc import Callable, Iterator

__all__ = ["find_leak", "overhear"]

_WINDOW = 8
# Two groups of base64 lie within any eight bytes, wherever the encoding began.
_GROUPS = 8
_HEX = 2 * _WINDOW
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|[\\'\"nrt])")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t"}
_URL_SAFE = str.maketrans("-_", "+/")


def find_leak(text: str, token: bytes) -> str | None:
    """Look for a piece of a token in a text.

    Args:
        text: What somebody can read: log lines, a response with its headers, a repr.
        token: The token that must not show in it; 8 bytes or more. A shorter one is never found.

    Returns:
        How a piece of it shows, such as "hexadecimal at 17"; None where none does. The piece
        itself is not told.
    """
    return next(_leaks(text, token), None)


def _leaks(text: str, token: bytes) -> Iterator[str]:
    plain = set(_byte_windows(token))
    yield from _seek("plain bytes", text, _WINDOW, plain.__contains__)
    yield from _seek("a repr", _ESCAPE.sub(_unescape, text), _WINDOW, plain.__contains__)
    pairs = {token[at : at + _WINDOW].hex() for at in range(len(token) - _WINDOW + 1)}
    yield from _seek("hexadecimal", text.lower(), _HEX, pairs.__contains__)
    groups = set(_base64_windows(token))
    yield from _seek("base64", text.translate(_URL_SAFE), _GROUPS, groups.__contains__)


def _seek(form: str, text: str, size: int, is_piece: Callable[[str], bool]) -> Iterator[str]:
    for at in range(len(text) - size + 1):
        if is_piece(text[at : at + size]):
            yield f"{form} at {at}"


def _byte_windows(token: bytes) -> Iterator[str]:
    for at in range(len(token) - _WINDOW + 1):
        window = token[at : at + _WINDOW].decode("latin-1")
        if not (window.isascii() and window.isprintable()):
            yield window


def _base64_windows(token: bytes) -> Iterator[str]:
    for shift in range(3):
        encoded = base64.b64encode(token[shift:]).decode().rstrip("=")
        for at in range(0, len(encoded) - _GROUPS + 1, 4):
            yield encoded[at : at + _GROUPS]


def _unescape(found: re.Match[str]) -> str:
    code = found.group(1)
    if code.startswith("x"):
        return chr(int(code[1:], 16))
    return _PLAIN.get(code, code)


class _Listener(logging.Handler):
    """Notes all of a record: its text, its arguments, its traceback."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(f"{record.getMessage()} {vars(record)}")
        if record.exc_info:
            self._lines.extend(traceback.format_exception(*record.exc_info))


@contextlib.contextmanager
def overhear(lines: list[str]) -> Iterator[None]:
    """Append to `lines` all that is logged in the block, with arguments and tracebacks.

    It hears every level that the loggers' own settings let pass.
    """
    root, listener = logging.getLogger(), _Listener(lines)
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(listener)
