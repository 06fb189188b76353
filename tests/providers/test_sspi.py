"""The provider over sspilib: for real against sspi-rs, with pyspnego and sspi-rs as clients."""

from __future__ import annotations

import datetime
import gc
import hmac
import struct
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import pytest
import spnego
import sspilib.raw as raw
from answers import error_of

from authsrv.codecs.ntlm.md4 import md4
from authsrv.codecs.ntlm.proof import agreed_attributes, verify_proof
from authsrv.core.attributes import (
    ContextAttribute,
    ContextSizes,
    NegotiationInfo,
    PackageInfo,
    SessionKey,
)
from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.credentials import Password
from authsrv.core.flags import AscReq, AscRet, IscReq, IscRet
from authsrv.core.outcome import Outcome, outcome_of
from authsrv.core.results import CompleteNeeded, Continue, Established, Incomplete, Refused, Result
from authsrv.core.status import SecurityStatus, WindowsCode
from authsrv.errors import (
    AuthsrvError,
    BadBindingsError,
    ConfigError,
    InvalidTokenError,
    LogonDeniedError,
    ProviderFaultError,
    StateError,
    UnavailableError,
    UnexpectedTokenError,
    UnsupportedFunctionError,
)
from authsrv.providers.base import ContextRequest, InitiatorRequest, SecurityContext
from authsrv.providers.sspi.attributes import attributes_from_client, expiry_of
from authsrv.providers.sspi.codes import error_from_native, error_from_windows
from authsrv.providers.sspi.provider import SspiInitiatorProvider, SspiProvider, SspiRsUse

S = SecurityStatus
SSPI_RS = pytest.mark.skipif(sys.platform == "win32", reason="what sspi-rs does, not Windows")
PASSWORD = "Pässword 1"
ALICE = Password("alice", PASSWORD, "DOMAIN")


def provider(name: str = "NTLM", credential: Password | None = ALICE) -> SspiProvider:
    return SspiProvider(name, credential=credential, sspi_rs=SspiRsUse.FOR_TESTS)


def acceptor(request: ContextRequest | None = None) -> SecurityContext:
    return provider().create_context(request or ContextRequest())


class Ntlm:
    """pyspnego's NTLM client."""

    def __init__(
        self, user: str = "DOMAIN\\alice", password: str = PASSWORD, bindings: bytes | None = None
    ) -> None:
        native = None
        if bindings is not None:
            native = spnego.channel_bindings.GssChannelBindings(application_data=bindings)
        self.context = spnego.client(
            user, password, hostname="localhost", protocol="ntlm", channel_bindings=native
        )

    def step(self, token: bytes | None = None) -> bytes:
        return self.context.step(token) or b""


def log_in(context: SecurityContext, client: Ntlm) -> Result:
    first = context.step(client.step())
    assert isinstance(first, Continue), first
    second = context.step(client.step(first.token))
    return context.complete() if isinstance(second, CompleteNeeded) else second


@SSPI_RS
@pytest.mark.parametrize("name", ["Negotiate", "Kerberos", "NTLM"])
def test_sspi_rs_is_refused_as_a_server_unless_a_test_asks_for_it(name: str) -> None:
    with pytest.raises(ConfigError, match="SSPI on this system is sspi-rs, which is for tests: "):
        SspiProvider(name, credential=ALICE)
    with pytest.raises(ConfigError, match="is for tests") as caught:
        SspiProvider(name, credential=ALICE, sspi_rs=SspiRsUse.REFUSED)
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION
    assert SspiProvider(name, sspi_rs=SspiRsUse.FOR_TESTS).package == name


@SSPI_RS
def test_an_initiator_needs_no_permission_and_accepts_nobody() -> None:
    initiator = SspiInitiatorProvider("NTLM", credential=ALICE)
    assert repr(initiator) == "<SspiInitiatorProvider NTLM>"
    first = initiator.create_initiator(InitiatorRequest("HTTP/localhost")).step(b"")
    assert isinstance(first, Continue)
    assert not hasattr(initiator, "create_context")


def test_the_last_leg_wants_complete_auth_token_and_that_establishes() -> None:
    context, client = acceptor(), Ntlm()
    first = context.step(client.step())
    assert isinstance(first, Continue)
    assert first.token.startswith(b"NTLMSSP\x00\x02")
    second = context.step(client.step(first.token))
    if sys.platform != "win32":
        assert second == CompleteNeeded()
        with pytest.raises(StateError):
            context.query(ContextAttribute.NAMES)
        second = context.complete()
    assert isinstance(second, Established)
    identity = second.identity
    assert (identity.principal, identity.mechanism) == ("DOMAIN\\alice", "ntlm")
    assert identity.expires_at is None
    context.delete()


@pytest.mark.parametrize("flags", [AscReq(0), AscReq.CONFIDENTIALITY | AscReq.INTEGRITY])
def test_attributes_are_those_that_sspi_tells(flags: AscReq) -> None:
    context = acceptor(ContextRequest(flags=flags | AscReq.ALLOCATE_MEMORY))
    result = log_in(context, Ntlm())
    assert isinstance(result, Established)
    wanted = AscRet.CONFIDENTIALITY | AscRet.INTEGRITY
    assert (result.identity.attributes & wanted == wanted) == bool(flags)
    assert not result.identity.attributes & AscRet.ALLOCATED_MEMORY
    context.delete()


