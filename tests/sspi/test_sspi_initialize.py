"""The client's calls: SspiInitializeSecurityContextAsync, against the server's, with a real KDC."""

from __future__ import annotations

import datetime
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from backends import tokens

from authsrv.core.bindings import ChannelBindings
from authsrv.core.credentials import TicketCache
from authsrv.core.flags import AscRet, IscRet
from authsrv.core.identity import Identity
from authsrv.core.results import Continue, Established, Refused
from authsrv.errors import ConfigError, MutualAuthenticationError
from authsrv.providers.scripted import Act, ScriptedProvider
from authsrv.sspi import (
    AscReq,
    AsyncContext,
    BufferType,
    CallResult,
    ClientContext,
    ContextAttribute,
    ContextHandle,
    CredentialHandle,
    CredentialUse,
    IscReq,
    Keytab,
    Password,
    SecBufferDesc,
    SecurityStatus,
    ServerContext,
    TargetDataRep,
    accept_security_context_async,
    acquire_credentials,
    acquire_credentials_handle_async,
    delete_security_context_async,
    initialize_security_context_async,
    pack_channel_bindings,
    query_context_attributes,
)

S = SecurityStatus
TARGET = "HTTP/localhost"
NOTHING = AscRet(0)
SERVER = Identity(TARGET, "scripted", attributes=AscRet.MUTUAL_AUTH | AscRet.INTEGRITY)


def outbound(
    provider: str | ScriptedProvider = "Negotiate",
) -> AbstractAsyncContextManager[CredentialHandle]:
    return acquire_credentials(provider, use=CredentialUse.OUTBOUND)


def token_of(result: CallResult) -> bytes:
    place = result.output.first(BufferType.TOKEN)
    assert place is not None
    return place.data


async def delete(*contexts: ContextHandle | None) -> None:
    for context in contexts:
        assert context is not None
        call = AsyncContext()
        assert delete_security_context_async(call, context) is S.SEC_E_OK
        await call


async def initialize(
    credential: CredentialHandle,
    context: ContextHandle | None,
    input: SecBufferDesc | None = None,
    flags: IscReq = IscReq.MUTUAL_AUTH,
    target: str | None = TARGET,
    required: AscRet = NOTHING,
) -> CallResult:
    call = AsyncContext()
    status = initialize_security_context_async(
        call,
        credential,
        context,
        target,
        flags,
        TargetDataRep.NATIVE,
        input,
        required_attributes=required,
    )
    assert status is S.SEC_E_OK, status.name
    return await call


def without_kdc(config: Path, folder: Path) -> Path:
    """A copy of a krb5.conf whose KDC does not answer."""
    lines = [
        "    kdc = 127.0.0.1:1" if line.strip().startswith("kdc =") else line
        for line in config.read_text(encoding="utf-8").splitlines()
    ]
    dead = folder / "krb5.conf"
    dead.write_text("\n".join(lines), encoding="utf-8")
    return dead


