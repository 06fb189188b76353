"""One table of the tokens that a server of Kerberos refuses: how each is made, and what is told.

The tests drive every way in by it: the provider by itself, HTTP, streams and the calls of SSPI.
What a client is told has a table of its own: `client_refusals`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from initiators import NTLM_NEGOTIATE
from recipes import (
    CACHES,
    CLIENTS,
    PATTERN,
    Recipe,
    altered,
    edited_inside,
    expired,
    for_a_service_that_is_not_accepted,
    for_an_alias,
    for_another_service,
    not_permitted,
    not_valid_yet,
    ntlm,
    of_an_encryption_type_without_a_key,
    of_another_key_version,
    over_an_untrusted_path,
    plain,
    replayed,
    replayed_with_options,
    skewed,
    with_the_wrong_key,
    with_unknown_authenticator,
    written_in_the_authenticator,
)
from tickets import flagged_invalid, in_field, with_bad_checksum, with_broken_pac

from authsrv.codecs.der.reader import OCTET_STRING, SEQUENCE, application_tag
from authsrv.codecs.der.writer import build_frame, encode
from authsrv.codecs.spnego import (
    IAKERB,
    KERBEROS,
    MS_KERBEROS,
    NEGOEX,
    NTLM,
    build_neg_token_init,
)
from authsrv.errors import (
    AuthsrvError,
    ClockSkewError,
    EncryptionTypeError,
    InvalidTokenError,
    KeyVersionError,
    LogonDeniedError,
    MechanismError,
    ReplayError,
    TicketExpiredError,
    UnknownCauseError,
    WrongServiceError,
)

__all__ = ["REFUSALS", "Refusal"]

_DATA = Path(__file__).parent.parent / "data"

# Who asks for a proof of the server, and who does not.
_BOTH = ("SPNEGO", "SPNEGO, not mutual")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row: the recipe, the error, and HTTP's answer."""

    make: Recipe = field(repr=False)
    error: type[AuthsrvError]
    status: int = 401


Rows = Iterable[tuple[str, Refusal]]


def _mechanisms() -> Rows:
    for name, token, offered in (
        ("an unknown mechanism", build_neg_token_init(["1.2.3.4"], PATTERN), "OID 1.2.3.4"),
        (
            "two unknown mechanisms",
            build_neg_token_init(["1.2.3.4", NEGOEX], PATTERN),
            "OID 1.2.3.4, NegoEx",
        ),
        (
            "an unknown mechanism before NTLM",
            build_neg_token_init(["1.2.3.4", NTLM]),
            "OID 1.2.3.4, NTLM",
        ),
        ("a frame of an unknown mechanism", build_frame("1.2.3.4", PATTERN), "OID 1.2.3.4"),
        ("NegoEx", build_neg_token_init([NEGOEX], b"NEGOEXTS" + bytes(88)), "NegoEx"),
        ("IAKERB", build_neg_token_init([IAKERB], PATTERN), "IAKERB"),
        ("a frame of IAKERB", build_frame(IAKERB, b"\x05\x01" + PATTERN), "IAKERB"),
    ):
        words = f"the client offers {offered}; only Kerberos is accepted here"
        yield name, Refusal(plain(token, words), MechanismError)
    for provider in ("gssapi", "pyspnego"):
        for name, token in (
            ("NTLM", NTLM_NEGOTIATE),
            ("NTLM without flags", NTLM_NEGOTIATE[:12]),
            ("NTLM in SPNEGO", build_neg_token_init([NTLM], NTLM_NEGOTIATE)),
            ("NTLM before NegoEx", build_neg_token_init([NTLM, NEGOEX], NTLM_NEGOTIATE)),
        ):
            yield f"{name}, {provider}", Refusal(ntlm(provider, token), MechanismError)


def _replays() -> Rows:
    for cache in CACHES:
        for client, settings in CLIENTS.items():
            for shell in ("as sent", "raw", "MS-Kerberos first"):
                recipe = replayed(shell, settings, cache)
                yield f"a replay, {client}, {shell}, {cache}", Refusal(recipe, ReplayError)
        for options in ("0400000000", "00", "000000000000", "0018000001"):
            recipe = replayed_with_options(options, cache)
            yield f"a replay with the options {options}, {cache}", Refusal(recipe, ReplayError)