def test_every_attribute_is_told_or_unsupported() -> None:
    context, client = acceptor(), Ntlm()
    log_in(context, client)
    kinds = {
        ContextAttribute.SIZES: ContextSizes,
        ContextAttribute.NAMES: str,
        ContextAttribute.SESSION_KEY: SessionKey,
        ContextAttribute.PACKAGE_INFO: PackageInfo,
        ContextAttribute.NEGOTIATION_INFO: NegotiationInfo,
        ContextAttribute.FLAGS: AscRet,
    }
    for attribute, kind in kinds.items():
        assert isinstance(context.query(attribute), kind)
    assert context.query(ContextAttribute.LIFESPAN) is None
    key = context.query(ContextAttribute.SESSION_KEY)
    assert isinstance(key, SessionKey)
    assert key.value == client.context.session_key
    info = context.query(ContextAttribute.PACKAGE_INFO)
    assert isinstance(info, PackageInfo)
    assert info.name == "NTLM"
    with pytest.raises(UnsupportedFunctionError):
        context.query(ContextAttribute.CLIENT_SPECIFIED_TARGET)
    context.delete()


@SSPI_RS
def test_a_wrong_password_is_denied_by_complete_auth_token_with_its_code() -> None:
    context, client = acceptor(), Ntlm(password="wrong")
    first = context.step(client.step())
    assert isinstance(first, Continue)
    assert isinstance(context.step(client.step(first.token)), CompleteNeeded)
    error = error_of(context.complete())
    assert isinstance(error, LogonDeniedError)
    assert error.status is S.SEC_E_LOGON_DENIED
    assert error.native == WindowsCode(0x8009030C)
    with pytest.raises(StateError):
        context.query(ContextAttribute.NAMES)


@SSPI_RS
@pytest.mark.parametrize("name", ["DOMAIN\\bob", "OTHER\\alice", "alice2"])
def test_whoever_knows_the_password_is_nobody_else_by_it(name: str) -> None:
    error = error_of(log_in(acceptor(), Ntlm(user=name)))
    assert isinstance(error, LogonDeniedError)


@SSPI_RS
def test_names_are_compared_as_windows_does_and_told_as_the_server_knows_them() -> None:
    result = log_in(acceptor(), Ntlm(user="domain\\ALICE"))
    assert isinstance(result, Established)
    assert result.identity.principal == "DOMAIN\\alice"


@SSPI_RS
@pytest.mark.parametrize("name", ["alice", "ADMINS\\alice"])
def test_a_domain_that_the_server_does_not_know_is_not_told(name: str) -> None:
    known = Password("alice", PASSWORD)
    result = log_in(provider(credential=known).create_context(ContextRequest()), Ntlm(user=name))
    assert isinstance(result, Established)
    assert result.identity.principal == "alice"


# The proof of the password, which sspi-rs does not compare.

UNICODE, SIGN, SEAL, NTLM_VERSION, TARGET_INFO = 0x1, 0x10, 0x20, 0x02000000, 0x00800000
NOTHING = AscReq(0)
PLAIN = UNICODE | NTLM_VERSION | 0x80000 | 0x200
KEY_EXCHANGE = 0x40000000
CLAIMS_A_MIC = {6: struct.pack("<L", 2)}


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


def prove(challenge: bytes, known: Password, pairs: dict[int, bytes] | None = None) -> bytes:
    """An NTLMv2 response: MS-NLMP section 3.3.2, the proof with the AV pairs that it covers."""
    items = ({2: utf16("DOMAIN")} | (pairs or {})).items()
    target = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in items)
    proven = b"\x01\x01" + bytes(6) + bytes(8) + b"\xaa" * 8 + bytes(4) + target + bytes(8)
    name = utf16(known.user.upper() + (known.domain or ""))
    key = hmac.digest(md4(utf16(known.password)), name, "md5")
    return hmac.digest(key, challenge[24:32] + proven, "md5") + proven


def authenticate(
    response: bytes,
    flags: int = PLAIN,
    *,
    user: str = "alice",
    domain: str = "DOMAIN",
    mic: bytes = b"",
    key: bytes = b"",
) -> bytes:
    """An AUTHENTICATE_MESSAGE: MS-NLMP section 2.2.1.3."""
    at, body, fields = 72 + len(mic), b"", []
    for value in (bytes(24), response, utf16(domain), utf16(user), b"", key):
        fields.append(struct.pack("<HHL", len(value), len(value), at + len(body)))
        body += value
    head = b"NTLMSSP\x00\x03\x00\x00\x00" + b"".join(fields) + struct.pack("<L", flags)
    return head + bytes.fromhex("0a0063450000000f") + mic + body


def challenged(flags: AscReq = NOTHING) -> tuple[SecurityContext, bytes]:
    context = acceptor(ContextRequest(flags=flags))
    first = context.step(Ntlm().step())
    assert isinstance(first, Continue)
    return context, first.token


def finish(context: SecurityContext, message: bytes) -> Result:
    result = context.step(message)
    return context.complete() if isinstance(result, CompleteNeeded) else result


MIC_OF_NOTHING = bytes(16)
STRANGER = Password("alice", "what a stranger guesses", "DOMAIN")
FORGERIES = {
    "no flags of AV pairs": (PLAIN | TARGET_INFO, {}, MIC_OF_NOTHING, b""),
    "flags without a MIC": (PLAIN | TARGET_INFO, {6: bytes(4)}, MIC_OF_NOTHING, b""),
    "no target info": (PLAIN, CLAIMS_A_MIC, b"", b""),
    "no target info, and a key": (PLAIN | KEY_EXCHANGE, {}, b"", bytes(16)),
    "a wrong MIC": (PLAIN | TARGET_INFO, CLAIMS_A_MIC, MIC_OF_NOTHING, b""),
    "unknown flags of AV pairs": (
        PLAIN | TARGET_INFO,
        {6: struct.pack("<L", 0xFFFFFFFF)},
        MIC_OF_NOTHING,
        b"",
    ),
}


