"""The PAC is found where Windows and MIT put it, and nowhere else; broken data hold none."""

from __future__ import annotations

import pytest

from authsrv.codecs.der import reader as der
from authsrv.codecs.der.reader import OCTET_STRING, SEQUENCE, Reader
from authsrv.codecs.der.writer import build_frame, encode, encode_field, encode_integer
from authsrv.codecs.kerberos.authorization import read_pac
from authsrv.codecs.kerberos.messages import parse_asked_service
from authsrv.codecs.spnego import KERBEROS
from authsrv.errors import InvalidTokenError

IF_RELEVANT, PAC, OTHER = 1, 128, 2


def elements(*pairs: tuple[int, bytes]) -> bytes:
    """Authorization data: RFC 4120 section 5.2.6."""
    return encode(
        SEQUENCE,
        *(
            encode(
                SEQUENCE,
                encode_field(0, encode_integer(kind, der.INTEGER)),
                encode_field(1, encode(OCTET_STRING, data)),
            )
            for kind, data in pairs
        ),
    )


@pytest.mark.parametrize(
    ("data", "pac"),
    [
        (elements((IF_RELEVANT, elements((PAC, b"the pac")))), b"the pac"),
        (
            elements((OTHER, b"x"), (IF_RELEVANT, elements((OTHER, b"x"), (PAC, b"the pac")))),
            b"the pac",
        ),
        (
            elements((IF_RELEVANT, elements((OTHER, b"x"))), (IF_RELEVANT, elements((PAC, b"2")))),
            b"2",
        ),
        (elements((PAC, b"outside")), b""),
        (elements((OTHER, elements((PAC, b"elsewhere")))), b""),
        (elements((IF_RELEVANT, elements((OTHER, b"x")))), b""),
        (elements((IF_RELEVANT, b"no elements")), b""),
        (b"no elements", b""),
        (b"", b""),
    ],
)
def test_the_pac_is_found_where_it_belongs(data: bytes, pac: bytes) -> None:
    assert read_pac(Reader(data)) == pac


def test_an_answer_of_a_server_asks_for_no_service() -> None:
    with pytest.raises(InvalidTokenError, match="not an AP-REQ"):
        parse_asked_service(build_frame(KERBEROS, b"\x02\x00" + b"an AP-REP"))
