"""The provider "gssapi" with a real realm: names, keys, bindings, all that an identity tells."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gssapi.raw as gss
import pytest
from answers import accept, error_of, identity_of
from initiators import (
    KERBEROS_MECH,
    MUTUAL,
    SPNEGO_MECH,
    GssapiInitiator,
    PyspnegoInitiator,
    fresh_token,
    newcomer,
)

from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.flags import AscRet
from authsrv.core.results import Refused
from authsrv.devrealm import Realm
from authsrv.errors import (
    BadBindingsError,
    ConfigError,
    KeytabError,
    LogonDeniedError,
    MechanismError,
    WrongServiceError,
)
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.identity import client_name, end_of_ticket
from authsrv.providers.kerberos.keytab import KeytabFile
from authsrv.testing.handshakes import establish, open_context

ALICE = "alice@AUTHSRV.TEST"
RIGHT = b"tls-server-end-point:" + bytes(32)
WRONG = b"tls-server-end-point:" + bytes(31) + b"\x01"


@pytest.fixture
def provider(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> GssapiProvider:
    return GssapiProvider(kerberos_keytab)


class TestKeytabsAndNames:
    def test_several_keytabs_live_in_one_process(
        self, kerberos_realm: Realm, provider: GssapiProvider, foreign_service: str, tmp_path: Path
    ) -> None:
        keytab = kerberos_realm.write_keytab(tmp_path / "other", ["HTTP/foreign.test"])
        other = GssapiProvider(keytab)
        for _ in range(2):
            assert identity_of(accept(provider, fresh_token())).principal == ALICE
            assert identity_of(accept(other, fresh_token(foreign_service))).principal == ALICE
            assert isinstance(error_of(accept(other, fresh_token())), WrongServiceError)
            wrong = accept(provider, fresh_token(foreign_service))
            assert isinstance(error_of(wrong), WrongServiceError)

    def test_no_variable_of_the_environment_chooses_the_keytab(
        self, provider: GssapiProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KRB5_KTNAME", "FILE:/nowhere")
        assert identity_of(accept(provider, fresh_token())).principal == ALICE

    @pytest.mark.parametrize("service", [None, "HTTP/localhost"])
    def test_the_identity_tells_which_service_was_asked_for(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path, service: str | None
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, service=service)
        assert identity_of(accept(provider, fresh_token())).service == "HTTP/localhost"

    def test_several_services_in_one_keytab_are_told_apart(
        self,
        kerberos_realm: Realm,
        kerberos_environment: dict[str, str],
        foreign_service: str,
        tmp_path: Path,
    ) -> None:
        names = ["HTTP/localhost", "HTTP/foreign.test"]
        provider = GssapiProvider(kerberos_realm.write_keytab(tmp_path / "both", names))
        assert identity_of(accept(provider, fresh_token())).service == "HTTP/localhost"
        told = identity_of(accept(provider, fresh_token(foreign_service))).service
        assert told == "HTTP/foreign.test"

    def test_one_keytab_serves_several_packages_with_a_name_each(
        self,
        kerberos_realm: Realm,
        kerberos_environment: dict[str, str],
        foreign_service: str,
        tmp_path: Path,
    ) -> None:
        names = ["HTTP/localhost", "HTTP/foreign.test"]
        keytab = KeytabFile(kerberos_realm.write_keytab(tmp_path / "both", names))
        local, foreign = (GssapiProvider(keytab, service=name) for name in names)
        assert identity_of(accept(local, fresh_token())).service == "HTTP/localhost"
        assert identity_of(accept(foreign, fresh_token(foreign_service))).service == names[1]
        for provider, wanted in ((local, foreign_service), (foreign, "HTTP@localhost")):
            error = error_of(accept(provider, fresh_token(wanted)))
            assert isinstance(error, WrongServiceError)

    def test_a_name_that_has_no_key_is_the_servers_fault(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, service="HTTP/absent.test")
        with pytest.raises(KeytabError) as caught:
            provider.check()
        told = f"the keytab {kerberos_keytab} has no key for HTTP/absent.test"
        assert caught.value.detail == told
        error = error_of(accept(provider, fresh_token()))
        assert isinstance(error, KeytabError)

    @pytest.mark.parametrize(
        "service", ["", "HTTP", "HTTP/", "/host", "HTTP@host", "HTTP/host@REALM"]
    )
    def test_a_name_of_another_form_is_a_mistake_of_the_settings(self, service: str) -> None:
        with pytest.raises(ConfigError, match="HTTP/host"):
            GssapiProvider("/nowhere", service=service)

    def test_a_keytab_that_comes_later_is_good_without_a_restart(
        self, kerberos_realm: Realm, kerberos_environment: dict[str, str], tmp_path: Path
    ) -> None:
        path = tmp_path / "later"
        provider = GssapiProvider(path)
        with pytest.raises(KeytabError):
            provider.check()
        assert isinstance(error_of(accept(provider, fresh_token())), KeytabError)
        kerberos_realm.write_keytab(path, ["HTTP/localhost"])
        provider.check()
        assert identity_of(accept(provider, fresh_token())).principal == ALICE

    def test_the_credential_is_shared_until_the_keytab_changes(
        self, kerberos_realm: Realm, kerberos_environment: dict[str, str], tmp_path: Path
    ) -> None:
        path = kerberos_realm.write_keytab(tmp_path / "keytab", ["HTTP/localhost"])
        os.utime(path, (1, 1))
        provider = GssapiProvider(KeytabFile(path, settle_seconds=0.0))
        first = provider.credential()
        assert provider.credential()[1] is first[1]
        kerberos_realm.write_keytab(path, ["HTTP/localhost"])
        assert provider.credential()[1] is not first[1]

    @pytest.mark.parametrize("wrong", ["none:", b"none:", object(), False])
    def test_what_is_no_protection_is_refused(self, wrong: Any) -> None:
        with pytest.raises(ConfigError, match="replay must be a store"):
            GssapiProvider("/nowhere", replay=wrong)

    def test_its_repr_tells_service_and_file(self, kerberos_keytab: Path) -> None:
        provider = GssapiProvider(kerberos_keytab)
        assert repr(provider) == f"<GssapiProvider any service in {kerberos_keytab}>"
        limited = GssapiProvider(kerberos_keytab, service="HTTP/localhost")
        assert "HTTP/localhost" in repr(limited)


class TestChannelBindings:
    @pytest.mark.parametrize("policy", BindingPolicy)
    @pytest.mark.parametrize("mechanism", [SPNEGO_MECH, KERBEROS_MECH])
    def test_the_right_ones_are_accepted_and_told(
        self, provider: GssapiProvider, policy: BindingPolicy, mechanism: Any
    ) -> None:
        token = fresh_token(bindings=RIGHT, mechanism=mechanism)
        identity = identity_of(accept(provider, token, bindings=ChannelBindings(RIGHT, policy)))
        assert identity.channel_bound

    @pytest.mark.parametrize("policy", BindingPolicy)
    def test_wrong_ones_are_refused_whatever_the_policy(
        self, provider: GssapiProvider, policy: BindingPolicy
    ) -> None:
        result = accept(
            provider, fresh_token(bindings=WRONG), bindings=ChannelBindings(RIGHT, policy)
        )
        error = error_of(result)
        assert isinstance(error, BadBindingsError)
        assert str(error) == "the client's channel bindings name another channel"

    def test_a_client_without_any_is_refused_where_they_are_required(
        self, provider: GssapiProvider
    ) -> None:
        """MIT's acceptor takes it."""
        result = accept(
            provider, fresh_token(), bindings=ChannelBindings(RIGHT, BindingPolicy.REQUIRE)
        )
        error = error_of(result)
        assert isinstance(error, BadBindingsError)
        assert str(error) == "the client sent no channel bindings, and they are required"

    def test_required_is_what_they_are_where_nothing_is_said(
        self, provider: GssapiProvider
    ) -> None:
        assert isinstance(
            error_of(accept(provider, fresh_token(), bindings=ChannelBindings(RIGHT))),
            BadBindingsError,
        )

    def test_a_client_without_any_is_accepted_where_they_are_allowed(
        self, provider: GssapiProvider
    ) -> None:
        result = accept(
            provider, fresh_token(), bindings=ChannelBindings(RIGHT, BindingPolicy.ALLOW)
        )
        assert not identity_of(result).channel_bound

    @pytest.mark.parametrize("bindings", [None, RIGHT])
    def test_where_none_are_looked_at_nobody_is_bound(
        self, provider: GssapiProvider, bindings: bytes | None
    ) -> None:
        token = fresh_token(bindings=bindings)
        assert not identity_of(accept(provider, token)).channel_bound

    def test_those_of_another_implementation_are_understood(self, provider: GssapiProvider) -> None:
        client = PyspnegoInitiator(bindings=RIGHT)
        context = provider.create_context(ContextRequest(ChannelBindings(RIGHT)))
        assert establish(context, client).identity.channel_bound
        context.delete()