@SSPI_RS
@pytest.mark.parametrize("forgery", FORGERIES)
def test_nobody_gets_in_without_the_password_though_sspi_rs_checks_no_proof(forgery: str) -> None:
    flags, pairs, mic, key = FORGERIES[forgery]
    context, challenge = challenged()
    response = prove(challenge, STRANGER, pairs)
    error = error_of(finish(context, authenticate(response, flags, mic=mic, key=key)))
    assert isinstance(error, LogonDeniedError)


@SSPI_RS
@pytest.mark.parametrize("bit", range(32))
def test_no_flag_gets_anybody_in_without_the_password(bit: int) -> None:
    context, challenge = challenged()
    response = prove(challenge, STRANGER, CLAIMS_A_MIC)
    flags = (PLAIN | TARGET_INFO) ^ 1 << bit
    result = finish(context, authenticate(response, flags, mic=MIC_OF_NOTHING))
    assert isinstance(error_of(result), InvalidTokenError | LogonDeniedError)


@SSPI_RS
def test_a_client_that_sends_no_mic_and_knows_the_password_gets_in() -> None:
    context, challenge = challenged()
    result = finish(context, authenticate(prove(challenge, ALICE)))
    assert isinstance(result, Established)
    assert result.identity.principal == "DOMAIN\\alice"


@SSPI_RS
def test_a_name_that_sspi_rs_tells_and_nobody_proved_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("authsrv.providers.sspi.provider.user_name", lambda context: "DOMAIN\\bob")
    assert isinstance(error_of(log_in(acceptor(), Ntlm())), LogonDeniedError)


@SSPI_RS
def test_a_message_that_names_nobody_is_not_taken_for_the_user_whom_sspi_rs_knows() -> None:
    context, challenge = challenged()
    message = authenticate(prove(challenge, ALICE), user="", domain="")
    assert isinstance(error_of(finish(context, message)), InvalidTokenError)


@SSPI_RS
@pytest.mark.parametrize("flags", [AscReq(0), AscReq.ALLOW_NULL_SESSION])
def test_an_anonymous_client_of_ntlm_does_not_get_in(flags: AscReq) -> None:
    """MS-NLMP section 3.2.5.1.2: no name, no response, and the flag for it."""
    context, _ = challenged(flags)
    message = authenticate(b"", PLAIN | 0x800, user="", domain="")
    assert isinstance(error_of(finish(context, message)), InvalidTokenError)


# MS-NLMP section 4.2.4: NTLMv2 with the values of section 4.2.1.
EXAMPLE_CHALLENGE = b"NTLMSSP\x00\x02\x00\x00\x00" + bytes(12) + bytes.fromhex("0123456789abcdef")
EXAMPLE_RESPONSE = bytes.fromhex(
    "68cd0ab851e51c96aabc927bebef6a1c"
    "01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000"
    "02000c0044006f006d00610069006e0001000c00530065007200760065007200"
    "0000000000000000"
)
EXAMPLE = authenticate(EXAMPLE_RESPONSE, user="User", domain="Domain")


def test_the_proof_is_that_of_the_specification() -> None:
    verify_proof(Password("User", "Password", "Domain"), EXAMPLE_CHALLENGE, EXAMPLE)


@pytest.mark.parametrize(
    "other",
    [
        Password("User", "password", "Domain"),
        Password("User", "", "Domain"),
        Password("User2", "Password", "Domain"),
        Password("User", "Password", "Domain2"),
    ],
)
def test_another_password_or_name_is_not_proven(other: Password) -> None:
    with pytest.raises(LogonDeniedError):
        verify_proof(other, EXAMPLE_CHALLENGE, EXAMPLE)


def test_a_proof_is_good_for_one_challenge() -> None:
    other = EXAMPLE_CHALLENGE[:-1] + b"\x00"
    with pytest.raises(LogonDeniedError):
        verify_proof(Password("User", "Password", "Domain"), other, EXAMPLE)


def test_a_message_that_is_cut_off_or_altered_proves_nothing() -> None:
    known = Password("User", "Password", "Domain")
    refused = (InvalidTokenError, LogonDeniedError)
    for at in range(len(EXAMPLE)):
        with pytest.raises(refused):
            verify_proof(known, EXAMPLE_CHALLENGE, EXAMPLE[:at])
    names_and_response = [*range(12), *range(20, 24), *range(28, 32), *range(36, 40)]
    for at in [*names_and_response, *range(72 + 24, 72 + 24 + len(EXAMPLE_RESPONSE))]:
        if at in (22, 23, 30, 31, 38, 39):  # MaxLen, which is ignored: section 2.2.1.3
            continue
        altered = EXAMPLE[:at] + bytes((EXAMPLE[at] ^ 0x40,)) + EXAMPLE[at + 1 :]
        with pytest.raises(refused):
            verify_proof(known, EXAMPLE_CHALLENGE, altered)


@pytest.mark.parametrize(
    ("altered", "told"),
    [
        (EXAMPLE[:60] + bytes(4) + EXAMPLE[64:], "not in Unicode"),
        (EXAMPLE.replace("User".encode("utf-16-le"), b"\x00\xd8" * 4), "names no user"),
    ],
    ids=["not in Unicode", "half a character"],
)
def test_names_that_cannot_be_read_prove_nothing(altered: bytes, told: str) -> None:
    assert altered != EXAMPLE
    with pytest.raises(InvalidTokenError, match=told):
        verify_proof(Password("User", "Password", "Domain"), EXAMPLE_CHALLENGE, altered)


