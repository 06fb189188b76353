"""The provider "pyspnego": its guards, each against the behaviour that it is there for."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import spnego
from answers import error_of
from initiators import (
    ACCEPT_COMPLETED,
    NTLM_NEGOTIATE,
    LateInitiator,
    PyspnegoInitiator,
    fresh_token,
    kerberos_token,
    newcomer,
    ntlm_credential,
)

from authsrv.codecs.der.writer import build_frame
from authsrv.codecs.kerberos.messages import parse_krb_error
from authsrv.codecs.spnego import (
    IAKERB,
    KERBEROS,
    NTLM,
    NegState,
    NegTokenResp,
    build_neg_token_init,
    build_neg_token_resp,
    parse_spnego,
)
from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.results import Continue, Established, Refused, Result
from authsrv.devrealm import Realm
from authsrv.errors import (
    BadBindingsError,
    ClockSkewError,
    ConfigError,
    InvalidTokenError,
    KeytabError,
    LogonDeniedError,
    MechanismError,
    ReplayError,
    WrongServiceError,
)
from authsrv.providers.base import ContextRequest, SecurityContext
from authsrv.providers.pyspnego import NTLMPolicy, PyspnegoProvider
from authsrv.testing.handshakes import (
    Client,
    Recorder,
    establish,
    open_context,
    play,
    take_step,
)
from authsrv.testing.leaks import find_leak, overhear

RIGHT = b"tls-server-end-point:" + bytes(32)
WRONG = b"tls-server-end-point:" + bytes(31) + b"\x01"
PASSWORD = "Pässword 1"


def ask(provider: PyspnegoProvider, token: bytes) -> Result:
    with open_context(provider) as context:
        return take_step(context, token)


def alice(protocol: str = "negotiate", password: str = PASSWORD) -> PyspnegoInitiator:
    return PyspnegoInitiator(ntlm_credential("DOMAIN\\alice", password), protocol=protocol)


@pytest.fixture
def provider(kerberos_environment: dict[str, str]) -> PyspnegoProvider:
    return PyspnegoProvider()


@pytest.fixture
def with_ntlm(ntlm_users: Path) -> PyspnegoProvider:
    return PyspnegoProvider(ntlm=NTLMPolicy.ON)


each_protocol = pytest.mark.parametrize("protocol", ["ntlm", "negotiate"])


class TestNTLMOff:
    @pytest.mark.parametrize(
        "token", [NTLM_NEGOTIATE, build_neg_token_init([NTLM], NTLM_NEGOTIATE)]
    )
    def test_the_refusal_says_so(self, provider: PyspnegoProvider, token: bytes) -> None:
        error = error_of(ask(provider, token))
        assert isinstance(error, MechanismError)
        assert error.detail == (
            "the client sent NTLM, which is off here: it has no Kerberos ticket for this service"
        )

    def test_so_it_is_where_users_are_at_hand_all_the_same(
        self, kerberos_environment: dict[str, str], ntlm_users: Path
    ) -> None:
        provider = PyspnegoProvider()
        with open_context(provider) as context:
            assert isinstance(error_of(play(context, alice())), MechanismError)

    def test_it_cannot_be_slipped_in_after_an_offer_of_kerberos(
        self, kerberos_environment: dict[str, str], ntlm_users: Path
    ) -> None:
        with open_context(PyspnegoProvider()) as context:
            assert isinstance(context.step(build_neg_token_init([NTLM, KERBEROS])), Continue)
            late = build_neg_token_resp(supported_mech=NTLM, response_token=NTLM_NEGOTIATE)
            assert isinstance(error_of(context.step(late)), MechanismError)

    def test_at_the_end_of_a_handshake_it_is_refused_too(
        self, kerberos_environment: dict[str, str], ntlm_users: Path
    ) -> None:
        """The last guard, should a token ever hide its mechanism from the first one."""
        provider = PyspnegoProvider(ntlm=NTLMPolicy.ON)
        context, client = provider.create_context(ContextRequest()), alice("ntlm")
        challenge = take_step(context, client.step(None) or b"")
        assert isinstance(challenge, Continue)
        context._context.step(client.step(challenge.token))
        context._ntlm = NTLMPolicy.OFF
        with pytest.raises(MechanismError, match="not accepted here"):
            context._identify()
        context.delete()


class TestNTLMOn:
    @each_protocol
    def test_the_right_password_names_the_user(
        self, with_ntlm: PyspnegoProvider, protocol: str
    ) -> None:
        with open_context(with_ntlm) as context:
            identity = establish(context, alice(protocol)).identity
        assert identity.principal == "DOMAIN\\alice"
        assert identity.mechanism == "ntlm"

    @each_protocol
    def test_a_wrong_password_and_an_unknown_user_are_one_answer(
        self, with_ntlm: PyspnegoProvider, protocol: str
    ) -> None:
        answers = []
        for user, password in (
            ("DOMAIN\\alice", "wrong"),
            ("DOMAIN\\nobody", "wrong"),
            ("DOMAIN\\nobody", PASSWORD),
            ("OTHER\\alice", PASSWORD),
        ):
            client = PyspnegoInitiator(ntlm_credential(user, password), protocol=protocol)
            with open_context(with_ntlm) as context:
                result = play(context, client)
            assert isinstance(result, Refused)
            assert type(result.error) is LogonDeniedError
            answers.append((result.error.detail, result.error.status, result.error.native))
            assert result.token == b""
        assert set(answers) == {("the credentials were refused", *answers[0][1:])}

    def test_version_1_is_refused(
        self, with_ntlm: PyspnegoProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_context(with_ntlm) as context:
            # The server's side has read the setting when its context was made; the client's next.
            assert isinstance(context.step(NTLM_NEGOTIATE), Continue)
        with open_context(with_ntlm) as context:
            monkeypatch.setenv("LM_COMPAT_LEVEL", "0")
            client = alice("ntlm")
            monkeypatch.setenv("LM_COMPAT_LEVEL", "5")
            result = play(context, client)
        assert isinstance(error_of(result), LogonDeniedError)

    @pytest.mark.parametrize("level", [None, "3", "4", "05", ""])
    def test_without_the_setting_that_refuses_version_1_it_is_not_made(
        self, ntlm_users: Path, monkeypatch: pytest.MonkeyPatch, level: str | None
    ) -> None:
        if level is None:
            monkeypatch.delenv("LM_COMPAT_LEVEL")
        else:
            monkeypatch.setenv("LM_COMPAT_LEVEL", level)
        with pytest.raises(ConfigError, match="LM_COMPAT_LEVEL=5"):
            PyspnegoProvider(ntlm=NTLMPolicy.ON)

    def test_kerberos_goes_on_working_beside_it(
        self, kerberos_environment: dict[str, str], with_ntlm: PyspnegoProvider
    ) -> None:
        identity = ask(with_ntlm, fresh_token())
        assert isinstance(identity, Established)
        assert identity.identity.mechanism == "kerberos"

    @pytest.mark.parametrize("spoil", ["missing", "directory", "not text"])
    def test_users_that_cannot_be_read_are_the_servers_fault(
        self, with_ntlm: PyspnegoProvider, ntlm_users: Path, spoil: str
    ) -> None:
        with_ntlm.check()
        ntlm_users.unlink()
        if spoil == "directory":
            ntlm_users.mkdir()
        elif spoil == "not text":
            ntlm_users.write_bytes(b"DOMAIN:\xff:\xfe\n")
        with pytest.raises(KeytabError, match="NTLM_USER_FILE"):
            with_ntlm.check()
        with open_context(with_ntlm) as context:
            assert isinstance(error_of(play(context, alice())), KeytabError)

    @pytest.mark.parametrize("spoil", ["missing", "unreadable"])
    def test_users_that_vanish_between_the_legs_are_the_servers_fault(
        self, with_ntlm: PyspnegoProvider, ntlm_users: Path, spoil: str
    ) -> None:
        client = alice("ntlm")
        with open_context(with_ntlm) as context:
            challenge = take_step(context, client.step(None) or b"")
            assert isinstance(challenge, Continue)
            proof = client.step(challenge.token)
            ntlm_users.unlink()
            if spoil == "unreadable":
                # A file for stat, and nothing that could be read at its beginning.
                ntlm_users.symlink_to("/proc/self/mem")
            assert isinstance(error_of(take_step(context, proof or b"")), KeytabError)


class TestClaimedCompletion:
    """reference: pyspnego reports `complete` where a client merely says so."""

    def test_pyspnego_itself_believes_it(self, ntlm_users: Path) -> None:
        """If this fails one day, the guard has lost its reason."""
        server = spnego.server(protocol="negotiate")
        server.step(build_neg_token_init([NTLM], NTLM_NEGOTIATE))
        server.step(ACCEPT_COMPLETED)
        assert server.complete
        assert server.client_principal is None

    def test_as_the_first_message_it_is_a_broken_token(self, provider: PyspnegoProvider) -> None:
        error = error_of(ask(provider, ACCEPT_COMPLETED))
        assert isinstance(error, InvalidTokenError)
        assert error.detail == "the first token does not begin a handshake"

    def test_after_the_challenge_of_ntlm_it_lets_nobody_in(
        self, with_ntlm: PyspnegoProvider
    ) -> None:
        with open_context(with_ntlm) as context:
            challenge = context.step(build_neg_token_init([NTLM], NTLM_NEGOTIATE))
            assert isinstance(challenge, Continue)
            error = error_of(take_step(context, ACCEPT_COMPLETED))
        assert isinstance(error, LogonDeniedError)
        assert error.detail == "the client claims to be done, and nobody has authenticated"

    @pytest.mark.parametrize("state", NegState)
    @pytest.mark.parametrize("mechanism", [None, NTLM, KERBEROS])
    def test_no_state_that_a_client_tells_lets_anybody_in(
        self,
        kerberos_environment: dict[str, str],
        with_ntlm: PyspnegoProvider,
        state: NegState,
        mechanism: str | None,
    ) -> None:
        with open_context(with_ntlm) as context:
            context.step(build_neg_token_init([NTLM], NTLM_NEGOTIATE))
            claim = build_neg_token_resp(state, mechanism)
            result = take_step(context, claim)
        if state in (NegState.ACCEPT_COMPLETED, NegState.REJECT):
            assert isinstance(result, Refused)
        assert not isinstance(result, Established)

    def test_beside_a_wrong_password_it_lets_nobody_in(self, with_ntlm: PyspnegoProvider) -> None:
        def claim(leg: int, token: bytes) -> bytes:
            if leg == 0:
                return token
            message = parse_spnego(token)
            assert isinstance(message, NegTokenResp)
            return build_neg_token_resp(
                NegState.ACCEPT_COMPLETED, response_token=message.response_token
            )

        with open_context(with_ntlm) as context:
            result = play(context, Recorder(alice(password="wrong"), claim))
        assert isinstance(error_of(result), LogonDeniedError)

    def test_in_place_of_the_checksum_over_the_mechanisms_it_lets_nobody_in(
        self, provider: PyspnegoProvider
    ) -> None:
        """The ticket was good, and still: somebody may have changed the list on its way."""
        client = Recorder(
            LateInitiator(), lambda leg, token: ACCEPT_COMPLETED if leg == 2 else token
        )
        with open_context(provider) as context:
            error = error_of(play(context, client))
        assert len(client.tokens) == 3
        assert error.detail == "the client left out the checksum over its list of mechanisms"


class TestTokensInTheLog:
    @pytest.fixture
    def loud(self) -> Iterator[None]:
        """All of pyspnego's loggers at DEBUG, switched on after the provider was made."""
        names = [name for name in logging.root.manager.loggerDict if name.startswith("spnego")]
        levels = {name: logging.getLogger(name).level for name in names}
        assert len(names) > 3
        for name in names:
            logging.getLogger(name).setLevel(logging.DEBUG)
        yield
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    @each_protocol
    def test_are_not_there_at_debug(
        self, with_ntlm: PyspnegoProvider, loud: None, protocol: str
    ) -> None:
        recorder = Recorder(alice(protocol))
        lines: list[str] = []
        with overhear(lines), open_context(with_ntlm) as context:
            answer = establish(context, recorder)
            logging.getLogger("somebody.else").debug("heard")
        assert any("heard" in line for line in lines)
        for token in (*recorder.tokens, answer.token):
            assert find_leak("\n".join(lines), token) is None

    def test_warnings_of_pyspnego_are_let_through(
        self, with_ntlm: PyspnegoProvider, caplog: pytest.LogCaptureFixture
    ) -> None:
        logging.getLogger("spnego._negotiate").warning("something is odd")
        assert caplog.messages == ["something is odd"]

    def test_would_be_there_without_the_package(self, ntlm_users: Path) -> None:
        """If this fails one day, the filter has lost its reason."""
        code = (
            "import logging, sys, spnego;"
            "logging.basicConfig(level=logging.DEBUG, stream=sys.stdout);"
            "spnego.server(protocol='negotiate').step(bytes.fromhex(sys.argv[1]))"
        )
        told = subprocess.run(
            [sys.executable, "-c", code, NTLM_NEGOTIATE.hex()], capture_output=True, text=True
        )
        assert find_leak(told.stdout, NTLM_NEGOTIATE) is not None