class TestIdentity:
    def test_names_whoever_has_the_ticket(
        self, kerberos_realm: Realm, provider: GssapiProvider
    ) -> None:
        user = newcomer(kerberos_realm)
        cache = kerberos_realm.login(user)
        identity = identity_of(accept(provider, fresh_token(cache=cache)))
        assert identity.principal == f"{user}@AUTHSRV.TEST"
        assert (identity.username, identity.realm) == (user, "AUTHSRV.TEST")
        assert identity.mechanism == "kerberos"

    @pytest.mark.parametrize("user", ["bob/admin", "bob.b-b_2", "Bob"])
    def test_names_people_as_the_realm_does(
        self, kerberos_realm: Realm, provider: GssapiProvider, user: str
    ) -> None:
        kerberos_realm.add_user(user)
        cache = kerberos_realm.login(user)
        identity = identity_of(accept(provider, fresh_token(cache=cache)))
        assert identity.principal == f"{user}@AUTHSRV.TEST"

    def test_tells_what_the_context_offers(self, provider: GssapiProvider) -> None:
        integrity = gss.RequirementFlag.integrity
        plain = identity_of(accept(provider, fresh_token(flags=[integrity]))).attributes
        mutual = identity_of(accept(provider, fresh_token(flags=[integrity, MUTUAL]))).attributes
        assert AscRet.MUTUAL_AUTH not in plain
        assert mutual == plain | AscRet.MUTUAL_AUTH
        assert AscRet.INTEGRITY in plain
        assert AscRet.CONFIDENTIALITY in plain
        more = fresh_token(
            flags=[
                gss.RequirementFlag.replay_detection,
                gss.RequirementFlag.out_of_sequence_detection,
            ]
        )
        attributes = identity_of(accept(provider, more)).attributes
        assert AscRet.REPLAY_DETECT in attributes
        assert AscRet.SEQUENCE_DETECT in attributes

    @pytest.mark.parametrize("lifetime", [60, 3600])
    def test_tells_when_the_context_ends(
        self, kerberos_realm: Realm, provider: GssapiProvider, lifetime: int
    ) -> None:
        cache = kerberos_realm.login(newcomer(kerberos_realm), lifetime_s=lifetime)
        expires_at = identity_of(accept(provider, fresh_token(cache=cache))).expires_at
        assert expires_at is not None
        left = (expires_at - datetime.datetime.now(datetime.UTC)).total_seconds()
        assert lifetime - 60 < left <= lifetime

    def test_may_have_no_end(self) -> None:
        assert end_of_ticket(None, 0.0, 300) is None

    def test_has_no_credential_of_a_client_that_delegated_none(
        self, provider: GssapiProvider
    ) -> None:
        identity = identity_of(accept(provider, fresh_token()))
        assert identity.delegated is None
        assert AscRet.DELEGATE not in identity.attributes

    def test_has_the_credential_that_was_delegated_and_it_works(
        self, kerberos_realm: Realm, provider: GssapiProvider, foreign_service: str, tmp_path: Path
    ) -> None:
        user = newcomer(kerberos_realm)
        cache = kerberos_realm.login(user, forwardable=True)
        flags = [MUTUAL, gss.RequirementFlag.delegate_to_peer]
        identity = identity_of(accept(provider, fresh_token(cache=cache, flags=flags)))
        assert AscRet.DELEGATE in identity.attributes
        assert identity.delegated is not None
        assert identity.delegated.provider == "gssapi"
        assert re.fullmatch(r"DelegatedCredential\(provider='gssapi'\)", repr(identity.delegated))

        # The service goes on to another one, in the client's name.
        name = gss.import_name(foreign_service.encode(), gss.NameType.hostbased_service)
        began = gss.init_sec_context(name, identity.delegated.native, mech=KERBEROS_MECH)
        keytab = kerberos_realm.write_keytab(tmp_path / "next", ["HTTP/foreign.test"])
        assert identity_of(accept(GssapiProvider(keytab), began.token)).principal == (
            f"{user}@AUTHSRV.TEST"
        )