@pytest.mark.parametrize("length", [0, 16, 24, 43])
def test_a_response_that_is_not_of_ntlmv2_proves_nothing(length: int) -> None:
    message = authenticate(EXAMPLE_RESPONSE[:length], user="User", domain="Domain")
    with pytest.raises(LogonDeniedError):
        verify_proof(Password("User", "Password", "Domain"), EXAMPLE_CHALLENGE, message)


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        ("a", "bde52cb31de33e46245e05fbdbd6fb24"),
        ("abc", "a448017aaf21d8525fc10ae87aa6729d"),
        ("message digest", "d9130a8164549fe818874806e1c7014b"),
        ("abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        (
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "043f8582f241db351ce627e153e7f0e4",
        ),
        ("1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4_is_that_of_its_test_suite(text: str, digest: str) -> None:
    assert md4(text.encode()).hex() == digest


# Attributes, which sspi-rs only says after us.

PROTECTION = AscRet.CONFIDENTIALITY | AscRet.INTEGRITY
EVERYTHING = AscReq.CONFIDENTIALITY | AscReq.INTEGRITY | AscReq.MUTUAL_AUTH | AscReq.DELEGATE


@SSPI_RS
@pytest.mark.parametrize(
    ("agreed", "attributes"),
    [
        (0, AscRet(0)),
        (SIGN, AscRet.INTEGRITY),
        (SIGN | SEAL, PROTECTION),
    ],
)
def test_a_server_has_what_both_sides_agreed_on_and_not_what_it_asked_for(
    agreed: int, attributes: AscRet
) -> None:
    context, challenge = challenged(EVERYTHING)
    result = finish(context, authenticate(prove(challenge, ALICE), PLAIN | agreed))
    assert isinstance(result, Established)
    assert result.identity.attributes == attributes


def test_nothing_is_agreed_on_in_what_is_no_ntlm() -> None:
    message = authenticate(b"", PLAIN | SIGN | SEAL)
    challenge = b"NTLMSSP\x00\x02\x00\x00\x00" + bytes(8) + b"\xff" * 4
    assert agreed_attributes(challenge, message) & PROTECTION == PROTECTION
    for pair in ((b"", message), (challenge, b"\xff" * 80), (message, challenge), (challenge,) * 2):
        assert agreed_attributes(*pair) == AscRet(0)


@SSPI_RS
def test_a_client_of_ntlm_has_not_authenticated_its_server_whatever_it_asked_for() -> None:
    asked = IscReq.MUTUAL_AUTH | IscReq.DELEGATE | IscReq.INTEGRITY
    request = InitiatorRequest("HTTP/localhost", flags=asked, required=AscRet.MUTUAL_AUTH)
    client, server = provider().create_initiator(request), acceptor()
    first = client.step(b"")
    assert isinstance(first, Continue)
    challenge = server.step(first.token)
    assert isinstance(challenge, Continue)
    last = client.step(challenge.token)
    assert isinstance(last, Established)
    assert not last.identity.attributes & (AscRet.MUTUAL_AUTH | AscRet.DELEGATE)
    assert last.identity.attributes & AscRet.INTEGRITY


@SSPI_RS
def test_a_client_takes_no_empty_token_from_its_server() -> None:
    client = provider().create_initiator(InitiatorRequest("HTTP/localhost"))
    assert isinstance(client.step(b""), Continue)
    assert isinstance(error_of(client.step(b"")), UnexpectedTokenError)


def challenge_of(size: int) -> bytes:
    """A CHALLENGE_MESSAGE of a server that has much to tell: MS-NLMP section 2.2.1.2."""
    head = b"NTLMSSP\x00\x02\x00\x00\x00" + struct.pack("<HHL", 2, 2, 56)
    name, clock = struct.pack("<HHH", 2, 2, 0x44), struct.pack("<HHQ", 7, 8, 1 << 57)
    much = size - 56 - 2 - len(name) - 4 - len(clock) - 4
    info = name + struct.pack("<HH", 3, much) + b"A" * much + clock + bytes(4)
    fields = struct.pack("<HHL", len(info), len(info), 58)
    flags = struct.pack("<L", PLAIN | TARGET_INFO | SIGN)
    version = bytes.fromhex("0a0063450000000f")
    return head + flags + b"12345678" + bytes(8) + fields + version + b"D\x00" + info


@SSPI_RS
@pytest.mark.parametrize("size", [200, 65_400, 65_536])
def test_a_server_that_tells_much_overruns_no_buffer(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = provider().create_initiator(InitiatorRequest("HTTP/localhost"))
    assert isinstance(client.step(b""), Continue)
    real, challenge = raw.initialize_security_context, challenge_of(size)

    def initialize(*given: Any) -> object:
        # Before the library writes: afterwards, it would be too late to fail.
        assert given[6][0].count >= size + 1_000
        return real(*given)

    monkeypatch.setattr(raw, "initialize_security_context", initialize)
    result = client.step(challenge)
    assert isinstance(result, Established)
    assert len(challenge) == size
    assert size < len(result.token) < size + 1_000


# Time, which sspi-rs does not tell, though sspilib does.


@SSPI_RS
def test_what_lies_on_the_stack_is_no_expiry(monkeypatch: pytest.MonkeyPatch) -> None:
    real = raw.accept_security_context
    in_2030 = 135_378_432_000_000_000
    assert expiry_of(in_2030) is not None
    monkeypatch.setattr(
        raw, "accept_security_context", lambda *given: real(*given)._replace(expiry=in_2030)
    )
    result = log_in(acceptor(), Ntlm())
    assert isinstance(result, Established)
    assert result.identity.expires_at is None


CUTS = {
    "half of the first": (lambda token: token[:12], S.SEC_E_INTERNAL_ERROR),
    "garbage": (lambda token: bytes(range(40)), S.SEC_E_INVALID_TOKEN),
    "the second message first": (
        lambda token: token[:8] + struct.pack("<L", 2) + token[12:],
        S.SEC_E_INVALID_TOKEN,
    ),
    "the third message first": (
        lambda token: token[:8] + struct.pack("<L", 3) + token[12:],
        S.SEC_E_INVALID_TOKEN,
    ),
}


@SSPI_RS
@pytest.mark.parametrize("cut", CUTS)
def test_what_sspi_rs_says_of_malformed_first_messages(cut: str) -> None:
    spoil, expected = CUTS[cut]
    error = error_of(acceptor().step(spoil(Ntlm().step())))
    assert error.status is expected
    # A client must not be able to make it our fault.
    assert isinstance(error, InvalidTokenError)


SECOND = {
    "garbage": (lambda last, first: bytes(range(40)), S.SEC_E_INVALID_TOKEN),
    "the first message again": (lambda last, first: first, S.SEC_E_INVALID_TOKEN),
    "half of the second": (lambda last, first: last[:40], S.SEC_E_INTERNAL_ERROR),
}


@SSPI_RS
@pytest.mark.parametrize("wrong", SECOND)
def test_what_sspi_rs_says_of_malformed_second_messages_and_that_it_is_the_end(wrong: str) -> None:
    spoil, expected = SECOND[wrong]
    context, client = acceptor(), Ntlm()
    first = client.step()
    challenge = context.step(first)
    assert isinstance(challenge, Continue)
    last = client.step(challenge.token)
    error = error_of(context.step(spoil(last, first)))
    assert error.status is expected
    assert isinstance(error, InvalidTokenError)
    assert isinstance(error_of(context.step(last)), UnexpectedTokenError)


@SSPI_RS
def test_sspi_rs_knows_the_end_of_a_handshake() -> None:
    """Our own guard comes first; so this asks the library."""
    context, client = acceptor(), Ntlm()
    assert isinstance(log_in(context, client), Established)
    context._ended = False  # type: ignore[attr-defined]
    error = error_of(context.step(Ntlm().step()))
    assert error.status is S.SEC_E_OUT_OF_SEQUENCE
    assert isinstance(error, UnexpectedTokenError)


@SSPI_RS
def test_negotiate_of_sspi_rs_takes_no_ntlm_and_check_says_so() -> None:
    shared = provider("Negotiate")
    with pytest.raises(ConfigError, match="does not accept Negotiate"):
        shared.check()
    error = error_of(shared.create_context(ContextRequest()).step(Ntlm().step()))
    assert error.status is S.SEC_E_INVALID_TOKEN
    client = shared.create_initiator(InitiatorRequest("HTTP/localhost"))
    server = shared.create_context(ContextRequest())
    first = client.step(b"")
    assert isinstance(first, Continue)
    challenge = server.step(first.token)
    assert isinstance(challenge, Continue)
    answer = client.step(challenge.token)
    assert isinstance(answer, Continue)
    assert error_of(server.step(answer.token)).status is S.SEC_E_INTERNAL_ERROR


def test_an_empty_token_is_refused_before_sspi_sees_it() -> None:
    assert isinstance(error_of(acceptor().step(b"")), UnexpectedTokenError)


def test_tokens_after_the_end_and_after_deletion_are_refused() -> None:
    context = acceptor()
    assert isinstance(log_in(context, Ntlm()), Established)
    assert isinstance(error_of(context.step(Ntlm().step())), UnexpectedTokenError)
    assert isinstance(error_of(context.complete()), StateError)
    context.delete()
    context.delete()
    assert isinstance(error_of(context.step(Ntlm().step())), UnexpectedTokenError)
    with pytest.raises(StateError):
        context.query(ContextAttribute.NAMES)


@SSPI_RS
@pytest.mark.parametrize(
    ("theirs", "kind"),
    [(b"tls:ours", Established), (None, Established), (b"tls:theirs", BadBindingsError)],
)
def test_channel_bindings_are_compared_where_the_client_sends_some(
    theirs: bytes | None, kind: type
) -> None:
    bindings = ChannelBindings(b"tls:ours", BindingPolicy.ALLOW)
    result = log_in(acceptor(ContextRequest(bindings)), Ntlm(bindings=theirs))
    assert isinstance(result.error if isinstance(result, Refused) else result, kind)


@SSPI_RS
def test_channel_bindings_cannot_be_required_of_sspi_rs() -> None:
    with pytest.raises(ConfigError, match="cannot require"):
        acceptor(ContextRequest(ChannelBindings(b"tls:ours")))


def test_a_package_that_there_is_not_is_secpkg_not_found() -> None:
    with pytest.raises(ConfigError, match="SEC_E_SECPKG_NOT_FOUND") as caught:
        provider("Nonsense").check()
    assert caught.value.status is S.SEC_E_SECPKG_NOT_FOUND
    error = error_of(provider("Nonsense").create_context(ContextRequest()).step(b"\x60 token"))
    assert error.status is S.SEC_E_SECPKG_NOT_FOUND


@SSPI_RS
def test_sspi_rs_has_no_credential_ready() -> None:
    with pytest.raises(ConfigError, match="SEC_E_INVALID_PARAMETER"):
        provider(credential=None).check()


@SSPI_RS
def test_a_credential_is_acquired_late_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    acquire = raw.acquire_credentials_handle
    monkeypatch.setattr(
        raw, "acquire_credentials_handle", lambda *a, **k: calls.append(a) or acquire(*a, **k)
    )
    shared = provider()
    contexts = [shared.create_context(ContextRequest()) for _ in range(8)]
    assert calls == []
    token = Ntlm().step()
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda context: context.step(token), contexts))
    assert all(isinstance(result, Continue) for result in results)
    assert len(calls) == 1