class TestChannelBindings:
    def request(self, policy: BindingPolicy) -> ContextRequest:
        return ContextRequest(ChannelBindings(RIGHT, policy))

    def test_cannot_be_required(self, provider: PyspnegoProvider) -> None:
        with pytest.raises(ConfigError, match="cannot require channel bindings"):
            provider.create_context(self.request(BindingPolicy.REQUIRE))

    def begin(self, provider: PyspnegoProvider) -> SecurityContext:
        return provider.create_context(self.request(BindingPolicy.ALLOW))

    @pytest.mark.parametrize("sent", [None, RIGHT])
    def test_where_they_are_allowed_the_right_ones_and_none_are_accepted(
        self, provider: PyspnegoProvider, sent: bytes | None
    ) -> None:
        context = self.begin(provider)
        assert isinstance(take_step(context, fresh_token(bindings=sent)), Established)
        context.delete()

    def test_of_kerberos_that_are_wrong_are_refused(self, provider: PyspnegoProvider) -> None:
        context = self.begin(provider)
        error = error_of(take_step(context, fresh_token(bindings=WRONG)))
        context.delete()
        assert isinstance(error, BadBindingsError)

    @each_protocol
    def test_of_ntlm_that_are_wrong_are_refused(
        self, with_ntlm: PyspnegoProvider, protocol: str
    ) -> None:
        credential = ntlm_credential("DOMAIN\\alice", PASSWORD)
        client: Client = PyspnegoInitiator(credential, protocol=protocol, bindings=WRONG)
        context = self.begin(with_ntlm)
        error = error_of(play(context, client))
        context.delete()
        assert isinstance(error, BadBindingsError)