def _services_and_keys() -> Rows:
    yield "another service", Refusal(for_another_service, WrongServiceError)
    yield "a service not accepted", Refusal(for_a_service_that_is_not_accepted, WrongServiceError)
    yield "another key version", Refusal(of_another_key_version, KeyVersionError)
    yield "no key of its type", Refusal(of_an_encryption_type_without_a_key, EncryptionTypeError)
    yield "the wrong key", Refusal(with_the_wrong_key, LogonDeniedError)
    for client in _BOTH:
        recipe = not_permitted(CLIENTS[client])
        yield f"a type that krb5.conf excludes, {client}", Refusal(recipe, EncryptionTypeError)


def _times() -> Rows:
    yield "a ticket not valid yet", Refusal(not_valid_yet, TicketExpiredError)
    yield "a clock far ahead", Refusal(skewed(4000, {}), ClockSkewError)
    for client, settings in CLIENTS.items():
        yield f"an expired ticket, {client}", Refusal(expired(settings), TicketExpiredError)
        yield f"a clock ahead, {client}", Refusal(skewed(420, settings), ClockSkewError)
        yield f"a clock behind, {client}", Refusal(skewed(-420, settings), ClockSkewError)


def _altered() -> Rows:
    for client, settings in CLIENTS.items():
        for part, at in (
            ("ticket", 0),
            ("ticket", -1),
            ("authenticator", 0),
            ("authenticator", -1),
        ):
            recipe = altered(f"{part}_cipher", at, settings)
            yield f"an altered {part} at {at}, {client}", Refusal(recipe, LogonDeniedError)
    yield (
        "an authenticator of another type",
        Refusal(with_unknown_authenticator, LogonDeniedError),
    )


_INVALID = "the ticket is flagged invalid: it was postdated, and the KDC has not validated it"
_BROKEN_PAC = "the ticket's PAC is broken: libkrb5 cannot read it"
_ANOTHER_CLIENT = "the authenticator names another client than its ticket"
_UNKNOWN_SUBKEY = re.escape(
    "krb5.conf (permitted_enctypes, allow_rc4) does not permit enctype 99, which the request needs"
)
# The authenticator's checksum, which libkrb5 leaves to libgssapi.
_BY_LIBGSSAPI = (
    r"libgssapi refuses what libkrb5 finds no fault in \(GSS major 0x\w+, minor 0x\w+\): "
    "key, times, signatures and encryption types are good, and it is no replay"
)


def _insides() -> Rows:
    for client in _BOTH:
        settings = CLIENTS[client]
        for name, edit, words in (
            ("flagged invalid", flagged_invalid, _INVALID),
            ("with a broken PAC", with_broken_pac, _BROKEN_PAC),
        ):
            recipe = edited_inside(edit, words, settings)
            yield f"a ticket {name}, {client}", Refusal(recipe, LogonDeniedError)
        recipe = for_an_alias(_INVALID, settings)
        yield f"a ticket for an alias, {client}", Refusal(recipe, LogonDeniedError)
        recipe = over_an_untrusted_path(settings)
        yield f"a path that is not trusted, {client}", Refusal(recipe, LogonDeniedError)
        # RFC 4120 section 5.5.1: the fields of an authenticator.
        for name, edit, kind, words in (
            (
                "another version",
                in_field(0, 1, b"\x04"),
                InvalidTokenError,
                "the Kerberos token is malformed",
            ),
            ("another realm", in_field(1, 1, b"OTHER"), LogonDeniedError, _ANOTHER_CLIENT),
            ("no name that prints", in_field(2, -1, b"\xff"), LogonDeniedError, _ANOTHER_CLIENT),
            (
                "a short checksum",
                in_field(3, -1, bytes(23)),
                InvalidTokenError,
                "the authenticator's checksum has no room for channel bindings",
            ),
            ("a wrong checksum", with_bad_checksum, UnknownCauseError, _BY_LIBGSSAPI),
            ("an unknown subkey", in_field(6, 3, b"\x63"), EncryptionTypeError, _UNKNOWN_SUBKEY),
        ):
            recipe = written_in_the_authenticator(edit, words, settings)
            yield f"an authenticator with {name}, {client}", Refusal(recipe, kind)