class TestNameAttributes:
    def test_are_read_where_the_package_was_told_to(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        wanted = ["urn:mspac:client-info", "urn:nobody:says-that"]
        provider = GssapiProvider(kerberos_keytab, name_attributes=wanted)
        told = identity_of(accept(provider, fresh_token())).name_attributes
        # MS-PAC section 2.7: the client's name, in UTF-16.
        assert set(told) == {"urn:mspac:client-info"}
        assert told["urn:mspac:client-info"][0].endswith("alice".encode("utf-16-le"))

    def test_are_not_read_where_nobody_asked(self, provider: GssapiProvider) -> None:
        assert identity_of(accept(provider, fresh_token())).name_attributes == {}

    def test_that_nobody_vouches_for_are_left_out(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def claimed(name: object, attribute: bytes) -> SimpleNamespace:
            return SimpleNamespace(values=[b"admins"], authenticated=attribute != b"urn:claimed")

        monkeypatch.setattr(gss, "get_name_attribute", claimed)
        # What libkrb5 says of a PAC does not count: see test_pac_signature.
        wanted = ["urn:good", "urn:claimed", "urn:mspac:logon-info"]
        provider = GssapiProvider(kerberos_keytab, name_attributes=wanted)
        told = identity_of(accept(provider, fresh_token())).name_attributes
        assert told == {"urn:good": (b"admins",)}

    def test_do_not_show_in_a_repr(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        wanted = ["urn:mspac:client-info"]
        provider = GssapiProvider(kerberos_keytab, name_attributes=wanted)
        assert "urn:mspac" not in repr(identity_of(accept(provider, fresh_token())))


class TestWhoIsNobody:
    """What a client cannot easily be brought to send, given to the last step by hand."""

    def refuse(self, provider: GssapiProvider, **told: object) -> Exception:
        answer = SimpleNamespace(
            **{
                "flags": 0,
                "mech": KERBEROS_MECH,
                "initiator_name": gss.import_name(b"alice@AUTHSRV.TEST", gss.NameType.user),
                **told,
            }
        )
        context = provider.create_context(ContextRequest())
        with pytest.raises((LogonDeniedError, MechanismError)) as caught:
            context._identify(answer, asked_at=0.0, skew=300)
        return caught.value

    def test_an_anonymous_client_is_refused(self, provider: GssapiProvider) -> None:
        error = self.refuse(provider, flags=0x40)
        assert str(error) == "the client is anonymous"

    def test_a_client_without_a_name_is_refused(self, provider: GssapiProvider) -> None:
        assert str(self.refuse(provider, initiator_name=None)) == "the client is anonymous"

    def test_another_mechanism_at_the_end_is_refused(self, provider: GssapiProvider) -> None:
        ntlm = gss.OID.from_int_seq("1.3.6.1.4.1.311.2.2.10")
        assert isinstance(self.refuse(provider, mech=ntlm), MechanismError)

    def test_a_name_that_is_not_utf_8_is_refused_and_not_mended(self) -> None:
        kind = gss.NameType.kerberos_principal
        name = gss.import_name(b"m\xfcller@AUTHSRV.TEST", kind)
        with pytest.raises(LogonDeniedError, match="not UTF-8"):
            client_name(SimpleNamespace(initiator_name=name, flags=0))
        good = gss.import_name("müller@AUTHSRV.TEST".encode(), kind)
        told = client_name(SimpleNamespace(initiator_name=good, flags=0))
        assert told == "müller@AUTHSRV.TEST"


def test_the_client_gets_the_proof_of_the_server(provider: GssapiProvider) -> None:
    client = GssapiInitiator()
    with open_context(provider) as context:
        establish(context, client)
    assert client.is_complete


def test_a_refusal_carries_the_error_token_for_the_client(
    provider: GssapiProvider, foreign_service: str
) -> None:
    client = GssapiInitiator(foreign_service)
    result = accept(provider, client.step(None) or b"")
    assert isinstance(result, Refused)
    assert result.token
    with pytest.raises(gss.GSSError):
        client.step(result.token)


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['gssapi.raw'] = None\n"
        "from authsrv.errors import ConfigError\n"
        "try:\n    import authsrv.providers.gssapi.acceptor\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == (
        "Kerberos needs the extra authsrv[kerberos]: gssapi.raw is not installed\n"
    )