@pytest.mark.parametrize("name", ["Negotiate", "kerberos"])
async def test_client_and_server_establish_a_context_with_each_other(
    name: str, kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    async with (
        outbound(name) as outward,
        acquire_credentials(name, keytab=kerberos_keytab) as inward,
    ):
        first = await initialize(outward, None)
        assert first.status is S.SEC_I_CONTINUE_NEEDED
        assert first.context_attr == AscRet(0)
        call = AsyncContext()
        accept_security_context_async(call, inward, None, tokens(token_of(first)))
        accepted = await call
        assert accepted.status is S.SEC_E_OK
        second = await initialize(outward, first.context, tokens(token_of(accepted)))
        assert second.status is S.SEC_E_OK
        assert isinstance(second.context_attr, IscRet)
        assert second.context_attr & IscRet.MUTUAL_AUTH
        assert second.expiry is not None
        assert second.expiry.tzinfo is datetime.UTC
        keys = []
        for context, peer in (
            (second.context, TARGET),
            (accepted.context, "alice@AUTHSRV.TEST"),
        ):
            assert context is not None
            who = await query_context_attributes(context, ContextAttribute.NAMES)
            assert who.value == peer
            key = await query_context_attributes(context, ContextAttribute.SESSION_KEY)
            keys.append(key.value)
        assert keys[0] == keys[1]
        assert second.context is not None
        flags = await query_context_attributes(second.context, ContextAttribute.FLAGS)
        assert flags.value == second.context_attr
        await delete(second.context, accepted.context)


async def test_the_short_form_of_both_sides(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    bindings = ChannelBindings(b"tls-server-end-point:same")
    async with (
        outbound() as outward,
        acquire_credentials("Negotiate", keytab=kerberos_keytab) as inward,
        ClientContext(outward, TARGET, bindings=bindings) as client,
        ServerContext(inward, bindings=bindings) as server,
    ):
        asked = await client.initialize()
        told = await server.accept(asked.token)
        assert server.is_established
        assert not client.is_established
        done = await client.initialize(told.token)
        assert client.is_established
        assert (done.status, told.status) == (S.SEC_E_OK, S.SEC_E_OK)
        assert await server.query(ContextAttribute.NAMES) == "alice@AUTHSRV.TEST"
        assert await client.query(ContextAttribute.NAMES) == TARGET


async def test_a_servers_context_is_none_of_a_clients() -> None:
    provider = ScriptedProvider([Continue(b"next"), Established(SERVER)])
    async with acquire_credentials(provider, use=CredentialUse.BOTH) as credential:
        result = await initialize(credential, None)
        status = accept_security_context_async(
            AsyncContext(), credential, result.context, tokens(b"x")
        )
        assert status is S.SEC_E_INVALID_HANDLE
        await delete(result.context)


async def test_a_credential_of_a_server_begins_nothing() -> None:
    async with acquire_credentials(ScriptedProvider()) as credential:
        status = initialize_security_context_async(AsyncContext(), credential, None, TARGET)
        assert status is S.SEC_E_NO_CREDENTIALS


@pytest.mark.parametrize("target", [None, ""])
async def test_no_target_is_target_unknown(target: str | None) -> None:
    async with outbound(ScriptedProvider()) as credential:
        status = initialize_security_context_async(AsyncContext(), credential, None, target)
        assert status is S.SEC_E_TARGET_UNKNOWN


async def test_a_target_that_the_kdc_does_not_know_is_target_unknown(
    kerberos_environment: dict[str, str],
) -> None:
    async with outbound() as credential:
        result = await initialize(credential, None, target="HTTP/nobody.test")
        assert (result.status, result.context) == (S.SEC_E_TARGET_UNKNOWN, None)


async def test_no_ticket_is_no_credentials(
    kerberos_environment: dict[str, str], tmp_path: Path
) -> None:
    call, credential = AsyncContext(), CredentialHandle()
    acquire_credentials_handle_async(
        call,
        None,
        "Negotiate",
        CredentialUse.OUTBOUND,
        TicketCache(f"FILE:{tmp_path}/none"),
        credential,
    )
    assert (await call).status is S.SEC_E_OK
    async with credential:
        result = await initialize(credential, None)
        assert (result.status, result.context) == (S.SEC_E_NO_CREDENTIALS, None)


async def test_a_kdc_that_does_not_answer_is_no_authenticating_authority(
    kerberos_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = without_kdc(Path(kerberos_environment["KRB5_CONFIG"]), tmp_path)
    monkeypatch.setenv("KRB5_CONFIG", str(dead))
    async with outbound() as credential:
        result = await initialize(credential, None, target="HTTP/fresh.test")
        assert result.status is S.SEC_E_NO_AUTHENTICATING_AUTHORITY


async def test_a_server_that_does_not_prove_who_it_is_fails_where_that_is_required() -> None:
    silent = Identity(TARGET, "scripted")
    script: tuple[Act, ...] = (Continue(b"hello"), Established(silent))
    async with outbound(ScriptedProvider(script)) as credential:
        first = await initialize(credential, None, required=AscRet.MUTUAL_AUTH)
        second = await initialize(credential, first.context, tokens(b"x"))
        assert second.status is S.SEC_E_SECURITY_QOS_FAILED


async def test_a_wrong_proof_is_mutual_auth_failed() -> None:
    script = Continue(b"hello"), Refused(MutualAuthenticationError("the proof is wrong"))
    async with outbound(ScriptedProvider(script)) as credential:
        async with ClientContext(credential, TARGET) as client:
            await client.initialize()
            with pytest.raises(MutualAuthenticationError):
                await client.initialize(b"x")
            assert not client.is_established


async def test_the_first_input_may_be_nothing_but_channel_bindings() -> None:
    seen: list[object] = []

    class Seen(ScriptedProvider):
        def create_initiator(self, request):  # type: ignore[no-untyped-def]
            seen.append(request)
            return super().create_initiator(request)

    bindings = ChannelBindings(b"tls-server-end-point:ours")
    async with outbound(Seen([Established(SERVER, b"x")])) as credential:
        flags = IscReq.MUTUAL_AUTH | IscReq.DELEGATE
        given = SecBufferDesc((pack_channel_bindings(bindings),))
        result = await initialize(credential, None, given, flags)
        await delete(result.context)
    request = seen[0]
    assert request.bindings == bindings  # type: ignore[attr-defined]
    assert (request.target, request.flags) == (TARGET, flags)  # type: ignore[attr-defined]


async def test_a_client_needs_a_token_from_its_second_step_on() -> None:
    script = Continue(b"hello"), Established(SERVER)
    async with outbound(ScriptedProvider(script)) as credential:
        first = await initialize(credential, None)
        status = initialize_security_context_async(
            AsyncContext(), credential, first.context, TARGET
        )
        assert status is S.SEC_E_INVALID_TOKEN
        assert (await initialize(credential, first.context, tokens(b""))).status is (
            S.SEC_E_INVALID_TOKEN
        )


# Credentials by name.


@pytest.mark.parametrize("name", ["Digest", "", "gssapi"])
async def test_a_package_that_nobody_knows_is_secpkg_not_found(name: str) -> None:
    call = AsyncContext()
    status = acquire_credentials_handle_async(
        call, None, name, CredentialUse.INBOUND, None, CredentialHandle()
    )
    assert status is S.SEC_E_OK
    assert (await call).status is S.SEC_E_SECPKG_NOT_FOUND


@pytest.mark.parametrize(
    ("use", "auth_data"),
    [
        (CredentialUse.INBOUND, None),
        (CredentialUse.INBOUND, Password("alice", "secret")),
        (CredentialUse.OUTBOUND, Password("alice", "secret")),
        (CredentialUse.OUTBOUND, Keytab("/nowhere/without-a-principal")),
        (CredentialUse.PROCESS_POLICY_ONLY, Keytab("/nowhere")),
    ],
)
async def test_settings_that_cannot_work_are_invalid_parameters(
    use: CredentialUse, auth_data: Keytab | Password | None
) -> None:
    call, credential = AsyncContext(), CredentialHandle()
    acquire_credentials_handle_async(call, None, "Kerberos", use, auth_data, credential)
    result = await call
    assert result.status is S.SEC_E_INVALID_PARAMETER
    assert not credential.is_valid
    assert "secret" not in repr(auth_data)


async def test_a_package_of_one_direction_only_is_an_unsupported_function() -> None:
    class AcceptsOnly:
        name = "accepts only"

        def create_context(self, request: object) -> None: ...

        def check(self) -> None: ...

    call = AsyncContext()
    acquire_credentials_handle_async(
        call,
        None,
        AcceptsOnly(),  # type: ignore[arg-type]
        CredentialUse.BOTH,
        None,
        CredentialHandle(),
    )
    assert (await call).status is S.SEC_E_UNSUPPORTED_FUNCTION


SSPI_RS = pytest.mark.skipif(sys.platform == "win32", reason="SSPI is Windows' own there")


@SSPI_RS
@pytest.mark.parametrize("name", ["NTLM", "ntlm"])
@pytest.mark.parametrize("use", [CredentialUse.INBOUND, CredentialUse.BOTH])
async def test_ntlm_by_name_accepts_nobody_outside_of_windows(
    name: str, use: CredentialUse
) -> None:
    """There it would be sspi-rs, which is for tests, and no name or environment asks for it."""
    call, credential = AsyncContext(), CredentialHandle()
    known = Password("alice", "secret")
    acquire_credentials_handle_async(call, None, name, use, known, credential)
    result = await call
    assert result.status is S.SEC_E_UNSUPPORTED_FUNCTION
    assert isinstance(result.error, ConfigError)
    assert "SSPI on this system is sspi-rs, which is for tests: " in result.error.detail
    assert not credential.is_valid
    with pytest.raises(ConfigError, match="is for tests") as caught:
        async with acquire_credentials(name, use=use, password=known):
            pass
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION


@SSPI_RS
async def test_ntlm_by_name_initiates_outside_of_windows() -> None:
    known = Password("alice", "secret")
    async with acquire_credentials(
        "NTLM", use=CredentialUse.OUTBOUND, password=known
    ) as credential:
        result = await initialize(credential, None)
        assert result.status is S.SEC_I_CONTINUE_NEEDED
        assert token_of(result).startswith(b"NTLMSSP\x00\x01")
        await delete(result.context)


async def test_both_directions_with_one_credential(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    async with acquire_credentials(
        "Kerberos", principal=TARGET, keytab=kerberos_keytab, use=CredentialUse.BOTH
    ) as credential:
        async with ClientContext(credential, TARGET) as client, ServerContext(credential) as server:
            told = await server.accept((await client.initialize()).token)
            await client.initialize(told.token)
            name = await server.query(ContextAttribute.NAMES)
            assert name == "HTTP/localhost@AUTHSRV.TEST"


async def test_flags_of_a_server_are_no_flags_of_a_client() -> None:
    assert int(AscReq.INTEGRITY) != int(IscReq.INTEGRITY)
