"""The initiator with a real realm, against our own acceptor: credentials and proofs.

Why it has no token, or trusts no answer, stands in the table of tests/faults/client_refusals.py.
"""

from __future__ import annotations

import datetime
import gc
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gssapi.raw as gss
import krb5
import pytest
from answers import accept, error_of, identity_of, token_of
from initiators import newcomer

from authsrv.core.attributes import ContextAttribute, ContextSizes, NegotiationInfo, SessionKey
from authsrv.core.bindings import ChannelBindings
from authsrv.core.credentials import ClientCredential, ClientKeytab, TicketCache
from authsrv.core.flags import AscRet, IscReq
from authsrv.core.identity import DelegatedCredential, Identity
from authsrv.core.results import Continue
from authsrv.core.status import SecurityStatus
from authsrv.devrealm import Realm
from authsrv.errors import (
    AuthsrvError,
    BadBindingsError,
    ConfigError,
    InvalidTokenError,
    LogonDeniedError,
    MechanismError,
    MutualAuthenticationError,
    NoCredentialError,
    StateError,
    UnexpectedTokenError,
)
from authsrv.providers.base import ContextRequest, InitiatorRequest, SecurityContext
from authsrv.providers.gssapi import credentials as gss_credentials
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism
from authsrv.providers.gssapi.initiator_diagnosis import diagnose_answer, diagnose_beginning
from authsrv.providers.kerberos.memory_cache import MemoryCache
from authsrv.providers.replay import MITReplayCache
from authsrv.testing.leaks import find_leak

HERE = "HTTP/localhost"
RIGHT = ChannelBindings(b"tls-server-end-point:" + bytes(32))
WRONG = ChannelBindings(b"tls-server-end-point:" + bytes(31) + b"\x01")

both_mechanisms = pytest.mark.parametrize("mechanism", InitiatorMechanism)


