"""The short form: ServerContext over every provider, and what it raises."""

from __future__ import annotations

import pytest
from backends import Backend

from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
)
from authsrv.errors import (
    AttributesError,
    AuthsrvError,
    LogonDeniedError,
    StateError,
    UnsupportedFunctionError,
)
from authsrv.providers.base import ContextRequest
from authsrv.providers.scripted import ALICE, Delay, ScriptedContext, ScriptedProvider
from authsrv.sspi import (
    AscReq,
    AscRet,
    ContextAttribute,
    CredentialHandle,
    SecurityStatus,
    ServerContext,
    acquire_credentials,
)
from authsrv.testing.handshakes import Client

S = SecurityStatus


async def log_in(server: ServerContext, client: Client) -> None:
    answer: bytes | None = None
    while not server.is_established:
        token = client.step(answer)
        assert token
        answer = (await server.accept(token)).token


async def test_a_client_is_let_in_and_named(backend: Backend) -> None:
    async with (
        acquire_credentials(backend.make_provider()) as credential,
        ServerContext(credential) as server,
    ):
        await log_in(server, backend.make_client())
        assert await server.query(ContextAttribute.NAMES) == backend.principal


async def test_a_stranger_is_refused_with_the_cause(backend: Backend) -> None:
    async with (
        acquire_credentials(backend.make_provider()) as credential,
        ServerContext(credential) as server,
    ):
        with pytest.raises(AuthsrvError) as refusal:
            await log_in(server, backend.make_stranger())
        assert refusal.value.status in (S.SEC_E_LOGON_DENIED, S.SEC_E_WRONG_PRINCIPAL)
        assert not server.is_established
        with pytest.raises(StateError):
            await server.query(ContextAttribute.NAMES)


async def test_complete_auth_token_is_called_where_it_is_asked_for() -> None:
    script = (
        CompleteAndContinue(b"x"),
        Continue(b"next"),
        CompleteNeeded(),
        Established(ALICE, b"p"),
    )
    provider = ScriptedProvider(script)
    async with (
        acquire_credentials(provider) as credential,
        ServerContext(credential) as server,
    ):
        first = await server.accept(b"one")
        assert (first.status, first.token) == (S.SEC_I_CONTINUE_NEEDED, b"next")
        second = await server.accept(b"two")
        assert (second.status, second.token) == (S.SEC_E_OK, b"p")
        assert server.is_established
    assert provider.open_contexts == 0


async def test_complete_auth_token_that_denies_is_raised_with_its_own_cause() -> None:
    script = CompleteNeeded(), Refused(LogonDeniedError("the password is wrong"))
    async with (
        acquire_credentials(ScriptedProvider(script)) as credential,
        ServerContext(credential) as server,
    ):
        with pytest.raises(LogonDeniedError, match="the password is wrong"):
            await server.accept(b"one")
        assert not server.is_established


async def test_what_is_missing_and_what_is_left_over_are_told() -> None:
    script = Incomplete(4), Established(ALICE, unused=3)
    async with (
        acquire_credentials(ScriptedProvider(script)) as credential,
        ServerContext(credential) as server,
    ):
        first = await server.accept(b"tok")
        assert (first.status, first.missing, first.extra) == (S.SEC_E_INCOMPLETE_MESSAGE, 4, b"")
        second = await server.accept(b"en__EXT")
        assert (second.status, second.missing, second.extra) == (S.SEC_E_OK, None, b"EXT")


async def test_required_attributes_that_are_lacking_are_raised() -> None:
    async with acquire_credentials(ScriptedProvider()) as credential:
        server = ServerContext(credential, required_attributes=AscRet.CONFIDENTIALITY)
        async with server:
            with pytest.raises(AttributesError, match="CONFIDENTIALITY"):
                await server.accept(b"token")


async def test_flags_and_bindings_reach_the_package() -> None:
    seen: list[ContextRequest] = []

    class Seen(ScriptedProvider):
        def create_context(self, request: ContextRequest) -> ScriptedContext:
            seen.append(request)
            return super().create_context(request)

    bindings = ChannelBindings(b"tls-unique:x", BindingPolicy.ALLOW)
    async with acquire_credentials(Seen()) as credential:
        server = ServerContext(credential, context_req=AscReq.INTEGRITY, bindings=bindings)
        async with server:
            await server.accept(b"token")
    assert seen[0].bindings == bindings
    assert seen[0].flags & AscReq.INTEGRITY


async def test_leaving_the_block_deletes_the_context_whatever_its_state() -> None:
    provider = ScriptedProvider([Continue(b"next")])
    async with acquire_credentials(provider) as credential:
        async with ServerContext(credential) as server:
            await server.accept(b"one")
            assert provider.open_contexts == 1
        assert provider.open_contexts == 0
        await server.delete()
        with pytest.raises(StateError):
            await server.query(ContextAttribute.NAMES)


async def test_an_attribute_that_nobody_tells_is_unsupported() -> None:
    async with (
        acquire_credentials(ScriptedProvider()) as credential,
        ServerContext(credential) as server,
    ):
        with pytest.raises(StateError):
            await server.query(ContextAttribute.NAMES)
        await server.accept(b"token")
        with pytest.raises(UnsupportedFunctionError, match="SIZES"):
            await server.query(ContextAttribute.SIZES)


async def test_a_credential_that_is_none_is_a_wrong_state() -> None:
    with pytest.raises(StateError, match="SEC_E_INVALID_HANDLE"):
        await ServerContext(CredentialHandle()).accept(b"token")


async def test_steps_after_the_end_are_refused() -> None:
    provider = ScriptedProvider([Established(ALICE), Delay(0, Established(ALICE))])
    async with acquire_credentials(provider) as credential:
        async with ServerContext(credential) as server:
            await server.accept(b"token")
            with pytest.raises(StateError, match="SEC_E_OUT_OF_SEQUENCE"):
                await server.accept(b"token")
            assert server.is_established
        server_again = repr(server)
        assert "of nothing" in server_again or "None" in server_again