def run_python(code: str) -> str:
    """Run code in a fresh interpreter and answer what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_sspilib_the_error_names_the_extra_to_install() -> None:
    said = run_python(
        "import sys\n"
        "sys.modules['sspilib'] = None\n"
        "from authsrv.errors import ConfigError\n"
        "try:\n    import authsrv.providers.sspi.provider\n"
        "except ConfigError as error:\n    print(error)"
    )
    assert "authsrv[sspi]" in said
    assert "sspilib" in said


def test_no_kerberos_library_is_needed() -> None:
    said = run_python(
        "import sys\n"
        "for name in ('gssapi', 'krb5', 'spnego'): sys.modules[name] = None\n"
        "from authsrv.providers.sspi.provider import SspiProvider, SspiRsUse\n"
        "print(SspiProvider(sspi_rs=SspiRsUse.FOR_TESTS))"
    )
    assert said == "<SspiProvider Negotiate>"


def frames(traceback: TracebackType | None) -> str:
    """All that a debugger or a logger of frames would show."""
    shown = ""
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__", "").startswith("authsrv"):
            shown += repr(traceback.tb_frame.f_locals)
        traceback = traceback.tb_next
    return shown


def test_no_frame_of_a_failed_acquisition_shows_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert PASSWORD in repr(raw.WinNTAuthIdentity("alice", "DOMAIN", PASSWORD))

    def refuse(*arguments: object, **named: object) -> object:
        raise native_error(-2146893042)

    monkeypatch.setattr(raw, "acquire_credentials_handle", refuse)
    with pytest.raises(UnavailableError) as caught:
        provider().check()
    assert caught.value.status is S.SEC_E_NO_CREDENTIALS
    error: BaseException | None = caught.value
    shown = ""
    while error is not None:
        shown += str(error) + frames(error.__traceback__)
        error = error.__context__
    assert "Password(" in shown or "SspiProvider" in shown
    assert PASSWORD not in shown
    assert "SECRET" not in shown


def test_the_password_shows_nowhere() -> None:
    made = provider()
    assert PASSWORD not in repr(made) + repr(ALICE) + repr(made.create_context(ContextRequest()))


@SSPI_RS
def test_sspi_rs_on_both_sides() -> None:
    request = InitiatorRequest("HTTP/localhost", flags=IscReq.INTEGRITY)
    client, server = provider().create_initiator(request), acceptor()
    first = client.step(b"")
    assert isinstance(first, Continue)
    challenge = server.step(first.token)
    assert isinstance(challenge, Continue)
    last = client.step(challenge.token)
    if isinstance(last, CompleteNeeded):
        last = client.complete()
    assert isinstance(last, Established), last
    assert last.identity.principal == "HTTP/localhost"
    # NTLM proves nothing of the server.
    assert not last.identity.attributes & AscRet.MUTUAL_AUTH
    assert isinstance(server.step(last.token), CompleteNeeded)
    done = server.complete()
    assert isinstance(done, Established)
    assert done.identity.principal == "DOMAIN\\alice"
    keys = [side.query(ContextAttribute.SESSION_KEY) for side in (client, server)]
    assert keys[0] == keys[1]


def test_many_threads_each_with_a_context() -> None:
    shared = provider()
    barrier = threading.Barrier(8)

    def one(_: int) -> bool:
        barrier.wait()
        context = shared.create_context(ContextRequest())
        try:
            return isinstance(log_in(context, Ntlm()), Established)
        finally:
            context.delete()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(8)))


@SSPI_RS
def test_contexts_that_are_deleted_leave_no_memory() -> None:
    shared, token = provider(), Ntlm().step()

    def cycle(count: int) -> int:
        for _ in range(count):
            context = shared.create_context(ContextRequest())
            assert isinstance(context.step(token), Continue)
            context.delete()
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096

    before = cycle(2_000)
    assert cycle(10_000) - before < 4 * 2**20


# Codes.


@pytest.mark.parametrize("status", [status for status in SecurityStatus if status.is_failure])
def test_every_fatal_code_has_an_error_of_its_disposition_and_keeps_its_number(
    status: SecurityStatus,
) -> None:
    error = error_from_windows(int(status))
    assert error.status is status
    assert error.native == WindowsCode(int(status))
    assert f"0x{int(status):08X}" in error.detail
    if outcome_of(status) is Outcome.UNAVAILABLE:
        assert isinstance(error, UnavailableError)


@pytest.mark.parametrize("code", [0xC000006D, 0x80004005, -2146893044, 5])
def test_foreign_and_signed_codes_are_kept(code: int) -> None:
    assert error_from_windows(code).native == WindowsCode(code & 0xFFFFFFFF)


def test_a_code_that_nobody_knows_is_the_packages_fault_and_an_internal_error_is_not() -> None:
    assert isinstance(error_from_windows(0x80004005), ProviderFaultError)
    assert isinstance(error_from_windows(0x80090304), InvalidTokenError)


@pytest.mark.parametrize("ticks", [0, 1, 0x7FFFFFFFFFFFFFFF, -1])
def test_never_is_none_and_no_date_in_1601(ticks: int) -> None:
    assert expiry_of(ticks) is None


@SSPI_RS
def test_an_expiry_is_in_utc() -> None:
    when = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    epoch = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)
    assert expiry_of(int((when - epoch).total_seconds()) * 10_000_000) == when


def test_the_flags_of_a_client_become_those_of_an_identity() -> None:
    flags = IscRet.MUTUAL_AUTH | IscRet.INTEGRITY | IscRet.IDENTIFY
    assert attributes_from_client(int(flags)) == (
        AscRet.MUTUAL_AUTH | AscRet.INTEGRITY | AscRet.IDENTIFY
    )


# The codes of success that sspi-rs never gives, and buffers that it never fills.


class Native:
    """The functions of sspilib.raw as a script: each call takes the next answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: object) -> None:
        self.answers = list(answers)
        self.completed = 0
        for name in ("accept_security_context", "initialize_security_context"):
            monkeypatch.setattr(f"authsrv.providers.sspi.provider.raw.{name}", self.answer)
        monkeypatch.setattr(
            "authsrv.providers.sspi.provider.raw.complete_auth_token", self.complete
        )
        monkeypatch.setattr(SspiProvider, "handle", lambda self, use: object())

    def answer(self, *arguments: object) -> object:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer)

    def complete(self, *arguments: object) -> None:
        self.completed += 1