@pytest.fixture
def acceptor(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> GssapiProvider:
    return GssapiProvider(kerberos_keytab)


@contextmanager
def begun(
    provider: GssapiInitiatorProvider, target: str = HERE, **asked: Any
) -> Iterator[SecurityContext]:
    context = provider.create_initiator(InitiatorRequest(target, **asked))
    try:
        yield context
    finally:
        context.delete()


def shake_hands(
    provider: GssapiInitiatorProvider, acceptor: GssapiProvider, **asked: Any
) -> tuple[Identity, Identity]:
    """Whom the client has found, and whom the server has."""
    with begun(provider, **asked) as context:
        accepted = accept(acceptor, token_of(context.step(b"")))
        known = identity_of(accepted)
        return identity_of(context.step(token_of(accepted))), known


def failure(provider: GssapiInitiatorProvider, target: str = HERE) -> AuthsrvError:
    with begun(provider, target) as context:
        return error_of(context.step(b""))


def who_with(credential: ClientCredential | None, acceptor: GssapiProvider, **options: Any) -> str:
    """Whom the server knows a client with a credential for."""
    return shake_hands(GssapiInitiatorProvider(credential, **options), acceptor)[1].principal


class TestHandshakes:
    @both_mechanisms
    def test_both_sides_know_each_other(
        self, acceptor: GssapiProvider, mechanism: InitiatorMechanism
    ) -> None:
        server, client = shake_hands(GssapiInitiatorProvider(mechanism=mechanism), acceptor)
        assert (server.principal, server.service) == (HERE, HERE)
        assert server.mechanism == "kerberos"
        assert AscRet.MUTUAL_AUTH in server.attributes
        assert server.delegated is None
        assert server.expires_at is not None
        left = server.expires_at - datetime.datetime.now(datetime.UTC)
        assert datetime.timedelta(hours=23) < left <= datetime.timedelta(hours=24)
        assert client.principal == "alice@AUTHSRV.TEST"

    @both_mechanisms
    def test_a_proof_is_waited_for_where_one_is_asked_for(
        self, acceptor: GssapiProvider, mechanism: InitiatorMechanism
    ) -> None:
        provider = GssapiInitiatorProvider(mechanism=mechanism)
        with begun(provider) as context:
            assert isinstance(context.step(b""), Continue)

    def test_without_mutual_authentication_kerberos_ends_in_one_leg(
        self, acceptor: GssapiProvider
    ) -> None:
        provider = GssapiInitiatorProvider(mechanism=InitiatorMechanism.KERBEROS)
        with begun(provider, flags=IscReq(0)) as context:
            server = identity_of(context.step(b""))
        assert AscRet.MUTUAL_AUTH not in server.attributes

    def test_without_mutual_authentication_nothing_says_that_there_was_any(
        self, acceptor: GssapiProvider
    ) -> None:
        server, client = shake_hands(GssapiInitiatorProvider(), acceptor, flags=IscReq(0))
        assert AscRet.MUTUAL_AUTH not in server.attributes | client.attributes

    def test_an_attribute_that_is_required_of_the_server_is_asked_for(
        self, acceptor: GssapiProvider
    ) -> None:
        server, _ = shake_hands(
            GssapiInitiatorProvider(), acceptor, flags=IscReq(0), required=AscRet.MUTUAL_AUTH
        )
        assert AscRet.MUTUAL_AUTH in server.attributes

    @pytest.mark.parametrize(
        "flag",
        ["REPLAY_DETECT", "SEQUENCE_DETECT", "CONFIDENTIALITY", "INTEGRITY", "IDENTIFY"],
    )
    def test_what_is_asked_for_is_there(self, acceptor: GssapiProvider, flag: str) -> None:
        asked = IscReq.MUTUAL_AUTH | IscReq[flag]
        for identity in shake_hands(GssapiInitiatorProvider(), acceptor, flags=asked):
            assert AscRet[flag] in identity.attributes

    def test_a_flag_that_gss_api_does_not_have_is_passed_over(
        self, acceptor: GssapiProvider
    ) -> None:
        flags = IscReq.MUTUAL_AUTH | IscReq.DATAGRAM | IscReq.ALLOCATE_MEMORY
        shake_hands(GssapiInitiatorProvider(), acceptor, flags=flags)

    def test_the_third_leg_of_dce_ends_the_servers_handshake(
        self, acceptor: GssapiProvider
    ) -> None:
        provider = GssapiInitiatorProvider(mechanism=InitiatorMechanism.KERBEROS)
        flags = IscReq.MUTUAL_AUTH | IscReq.USE_DCE_STYLE
        server = acceptor.create_context(ContextRequest())
        with begun(provider, flags=flags) as context:
            answer = server.step(token_of(context.step(b"")))
            last = context.step(token_of(answer))
            assert AscRet.USED_DCE_STYLE in identity_of(last).attributes
            assert identity_of(server.step(token_of(last))).principal == "alice@AUTHSRV.TEST"
        server.delete()

    @both_mechanisms
    def test_the_realm_may_stand_in_the_target(
        self, acceptor: GssapiProvider, mechanism: InitiatorMechanism
    ) -> None:
        target = "HTTP/localhost@AUTHSRV.TEST"
        provider = GssapiInitiatorProvider(mechanism=mechanism)
        with begun(provider, target) as context:
            token = token_of(context.step(b""))
        assert identity_of(accept(acceptor, token)).service == HERE

    def test_the_established_context_tells_its_attributes(self, acceptor: GssapiProvider) -> None:
        with begun(GssapiInitiatorProvider()) as context:
            accepted = accept(acceptor, token_of(context.step(b"")))
            context.step(token_of(accepted))
            assert isinstance(context.query(ContextAttribute.SESSION_KEY), SessionKey)
            assert isinstance(context.query(ContextAttribute.SIZES), ContextSizes)
            info = context.query(ContextAttribute.NEGOTIATION_INFO)
            assert isinstance(info, NegotiationInfo)
            assert info.package.name == "Kerberos"
            assert context.query(ContextAttribute.NAMES) == HERE
            assert context.query(ContextAttribute.CLIENT_SPECIFIED_TARGET) == HERE

    def test_many_threads_use_one_package(
        self, kerberos_realm: Realm, acceptor: GssapiProvider
    ) -> None:
        kerberos_realm.write_keytab(path := kerberos_realm.keytab.with_name("mine"), [HERE])
        provider = GssapiInitiatorProvider(ClientKeytab(path, HERE))
        known: list[str] = []

        def work() -> None:
            known.extend(shake_hands(provider, acceptor)[1].principal for _ in range(5))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert known == ["HTTP/localhost@AUTHSRV.TEST"] * 20


class TestTheOrderOfSteps:
    def test_a_token_before_the_first_step_is_refused(self, acceptor: GssapiProvider) -> None:
        with begun(GssapiInitiatorProvider()) as context:
            assert isinstance(error_of(context.step(b"token")), UnexpectedTokenError)

    def test_a_token_after_the_end_is_refused(self, acceptor: GssapiProvider) -> None:
        with begun(GssapiInitiatorProvider()) as context:
            accepted = accept(acceptor, token_of(context.step(b"")))
            context.step(token_of(accepted))
            again = context.step(token_of(accepted))
        assert isinstance(error_of(again), UnexpectedTokenError)

    def test_nothing_works_after_the_deletion(self, acceptor: GssapiProvider) -> None:
        with begun(GssapiInitiatorProvider()) as context:
            context.step(b"")
        context.delete()
        assert isinstance(error_of(context.step(b"x")), UnexpectedTokenError)
        with pytest.raises(StateError):
            context.query(ContextAttribute.NAMES)

    def test_there_is_nothing_to_complete(self, acceptor: GssapiProvider) -> None:
        with begun(GssapiInitiatorProvider()) as context:
            assert isinstance(error_of(context.complete()), StateError)

    @pytest.mark.parametrize(
        "target",
        ["", "HTTP", "HTTP/", "/host", "HTTP@host", "HTTP/a@B@C", "HTTP/a\x00b", "HTTP/a\\", "@"],
    )
    def test_a_target_of_another_form_is_a_mistake_of_the_caller(self, target: str) -> None:
        with pytest.raises(ConfigError, match="HTTP/host"):
            GssapiInitiatorProvider().create_initiator(InitiatorRequest(target))


class TestTheProofOfTheServer:
    @both_mechanisms
    def test_no_token_at_all_is_no_proof(
        self, acceptor: GssapiProvider, mechanism: InitiatorMechanism
    ) -> None:
        with begun(GssapiInitiatorProvider(mechanism=mechanism)) as context:
            context.step(b"")
            error = error_of(context.step(b""))
        assert isinstance(error, MutualAuthenticationError)
        assert str(error) == "the token does not prove that the server is HTTP/localhost"

    def test_where_no_proof_is_asked_for_a_malformed_token_is_just_that(
        self, acceptor: GssapiProvider
    ) -> None:
        with begun(GssapiInitiatorProvider(), flags=IscReq(0)) as context:
            context.step(b"")
            assert isinstance(error_of(context.step(b"garbage")), InvalidTokenError)

    def test_a_library_that_forgets_the_proof_is_not_believed(
        self, acceptor: GssapiProvider
    ) -> None:
        context = GssapiInitiatorProvider().create_initiator(InitiatorRequest(HERE))
        kerberos = gss.OID.from_int_seq("1.2.840.113554.1.2.2")
        answer = SimpleNamespace(mech=kerberos, flags=0, lifetime=None)
        with pytest.raises(MutualAuthenticationError):
            context._identify(answer)

    def test_another_mechanism_at_the_end_is_not_believed(self, acceptor: GssapiProvider) -> None:
        context = GssapiInitiatorProvider().create_initiator(InitiatorRequest(HERE))
        ntlm = gss.OID.from_int_seq("1.3.6.1.4.1.311.2.2.10")
        with pytest.raises(MechanismError):
            context._identify(SimpleNamespace(mech=ntlm, flags=2, lifetime=None))


class TestChannelBindings:
    @both_mechanisms
    def test_the_right_ones_are_sent(
        self, acceptor: GssapiProvider, mechanism: InitiatorMechanism
    ) -> None:
        with begun(GssapiInitiatorProvider(mechanism=mechanism), bindings=RIGHT) as context:
            accepted = accept(acceptor, token_of(context.step(b"")), bindings=RIGHT)
        assert identity_of(accepted).channel_bound

    @pytest.mark.parametrize("bindings", [None, WRONG])
    def test_wrong_ones_and_none_get_nobody_in(
        self, acceptor: GssapiProvider, bindings: ChannelBindings | None
    ) -> None:
        with begun(GssapiInitiatorProvider(), bindings=bindings) as context:
            accepted = accept(acceptor, token_of(context.step(b"")), bindings=RIGHT)
        assert isinstance(error_of(accepted), BadBindingsError)


class TestCredentials:
    def test_a_cache_that_is_named_is_used_and_the_environments_is_not(
        self, kerberos_realm: Realm, acceptor: GssapiProvider
    ) -> None:
        user = newcomer(kerberos_realm)
        cache = kerberos_realm.login(user)
        for name in (cache, f"FILE:{cache}"):
            assert who_with(TicketCache(name), acceptor) == f"{user}@AUTHSRV.TEST"
        assert who_with(None, acceptor) == "alice@AUTHSRV.TEST"

    @pytest.mark.usefixtures("kerberos_environment")
    def test_a_path_may_hold_a_colon(
        self, kerberos_realm: Realm, kerberos_keytab: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "FILE:of a:colon"
        folder.mkdir()
        keytab, cache = folder / "keytab:1", folder / "cache:1"
        shutil.copy(kerberos_keytab, keytab)
        user = newcomer(kerberos_realm)
        shutil.copy(kerberos_realm.login(user), cache)
        replays = MITReplayCache(f"file2:{folder}/replays:1")
        acceptor = GssapiProvider(keytab, replay=replays)
        for path in (cache, str(cache), f"FILE:{cache}"):
            assert who_with(TicketCache(path), acceptor) == f"{user}@AUTHSRV.TEST"
        for path in (keytab, str(keytab), f"FILE:{keytab}"):
            credential = ClientKeytab(path, "HTTP/localhost@AUTHSRV.TEST")
            assert who_with(credential, acceptor) == "HTTP/localhost@AUTHSRV.TEST"
        assert Path(f"{folder}/replays:1").exists()

    def test_whoever_logs_in_later_is_known_without_a_restart(
        self, kerberos_realm: Realm, acceptor: GssapiProvider
    ) -> None:
        user = newcomer(kerberos_realm)
        cache = kerberos_realm.login(user)
        kerberos_realm.forget_tickets(user)
        provider = GssapiInitiatorProvider(TicketCache(cache))
        assert isinstance(failure(provider), NoCredentialError)
        kerberos_realm.login(user)
        assert shake_hands(provider, acceptor)[1].username == user

    @both_mechanisms
    def test_a_keytab_logs_in_by_itself_and_touches_no_environment(
        self,
        acceptor: GssapiProvider,
        kerberos_keytab: Path,
        mechanism: InitiatorMechanism,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("KRB5CCNAME", "FILE:/nowhere")
        before = dict(os.environ)
        credential = ClientKeytab(kerberos_keytab, "HTTP/localhost@AUTHSRV.TEST")
        known = who_with(credential, acceptor, mechanism=mechanism)
        assert known == "HTTP/localhost@AUTHSRV.TEST"
        assert dict(os.environ) == before

    def test_a_keytab_logs_in_once_for_many_contexts(
        self, acceptor: GssapiProvider, kerberos_keytab: Path
    ) -> None:
        provider = GssapiInitiatorProvider(ClientKeytab(kerberos_keytab, HERE))
        assert provider.source.credential(HERE) is provider.source.credential(HERE)

    def test_a_ticket_that_is_about_to_end_is_renewed(
        self,
        acceptor: GssapiProvider,
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        now = 1000.0
        clock = SimpleNamespace(time=lambda: now)
        monkeypatch.setattr(gss_credentials, "time", clock)
        provider = GssapiInitiatorProvider(ClientKeytab(kerberos_keytab, HERE))
        first = provider.source.credential(HERE)
        assert first.lifetime is not None
        now += first.lifetime - 700
        assert provider.source.credential(HERE) is first
        now += 150
        second = provider.source.credential(HERE)
        assert second is not first
        # Who uses the old one goes on with it: its tickets are still there.
        assert gss.inquire_cred(first.native).lifetime
        assert shake_hands(provider, acceptor)[1].principal == "HTTP/localhost@AUTHSRV.TEST"

    def test_a_ticket_that_cannot_be_renewed_is_used_to_its_end(
        self,
        kerberos_realm: Realm,
        acceptor: GssapiProvider,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        now = 1000.0
        monkeypatch.setattr(gss_credentials, "time", SimpleNamespace(time=lambda: now))
        keytab = kerberos_realm.write_keytab(tmp_path / "mine", [HERE])
        source = GssapiInitiatorProvider(ClientKeytab(keytab, HERE)).source
        first = source.credential(HERE)
        assert first.lifetime is not None
        keytab.unlink()
        now += first.lifetime - 100
        assert source.credential(HERE) is first
        now += 101
        with pytest.raises(NoCredentialError):
            source.credential(HERE)

    @both_mechanisms
    def test_a_delegated_credential_authenticates_the_user_and_not_the_process(
        self, kerberos_realm: Realm, acceptor: GssapiProvider, mechanism: InitiatorMechanism
    ) -> None:
        user = newcomer(kerberos_realm)
        delegated = delegated_by(kerberos_realm, acceptor, user)
        assert who_with(None, acceptor) == "alice@AUTHSRV.TEST"
        assert who_with(delegated, acceptor, mechanism=mechanism) == f"{user}@AUTHSRV.TEST"

    def test_a_delegated_credential_works_where_the_process_has_none(
        self,
        kerberos_realm: Realm,
        acceptor: GssapiProvider,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        user = newcomer(kerberos_realm)
        delegated = delegated_by(kerberos_realm, acceptor, user)
        monkeypatch.setenv("KRB5CCNAME", "FILE:/nowhere")
        assert who_with(delegated, acceptor) == f"{user}@AUTHSRV.TEST"

    def test_a_delegated_credential_can_be_delegated_on(
        self, kerberos_realm: Realm, acceptor: GssapiProvider
    ) -> None:
        user = newcomer(kerberos_realm)
        delegated = delegated_by(kerberos_realm, acceptor, user)
        provider = GssapiInitiatorProvider(delegated)
        flags = IscReq.MUTUAL_AUTH | IscReq.DELEGATE
        again = shake_hands(provider, acceptor, flags=flags)[1].delegated
        assert again is not None
        assert who_with(again, acceptor) == f"{user}@AUTHSRV.TEST"

    def test_a_ticket_that_is_not_forwardable_is_not_delegated(
        self, acceptor: GssapiProvider
    ) -> None:
        flags = IscReq.MUTUAL_AUTH | IscReq.DELEGATE
        server, client = shake_hands(GssapiInitiatorProvider(), acceptor, flags=flags)
        assert AscRet.DELEGATE not in server.attributes
        assert client.delegated is None

    def test_nothing_is_delegated_unasked(
        self, kerberos_realm: Realm, acceptor: GssapiProvider
    ) -> None:
        cache = kerberos_realm.login(newcomer(kerberos_realm), forwardable=True)
        _, client = shake_hands(GssapiInitiatorProvider(TicketCache(cache)), acceptor)
        assert client.delegated is None

    @pytest.mark.parametrize(
        "credential",
        [DelegatedCredential("sspi", object()), DelegatedCredential("gssapi", None), "alice"],
    )
    def test_a_credential_of_another_kind_is_a_mistake_of_the_settings(
        self, credential: Any
    ) -> None:
        with pytest.raises(ConfigError, match="cannot use a credential of this kind"):
            GssapiInitiatorProvider(credential)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: TicketCache(""),
            lambda: ClientKeytab("", "HTTP/localhost"),
            lambda: ClientKeytab("/etc/keytab", ""),
        ],
    )
    def test_an_empty_name_is_a_mistake_of_the_settings(self, make: Callable[[], object]) -> None:
        with pytest.raises(ConfigError):
            make()

    def test_tickets_in_memory_are_destroyed_with_the_last_context(
        self, kerberos_realm: Realm, acceptor: GssapiProvider, kerberos_keytab: Path
    ) -> None:
        delegated = delegated_by(kerberos_realm, acceptor, newcomer(kerberos_realm))
        for credential in (delegated, ClientKeytab(kerberos_keytab, HERE)):
            provider = GssapiInitiatorProvider(credential)
            provider.source.credential(HERE)
            # A process may hold others; these are those of this test.
            name = cache_name(provider)
            assert is_in_memory(name)
            with begun(provider) as context:
                context.step(b"")
                del provider
                gc.collect()
                assert is_in_memory(name)
            del context
            gc.collect()
            assert not is_in_memory(name)


def delegated_by(realm: Realm, acceptor: GssapiProvider, user: str) -> DelegatedCredential:
    """What a server holds of a user who delegated to it."""
    cache = realm.login(user, forwardable=True)
    provider = GssapiInitiatorProvider(TicketCache(cache))
    flags = IscReq.MUTUAL_AUTH | IscReq.DELEGATE
    delegated = shake_hands(provider, acceptor, flags=flags)[1].delegated
    assert delegated is not None
    realm.forget_tickets(user)
    return delegated


def cache_name(provider: GssapiInitiatorProvider) -> bytes:
    cache = provider.source.credential(HERE)._keeps
    assert isinstance(cache, MemoryCache)
    return cache.name


def is_in_memory(name: bytes) -> bool:
    context = krb5.init_context()
    cache = krb5.cc_resolve(context, name)
    try:
        krb5.cc_get_principal(context, cache)
    except krb5.Krb5Error:
        return False
    return True


class TestTheTables:
    def test_an_unknown_code_of_the_kdc_is_told_by_its_number(self) -> None:
        error = diagnose_beginning(13 << 16, -1765328384 + 100, credential="it", target=HERE)
        assert isinstance(error, LogonDeniedError)
        assert "100" in error.detail
        assert error.native is not None

    @pytest.mark.parametrize(
        ("routine", "kind"),
        [(7, "no-credential"), (11, "no-credential"), (13, "unavailable")],
    )
    def test_an_unknown_code_of_the_library_is_judged_by_the_major_one(
        self, routine: int, kind: str
    ) -> None:
        error = diagnose_beginning(routine << 16, 100_001, credential="it", target=HERE)
        assert error.code == kind

    def test_an_unknown_code_of_the_server_is_told_by_its_number(
        self, acceptor: GssapiProvider
    ) -> None:
        error = diagnose_answer(kerberos_error(60), target=HERE, mutual=True)
        assert isinstance(error, LogonDeniedError)
        assert "60" in error.detail
        assert error.status is SecurityStatus.SEC_E_INTERNAL_ERROR


def kerberos_error(code: int) -> bytes:
    """A KRB-ERROR by hand, in GSS-API's frame: RFC 4120 section 5.9.1."""
    from authsrv.codecs.der.writer import build_frame, encode, encode_field, encode_integer

    time = encode(0x18, b"20260101000000Z")
    text = encode(0x1B, b"AUTHSRV.TEST")
    names = encode(0x30, encode(0x1B, b"HTTP"), encode(0x1B, b"localhost"))
    name = encode(0x30, encode_field(0, encode_integer(3)), encode_field(1, names))
    fields = {0: encode_integer(5), 1: encode_integer(30), 4: time, 5: encode_integer(0)}
    fields |= {6: encode_integer(code), 9: text, 10: name}
    body = encode(0x30, *(encode_field(number, value) for number, value in fields.items()))
    return build_frame("1.2.840.113554.1.2.2", b"\x03\x00" + encode(0x7E, body))


def test_no_token_shows_in_what_can_be_read(acceptor: GssapiProvider) -> None:
    provider = GssapiInitiatorProvider()
    with begun(provider) as context:
        began = context.step(b"")
        accepted = accept(acceptor, token_of(began))
        proof = token_of(accepted)
        ended = context.step(proof[:-1] + b"x")
        shown = "\n".join(map(repr, (provider, context, began, ended, error_of(ended))))
    for token in (token_of(began), proof):
        assert find_leak(shown, token) is None
    assert str(provider) == (
        "<GssapiInitiatorProvider spnego with the environment's credential cache>"
    )


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['gssapi.raw'] = None\n"
        "from authsrv.errors import ConfigError\n"
        "import authsrv.core.credentials\n"
        "try:\n    import authsrv.providers.gssapi.initiator\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == (
        "Kerberos needs the extra authsrv[kerberos]: gssapi.raw is not installed\n"
    )