_NO_TOKEN = "the token is no valid SPNEGO or Kerberos token"
_CUT_OFF = "the token is truncated or malformed"
_NOT_INITIAL = "the token is not an initial token"
_MALFORMED = "the token is malformed: "


def _captured(name: str) -> bytes:
    return bytes.fromhex((_DATA / f"{name}.hex").read_text())


def _ap_req(content: bytes) -> bytes:
    return build_frame(KERBEROS, b"\x01\x00" + content)


def _no_requests() -> Iterable[tuple[str, bytes, str]]:
    """Frames of Kerberos with anything but a request in them."""
    octets = encode(application_tag(14), encode(SEQUENCE, encode(OCTET_STRING, bytes(90))))
    for name, frame, words in (
        ("no AP-REQ", _ap_req(PATTERN), _CUT_OFF),
        ("no ASN.1", _ap_req(b"garbage inside"), _CUT_OFF),
        ("an empty AP-REQ", _ap_req(encode(application_tag(14))), _CUT_OFF),
        ("an octet string for a ticket", _ap_req(octets), _CUT_OFF),
        ("nothing", _ap_req(b""), _CUT_OFF),
        ("zeros", _ap_req(bytes(500)), _CUT_OFF),
        ("another message", _ap_req(encode(application_tag(10), bytes(40))), _CUT_OFF),
        ("high bytes", _ap_req(b"\xff" * 99), _CUT_OFF),
        ("no token id", build_frame(KERBEROS, b""), _CUT_OFF),
        ("no AP-REP", build_frame(KERBEROS, b"\x02\x00" + PATTERN), _NOT_INITIAL),
        ("an AP-REP", _captured("krb5_ap_rep"), _NOT_INITIAL),
        ("a KRB-ERROR", _captured("krb5_krb_error_wrong_service"), _NOT_INITIAL),
    ):
        yield name, frame, words
        yield f"{name} in SPNEGO", build_neg_token_init([KERBEROS], frame), words


def _garbage() -> Rows:
    for name, token, words in (
        *_no_requests(),
        (
            "an unknown token id",
            build_frame(KERBEROS, b"\x09\x09" + _captured("krb5_ap_req")[17:]),
            _NOT_INITIAL,
        ),
        ("any bytes", PATTERN, _NO_TOKEN),
        ("a zero", b"\x00", _NO_TOKEN),
        ("zeros", bytes(1000), _NO_TOKEN),
        ("a word", b"garbage", _NO_TOKEN),
        ("a tag", b"\x60", f"{_MALFORMED}DER: the element 0x60 is missing or cut off"),
        (
            "an indefinite length",
            b"\x60\x80",
            f"{_MALFORMED}DER: a length is indefinite, too large or cut off",
        ),
        (
            "a large length",
            b"\x60\x84\xff\xff\xff\xff",
            f"{_MALFORMED}DER: the element 0x60 is cut off",
        ),
        (
            "a frame cut off",
            b"\x60\x82\xff\xff" + PATTERN,
            f"{_MALFORMED}DER: the element 0x60 is cut off",
        ),
        (
            "an empty NegTokenResp",
            b"\xa1\x00",
            f"{_MALFORMED}DER: the element 0x30 is missing or cut off",
        ),
        ("no token in SPNEGO", build_neg_token_init([KERBEROS], PATTERN), _NO_TOKEN),
        ("a text as Kerberos", build_neg_token_init([KERBEROS], b"that is no AP-REQ"), _NO_TOKEN),
        (
            "a text as MS-Kerberos",
            build_neg_token_init([MS_KERBEROS], b"that is no AP-REQ"),
            _NO_TOKEN,
        ),
    ):
        yield f"garbage: {name}", Refusal(plain(token, words), InvalidTokenError)


def _rows() -> Rows:
    yield from _mechanisms()
    yield from _replays()
    yield from _services_and_keys()
    yield from _times()
    yield from _altered()
    yield from _insides()
    yield from _garbage()


REFUSALS: dict[str, Refusal] = dict(_rows())
