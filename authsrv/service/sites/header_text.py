"""Text in header fields: three ways to write what is not ASCII, and none to write a control.

No value has a blank at an end: whoever reads a field takes them away, and so " root" became "root".
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

__all__ = ["Encoding", "encode_list", "encode_text", "is_plain"]

# RFC 2047 section 2: an encoded word has 75 characters at most; 45 bytes make 60 of base64.
_BYTES_OF_WORD: Final = 45


class Encoding(enum.Enum):
    """How what is not ASCII is written."""

    UTF_8 = "utf-8"
    RFC2047 = "rfc2047"
    PERCENT = "percent"
    """RFC 3986: all but unreserved characters and "@"."""


def is_plain(text: str) -> bool:
    """Whether a text is printable, and has no blank at an end; the empty text is."""
    return text.isprintable() and text == text.strip()


def encode_text(text: str, encoding: Encoding) -> bytes:
    """Write a text.

    Args:
        text: Plain, as `is_plain` has it; with percent signs, any text without surrogates.
        encoding: How.
    """
    match encoding:
        case Encoding.UTF_8:
            return text.encode()
        case Encoding.RFC2047:
            return _encoded_words(text)
        case Encoding.PERCENT:
            return quote(text, safe="@").encode()


def encode_list(
    texts: Sequence[str], encoding: Encoding, joiner: str, budget: int
) -> tuple[bytes, int, int]:
    """Write several texts as one value.

    Args:
        texts: In their order. Empty ones are unfit.
        encoding: How; with percent signs, the joiner and controls can be written in a text.
        joiner: What stands between them; ASCII signs that percent signs encode, perhaps a blank.
        budget: How many bytes the value may have.

    Returns:
        The value, how many texts were left out as unfit, and how many did not fit into the budget.
        The first that does not fit ends the value.
    """
    fitting = [text for text in texts if _is_fit(text, encoding, joiner)]
    unfit = len(texts) - len(fitting)
    if encoding is Encoding.RFC2047:
        # The joined text is encoded as a whole: words are split at blanks, which joiners may have.
        return _longest(fitting, joiner, budget, unfit)
    room, parts = budget + len(joiner), []
    for text in fitting:
        part = encode_text(text, encoding)
        room -= len(part) + len(joiner)
        if room < 0:
            break
        parts.append(part)
    return joiner.encode().join(parts), unfit, len(fitting) - len(parts)


def _longest(texts: list[str], joiner: str, budget: int, unfit: int) -> tuple[bytes, int, int]:
    low, high = 0, len(texts)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_encoded_words(joiner.join(texts[:middle]))) <= budget:
            low = middle
        else:
            high = middle - 1
    return _encoded_words(joiner.join(texts[:low])), unfit, len(texts) - low


def _is_fit(text: str, encoding: Encoding, joiner: str) -> bool:
    if not text:
        return False
    if encoding is Encoding.PERCENT:
        return not any("\ud800" <= sign <= "\udfff" for sign in text)
    return is_plain(text) and joiner.strip() not in text


def _encoded_words(text: str) -> bytes:
    # What looks like an encoded word would be decoded, too.
    if text.isascii() and "=?" not in text:
        return text.encode()
    words, chunk = [], b""
    for sign in text:
        encoded = sign.encode()
        if len(chunk) + len(encoded) > _BYTES_OF_WORD:
            words.append(chunk)
            chunk = b""
        chunk += encoded
    return b" ".join(b"=?utf-8?B?%s?=" % base64.b64encode(word) for word in [*words, chunk])