class TestKerberos:
    def test_of_another_implementation_is_understood(self, provider: PyspnegoProvider) -> None:
        with open_context(provider) as context:
            identity = establish(context, PyspnegoInitiator()).identity
        assert identity.principal == "alice@AUTHSRV.TEST"

    def test_a_replay_is_told_as_one(self, provider: PyspnegoProvider) -> None:
        token = fresh_token()
        assert isinstance(ask(provider, token), Established)
        assert isinstance(error_of(ask(provider, token)), ReplayError)

    def test_a_foreign_ticket_is_told_with_both_names(
        self, provider: PyspnegoProvider, foreign_service: str
    ) -> None:
        error = error_of(ask(provider, kerberos_token(foreign_service)))
        assert isinstance(error, WrongServiceError)
        assert "HTTP/foreign.test@AUTHSRV.TEST; the keytab has keys for HTTP/localhost" in (
            error.detail
        )

    @pytest.mark.parametrize(
        ("make", "first"),
        [(fresh_token, 0xA1), (kerberos_token, 0x60)],
        ids=["negotiated", "raw"],
    )
    def test_a_refusal_carries_the_error_token_of_the_mechanism(
        self, provider: PyspnegoProvider, make: Callable[[], bytes], first: int
    ) -> None:
        """A KRB-ERROR, for a client that negotiates in the message that ends it."""
        token = make()
        assert isinstance(ask(provider, token), Established)
        refused = ask(provider, token)
        assert isinstance(refused, Refused)
        told = refused.token
        assert told[0] == first
        if first == 0xA1:
            answer = parse_spnego(told)
            assert isinstance(answer, NegTokenResp)
            assert answer.neg_state is NegState.REJECT
            told = answer.response_token or b""
        assert parse_krb_error(told).error_code == 34  # KRB_AP_ERR_REPEAT

    def test_a_wrong_clock_is_told_in_seconds(
        self, kerberos_realm: Realm, provider: PyspnegoProvider
    ) -> None:
        cache = kerberos_realm.skewed_login(newcomer(kerberos_realm), 420)
        error = error_of(ask(provider, fresh_token(cache=cache)))
        assert isinstance(error, ClockSkewError)
        assert "s ahead of ours" in error.detail

    def test_wrong_bindings_of_another_implementation_are_told(
        self, provider: PyspnegoProvider
    ) -> None:
        context = provider.create_context(
            ContextRequest(ChannelBindings(RIGHT, BindingPolicy.ALLOW))
        )
        error = error_of(play(context, PyspnegoInitiator(bindings=WRONG)))
        context.delete()
        assert isinstance(error, BadBindingsError)

    @pytest.mark.parametrize("make", [fresh_token, kerberos_token])
    def test_without_a_keytab_it_is_the_servers_fault(
        self,
        provider: PyspnegoProvider,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        make: object,
    ) -> None:
        provider.check()
        token = fresh_token() if make is fresh_token else kerberos_token()
        monkeypatch.setenv("KRB5_KTNAME", f"FILE:{tmp_path / 'missing'}")
        told = "pyspnego finds no credential for Kerberos; is KRB5_KTNAME set?"
        with pytest.raises(KeytabError) as caught:
            provider.check()
        assert caught.value.detail == told
        error = error_of(ask(provider, token))
        assert isinstance(error, KeytabError)
        assert error.detail == told

    @pytest.mark.parametrize("make", [fresh_token, kerberos_token])
    def test_when_the_keytab_is_deleted_it_is_the_servers_fault(
        self,
        provider: PyspnegoProvider,
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        make: Callable[[], bytes],
    ) -> None:
        keytab = tmp_path / "keytab"
        keytab.write_bytes(kerberos_keytab.read_bytes())
        monkeypatch.setenv("KRB5_KTNAME", f"FILE:{keytab}")
        provider.check()
        token = make()
        assert isinstance(ask(provider, token), Established)
        assert isinstance(error_of(ask(provider, token)), ReplayError)
        keytab.unlink()
        assert isinstance(error_of(ask(provider, make())), KeytabError)
        iakerb = build_neg_token_init([KERBEROS], build_frame(IAKERB, b"request"))
        assert isinstance(error_of(ask(provider, iakerb)), KeytabError)

    def test_a_keytab_that_others_can_read_is_told_at_start(
        self,
        provider: PyspnegoProvider,
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        keytab = tmp_path / "keytab"
        keytab.write_bytes(kerberos_keytab.read_bytes())
        keytab.chmod(0o644)
        monkeypatch.setenv("KRB5_KTNAME", f"FILE:{keytab}")
        for _ in range(2):
            provider.check()
        assert caplog.messages == [f"the keytab {keytab} can be read by everybody"]

    @pytest.mark.parametrize("oid", ["1.2.3.4", "1.3.6.1.4.1.311.2.2.30"])
    def test_an_unknown_mechanism_is_the_clients_choice(
        self, provider: PyspnegoProvider, oid: str
    ) -> None:
        error = error_of(ask(provider, build_neg_token_init([oid], b"its own token")))
        assert isinstance(error, MechanismError)

    @pytest.mark.parametrize("value", ["none:", "none"])
    def test_with_the_replay_cache_switched_off_it_is_not_made(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("KRB5RCACHENAME", value)
        with pytest.raises(ConfigError, match="replays"):
            PyspnegoProvider()


class FakeContext:
    """What pyspnego's contexts show, with a name that only an anonymous client has."""

    complete = True
    negotiated_protocol = "kerberos"
    context_attr = 0

    def __init__(self, principal: str | None) -> None:
        self.client_principal = principal
        self._context = self


class TestIdentify:
    def identify(self, principal: str | None) -> object:
        context = PyspnegoProvider().create_context(ContextRequest())
        context._context = FakeContext(principal)
        return context._identify()

    @pytest.mark.parametrize("realm", ["WELLKNOWN:ANONYMOUS", "AUTHSRV.TEST"])
    def test_an_anonymous_client_is_refused(self, realm: str) -> None:
        with pytest.raises(LogonDeniedError, match="anonymous"):
            self.identify(f"WELLKNOWN/ANONYMOUS@{realm}")

    @pytest.mark.parametrize("principal", [None, ""])
    def test_a_complete_context_without_a_name_is_refused(self, principal: str | None) -> None:
        with pytest.raises(LogonDeniedError, match="nobody has authenticated"):
            self.identify(principal)

    def test_a_name_that_cannot_be_read_is_refused(self) -> None:
        class Unreadable(FakeContext):
            @property
            def client_principal(self) -> str:
                raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

            @client_principal.setter
            def client_principal(self, value: str | None) -> None:
                pass

        context = PyspnegoProvider().create_context(ContextRequest())
        context._context = Unreadable(None)
        with pytest.raises(LogonDeniedError, match="nobody has authenticated"):
            context._identify()

    def test_a_context_without_anything_inside_is_refused(self) -> None:
        context = PyspnegoProvider().create_context(ContextRequest())
        context._context = object()
        with pytest.raises(LogonDeniedError, match="nobody has authenticated"):
            context._identify()


def test_a_client_that_rejects_the_negotiation_is_refused(provider: PyspnegoProvider) -> None:
    with open_context(provider) as context:
        assert isinstance(context.step(build_neg_token_init([NTLM, KERBEROS])), Continue)
        rejection = build_neg_token_resp(NegState.REJECT)
        assert isinstance(error_of(take_step(context, rejection)), LogonDeniedError)


def test_a_refusal_is_told_without_the_keytab_where_that_has_gone_meanwhile(
    provider: PyspnegoProvider, foreign_service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = LateInitiator(foreign_service)
    with open_context(provider) as context:
        answer = take_step(context, client.step(None) or b"")
        assert isinstance(answer, Continue)
        ticket = client.step(answer.token)
        monkeypatch.setenv("KRB5_KTNAME", "FILE:/nowhere")
        error = error_of(take_step(context, ticket or b""))
    assert isinstance(error, WrongServiceError)
    assert error.detail.endswith("the keytab has keys for no service that is known here")


def test_a_mechanism_that_is_not_done_and_has_nothing_to_say_is_refused(
    provider: PyspnegoProvider,
) -> None:
    class Silent:
        complete = False

        def step(self, token: bytes) -> None:
            return None

    context = provider.create_context(ContextRequest())
    context._context = Silent()
    assert isinstance(error_of(context.step(ACCEPT_COMPLETED)), InvalidTokenError)


def test_an_empty_token_is_refused(provider: PyspnegoProvider) -> None:
    """pyspnego would begin a negotiation of its own."""
    assert isinstance(error_of(ask(provider, b"")), InvalidTokenError)


def test_a_fault_of_pyspnego_is_not_blamed_on_the_client(provider: PyspnegoProvider) -> None:
    class Faulty:
        def step(self, token: bytes) -> bytes:
            raise AttributeError("no such thing")

    context = provider.create_context(ContextRequest())
    context._context = Faulty()
    with pytest.raises(AttributeError):
        context.step(ACCEPT_COMPLETED)


def test_its_repr_tells_whether_ntlm_is_on(with_ntlm: PyspnegoProvider) -> None:
    assert repr(with_ntlm) == "<PyspnegoProvider NTLM on>"
    assert repr(PyspnegoProvider()) == "<PyspnegoProvider NTLM off>"