class Handle:
    """A native context, as far as its life is concerned."""


class Answer:
    attributes, expiry = 0, 0

    def __init__(self, status: object) -> None:
        self.status, self.context = status, Handle()


def native_error(code: int) -> OSError:
    error = OSError("SECRET text of SSPI")
    error.winerror = code  # type: ignore[attr-defined]
    return error


def test_complete_and_continue_completes_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    native = Native(monkeypatch, 0x00090314, 0x00090312)
    context = acceptor()
    assert context.step(b"\x60 one").status is S.SEC_I_COMPLETE_AND_CONTINUE
    assert isinstance(error_of(context.step(b"too early")), UnexpectedTokenError)
    assert isinstance(context.complete(), Continue)
    assert native.completed == 1
    assert isinstance(context.step(b"two"), Continue)


def test_an_incomplete_message_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    Native(monkeypatch, native_error(-2146893032), 0x00090312)
    context = acceptor()
    assert context.step(b"\x60 half") == Incomplete(None)
    assert isinstance(context.step(b"\x60 half and half"), Continue)


@pytest.mark.parametrize("status", [0x00090315, 0x00090317, 7])
def test_a_success_that_is_none_here_ends_the_context(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Native(monkeypatch, status)
    context = acceptor()
    assert isinstance(error_of(context.step(b"\x60 token")), AuthsrvError)
    assert isinstance(error_of(context.step(b"\x60 token")), UnexpectedTokenError)


def test_no_text_of_sspi_enters_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Native(monkeypatch, native_error(-2146893044))
    error = error_of(acceptor().step(b"\x60 token"))
    assert "SECRET" not in str(error) + repr(error)
    assert error.detail == "SSPI denies the logon (SEC_E_LOGON_DENIED, 0x8009030C)"


def test_an_established_context_that_names_nobody_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Native(monkeypatch, 0)

    def names(*arguments: object) -> object:
        raise native_error(0x80090302)

    monkeypatch.setattr("authsrv.providers.sspi.attributes.raw.query_context_attributes", names)
    error = error_of(acceptor().step(b"\x60 token"))
    assert isinstance(error, ProviderFaultError)
    assert "does not name the client" in error.detail


@pytest.mark.parametrize("name", ["", "DOMAIN\\"])
def test_an_anonymous_client_is_denied(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Native(monkeypatch, 0)
    monkeypatch.setattr("authsrv.providers.sspi.provider.user_name", lambda context: name)
    assert isinstance(error_of(acceptor().step(b"\x60 token")), LogonDeniedError)


@pytest.mark.parametrize("name", ["NT AUTHORITY\\ANONYMOUS LOGON", "nt authority\\Anonymous Logon"])
def test_the_anonymous_account_of_windows_is_denied(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Native(monkeypatch, 0)
    monkeypatch.setattr("authsrv.providers.sspi.provider.user_name", lambda context: name)
    error = error_of(acceptor().step(b"\x60 token"))
    assert isinstance(error, LogonDeniedError)
    assert "anonymous" in error.detail


def test_anonymous_clients_are_not_asked_for_and_memory_is_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    Native(monkeypatch)

    def accept(
        credential: object, context: object, given: object, flags: int, *more: object
    ) -> None:
        asked.append(flags)
        raise native_error(-2146893048)

    monkeypatch.setattr(raw, "accept_security_context", accept)
    wanted = AscReq.ALLOW_NULL_SESSION | AscReq.ALLOCATE_MEMORY | AscReq.INTEGRITY
    acceptor(ContextRequest(flags=wanted)).step(b"\x60 token")
    assert asked == [int(AscReq.INTEGRITY)]


def test_a_name_that_is_no_unicode_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    Native(monkeypatch, 0)
    monkeypatch.setattr(
        "authsrv.providers.sspi.provider.user_name", lambda context: b"\xff".decode()
    )
    error = error_of(acceptor().step(b"\x60 token"))
    assert isinstance(error, ProviderFaultError)
    assert "Unicode" in error.detail


@pytest.mark.parametrize("token", [b"\xff" * 40, b"NTLMSSP\x00\x03\x00\x00\x00", b"\xa1\x00"])
def test_what_begins_no_handshake_is_refused_before_sspi_loses_memory_over_it(
    token: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    Native(monkeypatch)  # which has no answer
    assert isinstance(error_of(acceptor().step(token)), InvalidTokenError)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs between SSPI and sspi-rs, as it is on Windows."""
    monkeypatch.setattr("authsrv.providers.sspi.provider.IS_SSPI_RS", False)
    monkeypatch.setattr("authsrv.providers.sspi.context.IS_SSPI_RS", False)


def tell(monkeypatch: pytest.MonkeyPatch, mechanism: str, attributes: int) -> None:
    """Let SSPI tell a name, a mechanism, attributes and an expiry."""
    monkeypatch.setattr("authsrv.providers.sspi.provider.user_name", lambda context: "CORP\\bob")
    info = PackageInfo(mechanism)
    monkeypatch.setattr("authsrv.providers.sspi.provider.package_info", lambda context: info)
    monkeypatch.setattr(Answer, "attributes", attributes, raising=False)
    monkeypatch.setattr(Answer, "expiry", 135_378_432_000_000_000, raising=False)


def test_on_windows_sspi_is_asked_and_believed(
    windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Native(monkeypatch, 0)
    wanted = AscRet.MUTUAL_AUTH | AscRet.CONFIDENTIALITY | AscRet.DELEGATE
    tell(monkeypatch, "Kerberos", int(wanted))
    result = acceptor().step(b"\x60 token")
    assert isinstance(result, Established)
    identity = result.identity
    assert (identity.principal, identity.mechanism) == ("CORP\\bob", "kerberos")
    assert identity.attributes == wanted
    assert identity.expires_at is not None
    assert identity.expires_at.utcoffset() == datetime.timedelta(0)


@pytest.mark.parametrize(("mechanism", "proves"), [("Kerberos", True), ("NTLM", False)])
def test_on_windows_too_a_server_of_ntlm_proves_nothing(
    mechanism: str, proves: bool, windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Native(monkeypatch, 0)
    tell(monkeypatch, mechanism, int(IscRet.MUTUAL_AUTH | IscRet.CONFIDENTIALITY))
    result = provider().create_initiator(InitiatorRequest("HTTP/localhost")).step(b"")
    assert isinstance(result, Established)
    assert bool(result.identity.attributes & AscRet.MUTUAL_AUTH) is proves
    assert result.identity.attributes & AscRet.CONFIDENTIALITY


def test_on_windows_a_server_needs_no_permission(windows: None) -> None:
    SspiProvider("NTLM").create_context(ContextRequest()).delete()


def test_on_windows_channel_bindings_can_be_required(windows: None) -> None:
    acceptor(ContextRequest(ChannelBindings(b"tls:ours"))).delete()


def test_a_null_session_is_anonymous_whatever_its_name(
    windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Native(monkeypatch, 0)
    tell(monkeypatch, "NTLM", int(AscRet.NULL_SESSION))
    assert isinstance(error_of(acceptor().step(b"\x60 token")), LogonDeniedError)


class Buffer:
    """A buffer that the function under it can change, as sspilib's cannot be from Python."""

    def __init__(self, data: bytearray | None, buffer_type: int) -> None:
        self.data, self.buffer_type = bytes(data or b""), buffer_type
        self.count = len(self.data)


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [(-2146893032, 4, Incomplete(17)), (0x00090312, 5, Continue(bytes(65_536 + 7), unused=17))],
)
def test_what_sspi_writes_into_the_empty_buffer_is_read(
    code: int, kind: int, expected: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    Native(monkeypatch)

    def accept(credential: object, context: object, given: list[Buffer], *more: object) -> Answer:
        token, empty = given
        assert (token.buffer_type, token.data) == (2, b"\x60 token")
        assert (empty.buffer_type, empty.data) == (0, b"")
        empty.buffer_type, empty.count = kind, 17
        if code < 0:
            raise native_error(code)
        return Answer(code)

    monkeypatch.setattr(raw, "SecBuffer", Buffer)
    monkeypatch.setattr(raw, "SecBufferDesc", list)
    monkeypatch.setattr(raw, "accept_security_context", accept)
    assert acceptor().step(b"\x60 token") == expected


def refuse_query(*arguments: object) -> object:
    raise native_error(-2146893054)


def test_a_deletion_deletes_the_native_context_whoever_still_holds_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no cycle and no frame that holds the handle: it goes at once, not when it may."""
    Native(monkeypatch, 0x00090312)
    monkeypatch.setattr(raw, "query_context_attributes", refuse_query)
    gc.disable()
    try:
        context = acceptor()
        assert isinstance(context.step(b"\x60 token"), Continue)
        handle = weakref.ref(context._context)  # type: ignore[attr-defined]
        context._identity = object()  # type: ignore[attr-defined]
        with pytest.raises(UnsupportedFunctionError) as caught:
            context.query(ContextAttribute.SIZES)
        assert handle() is not None
        context.delete()
        assert handle() is None
        assert "SECRET" not in repr(caught.value) + repr(caught.value.__context__)
    finally:
        gc.enable()


def test_a_refusal_for_want_of_a_name_does_not_hold_the_native_context_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Native(monkeypatch, 0)
    monkeypatch.setattr(raw, "query_context_attributes", refuse_query)
    gc.disable()
    try:
        context = acceptor()
        error = error_of(context.step(b"\x60 token"))
        handle = weakref.ref(context._context)  # type: ignore[attr-defined]
        context.delete()
        assert handle() is None
        assert error.__context__ is None
    finally:
        gc.enable()


@pytest.mark.parametrize("code", [None, "x", 2**40, -(2**40)])
def test_what_is_no_code_is_the_packages_fault(code: object) -> None:
    failed = OSError("SECRET")
    failed.winerror = code  # type: ignore[attr-defined]
    error = error_from_native(failed)
    assert isinstance(error, ProviderFaultError)
    assert "SECRET" not in str(error)
