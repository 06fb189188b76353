"""What finds tokens where none may be must find them in every form, and nothing else."""

from __future__ import annotations

import base64
import logging
import urllib.parse

import pytest

from authsrv.testing.leaks import find_leak, overhear

TOKEN = bytes((7 * number + 129) % 256 for number in range(90))
PIECE = TOKEN[31:60]

FORMS = {
    "repr": lambda piece: f"cannot read {piece!r}, sorry",
    "repr of a repr": lambda piece: repr(piece)[2:-1],
    "bytearray": lambda piece: repr(bytearray(piece)),
    "hexadecimal": lambda piece: f"token={piece.hex()}",
    "hexadecimal in capitals": lambda piece: piece.hex().upper(),
    "base64": lambda piece: f"Negotiate {base64.b64encode(piece).decode()}",
    "base64 for addresses": lambda piece: base64.urlsafe_b64encode(piece).decode(),
    "base64 without its end": lambda piece: base64.b64encode(piece).decode().rstrip("=")[:-1],
    "latin-1": lambda piece: piece.decode("latin-1"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_token_is_found_in_every_form(form: str) -> None:
    assert find_leak(FORMS[form](TOKEN), TOKEN) is not None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("start", range(6))
def test_a_piece_of_it_is_found_in_every_form(form: str, start: int) -> None:
    assert find_leak(FORMS[form](TOKEN[start : start + 16]), TOKEN) is not None


@pytest.mark.parametrize("start", range(20))
def test_eight_bytes_are_enough(start: int) -> None:
    for show in (repr, bytes.hex):
        assert find_leak(show(TOKEN[start : start + 8]), TOKEN) is not None


@pytest.mark.parametrize("form", FORMS)
def test_another_token_is_none(form: str) -> None:
    other = bytes(255 - byte for byte in TOKEN)
    assert find_leak(FORMS[form](other), TOKEN) is None


def test_names_that_stand_in_a_token_in_plain_letters_may_be_told() -> None:
    token = b"\x1b\x0cAUTHSRV.TEST\x1b\x09localhost" + TOKEN
    assert find_leak("the ticket is for HTTP/localhost@AUTHSRV.TEST", token) is None


def test_what_is_found_is_not_repeated() -> None:
    told = find_leak(FORMS["hexadecimal"](PIECE), TOKEN)
    assert told == "hexadecimal at 6"


def test_a_token_that_is_too_short_to_tell_is_not_found() -> None:
    assert find_leak("1234567", b"\x01234567") is None
    assert find_leak("", TOKEN) is None


def test_text_of_all_kinds_is_looked_through() -> None:
    text = "\\ \\x \\xzz \\' \n\t" + urllib.parse.quote(PIECE) + "é"
    assert find_leak(text, TOKEN) is None


class TestOverhear:
    def test_hears_all_levels_arguments_and_tracebacks(self) -> None:
        lines: list[str] = []
        logger = logging.getLogger("somebody")
        with overhear(lines):
            logger.debug("a %s", "quiet word")
            logger.info("no %(place)s", {"place": "place"})
            try:
                raise ValueError("said the exception")
            except ValueError:
                logger.exception("oh")
        heard = "\n".join(lines)
        for words in ("a quiet word", "no place", "said the exception", "Traceback"):
            assert words in heard

    def test_leaves_the_loggers_as_they_were(self) -> None:
        root = logging.getLogger()
        before = root.level, list(root.handlers)
        lines: list[str] = []
        with pytest.raises(KeyError), overhear(lines):
            raise KeyError
        assert (root.level, list(root.handlers)) == before
        logging.getLogger("somebody").error("not heard")
        assert lines == []

    def test_does_not_make_a_logger_speak_that_is_held(self) -> None:
        held = logging.getLogger("somebody.held")
        held.setLevel(logging.INFO)
        lines: list[str] = []
        with overhear(lines):
            held.debug("not heard")
        assert lines == []
