"""No malformed token of SPNEGO reaches libgssapi, whose versions 1.21 to 1.22.1 crash on it.

On those versions these tests kill their process where our own parser is left out.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from unittest.mock import patch

import pytest
from elements import mutate_element
from initiators import LateInitiator, fresh_token
from strategies import STRATEGIES, Way, outcome_of

from authsrv.codecs.der.reader import GENERAL_STRING, OCTET_STRING, SEQUENCE
from authsrv.codecs.der.writer import build_frame, encode, encode_field, encode_oid
from authsrv.codecs.known_prefixes import KnownPrefixes
from authsrv.codecs.spnego import KERBEROS, NTLM, SPNEGO, build_neg_token_init
from authsrv.core.results import Refused, Result
from authsrv.errors import InvalidTokenError, MutualAuthenticationError
from authsrv.handshake.initiator import Initiator
from authsrv.providers.base import InitiatorRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider
from authsrv.providers.gssapi.spnego import MICField, mic_field, read_first, read_next
from authsrv.providers.pyspnego import PyspnegoProvider
from authsrv.testing.handshakes import establish, open_context

each_way = pytest.mark.parametrize("way", STRATEGIES.values(), ids=STRATEGIES)

RESPONSE = encode_field(2, encode(OCTET_STRING, b"any bytes"))
MIC = encode_field(3, encode(OCTET_STRING, b"a checksum"))
BEHIND = encode_field(4, encode(OCTET_STRING, b"a checksum"))


def response(*fields: bytes) -> bytes:
    return encode_field(1, encode(SEQUENCE, *fields))


EVIL = {
    "a malformed field behind mechListMIC": response(RESPONSE, b"\xa4\x02\x05\x00"),
    "an empty field behind mechListMIC": response(RESPONSE, b"\xa4\x00"),
    "a field behind mechListMIC": response(RESPONSE, BEHIND),
    "a field behind the right ones": response(RESPONSE, MIC, BEHIND),
    "a malformed mechListMIC": response(RESPONSE, b"\xa3\x02\x05\x00"),
    "an empty mechListMIC": response(RESPONSE, b"\xa3\x00"),
    "fields out of order": response(MIC, RESPONSE),
    "a field twice": response(RESPONSE, RESPONSE),
    "no sequence": encode_field(1, RESPONSE + b"\xa4\x00"),
    "more behind the token": response(RESPONSE) + b"\x00",
    "an indefinite length": b"\xa1\x80" + response(RESPONSE)[2:] + b"\x00\x00",
}

each_evil_token = pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)


@each_way
@each_evil_token
def test_as_a_second_token_it_is_a_bad_token(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, way: Way, evil: bytes
) -> None:
    first = build_neg_token_init([NTLM, KERBEROS])
    outcome = outcome_of(way, GssapiProvider(kerberos_keytab), first, evil)
    assert outcome.startswith("bad-token: the token is malformed"), outcome


@each_way
@each_evil_token
def test_pyspnego_does_not_see_it_either(
    kerberos_environment: dict[str, str], way: Way, evil: bytes
) -> None:
    outcome = outcome_of(way, PyspnegoProvider(), evil)
    assert outcome.startswith(("bad-token: ", "lost-handshake: ")), outcome


@each_evil_token
def test_a_server_cannot_send_it_to_our_client(
    kerberos_environment: dict[str, str], evil: bytes
) -> None:
    async def run() -> Result:
        async with Initiator(GssapiInitiatorProvider()) as initiator:
            handshake = initiator.create_handshake(InitiatorRequest("HTTP/localhost"))
            await handshake.advance(b"")
            return (await handshake.advance(evil)).result

    result = asyncio.run(run())
    assert isinstance(result, Refused)
    assert isinstance(result.error, MutualAuthenticationError)


def test_a_client_of_three_legs_gets_in_whichever_field_libgssapi_reads(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    with open_context(GssapiProvider(kerberos_keytab)) as context:
        identity = establish(context, LateInitiator()).identity
    assert identity.principal == "alice@AUTHSRV.TEST"


def test_a_client_of_three_legs_with_a_wrong_mic_does_not(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    client = LateInitiator()
    with open_context(GssapiProvider(kerberos_keytab)) as context:
        token = client.step(None)
        for _ in range(2):
            answer = context.step(token or b"")
            token = client.step(getattr(answer, "token", b""))
        assert token is not None
        refused = context.step(token[:-1] + bytes([token[-1] ^ 1]))
    assert isinstance(refused, Refused), refused


def test_which_field_it_reads_is_found_by_asking(kerberos_environment: dict[str, str]) -> None:
    assert mic_field() in MICField
    resent = read_next(response(RESPONSE, MIC)).token
    assert resent == response(RESPONSE, {3: MIC, 4: BEHIND}[mic_field().value])


@pytest.mark.parametrize("number", [0x60, 0xA0])
def test_a_frame_that_is_not_der_is_read_by_nobody(number: int) -> None:
    """It must not be a matter of reading lengths whether a token is SPNEGO."""
    inner = encode(SEQUENCE, encode_field(0, b"\x30\x00"))
    for length in (
        bytes([0x80]),
        b"\x81\x05",
        b"\x84\x00\x00\x00\x05",
        b"\x85\x00\x00\x00\x00\x05",
    ):
        with pytest.raises(InvalidTokenError):
            read_first(bytes([number]) + length + inner)


def test_a_first_token_is_taken_for_the_same_whatever_came_before(
    kerberos_environment: dict[str, str],
) -> None:
    """What is remembered of tokens that begin alike hands nothing on that is malformed."""
    good = fresh_token()
    inner = read_first(good).kerberos
    assert inner is not None
    hints = encode_field(3, encode(SEQUENCE, encode_field(0, encode(GENERAL_STRING, b"hint"))))
    types = encode_field(0, encode(SEQUENCE, encode_oid(KERBEROS)))
    # Behind the hints stands what looks like the token itself.
    mechanism_token = encode_field(2, encode(OCTET_STRING, b"t"))
    with_hints = build_frame(
        SPNEGO, encode_field(0, encode(SEQUENCE, types, mechanism_token, hints))
    )
    chance = random.Random(1)
    tokens = [
        other
        for token in (good, with_hints)
        for _ in range(1_500)
        for other in (token, altered(token, chance), mutate_element(token, chance))
    ]
    with patch("authsrv.providers.gssapi.spnego._KNOWN", KnownPrefixes()):
        warm = [read_first_or_refuse(token) for token in (*tokens, *tokens)]
    for token, *seen in zip(tokens, warm, warm[len(tokens) :], strict=False):
        with patch("authsrv.providers.gssapi.spnego._KNOWN", KnownPrefixes()):
            assert seen == [read_first_or_refuse(token)] * 2


def altered(token: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(token))
    return token[:place] + chance.randbytes(1) + token[place + 1 :]


def read_first_or_refuse(token: bytes) -> object:
    try:
        return read_first(token)
    except InvalidTokenError as error:
        return error.detail
