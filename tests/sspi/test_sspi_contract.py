"""The contract of SspiAcceptSecurityContextAsync, in the order of its documentation.

Each parameter, each return code and each remark has a test that is named after it. Those that take
the fixture `backend` run over every provider that there is.
"""

from __future__ import annotations

import asyncio
import datetime
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from backends import COMPLETING, Backend, accept, converse, token_of, tokens

from authsrv.core.bindings import ChannelBindings
from authsrv.core.identity import Identity
from authsrv.core.limits import Limits
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
    AuthorityError,
    InvalidTokenError,
    LogonDeniedError,
    ProviderFaultError,
)
from authsrv.providers.scripted import ALICE, Act, Delay, ScriptedProvider
from authsrv.sspi import (
    AscReq,
    AscRet,
    AsyncContext,
    BufferType,
    CallResult,
    ContextAttribute,
    ContextHandle,
    CredentialHandle,
    CredentialUse,
    Keytab,
    SecBuffer,
    SecBufferDesc,
    SecurityStatus,
    TargetDataRep,
    accept_security_context_async,
    acquire_credentials,
    acquire_credentials_handle_async,
    complete_auth_token,
    create_async_context,
    delete_security_context_async,
    free_credentials_handle_async,
    get_async_call_status,
    pack_channel_bindings,
    query_context_attributes,
    reinit_async_context,
)

if sys.platform != "win32":
    from initiators import GssapiInitiator

    from authsrv.providers.gssapi.acceptor import GssapiProvider

S = SecurityStatus
NO_FLAGS = AscReq(0)


def place() -> SecBufferDesc:
    return SecBufferDesc((SecBuffer(BufferType.TOKEN), SecBuffer(BufferType.EMPTY)))


async def delete(context: ContextHandle | None) -> None:
    assert context is not None
    call = AsyncContext()
    assert delete_security_context_async(call, context) is S.SEC_E_OK
    assert (await call).status is S.SEC_E_OK


async def answer(*script: Act, token: bytes = b"token", flags: AscReq = NO_FLAGS) -> CallResult:
    """What one call answers where a script is the provider; its context is deleted."""
    provider = ScriptedProvider(script)
    async with acquire_credentials(provider) as credential:
        result = await accept(credential, None, token, flags)
        if result.context is not None:
            await delete(result.context)
    assert provider.open_contexts == 0
    return result


# Parameters.


async def test_async_context_is_the_call_and_is_pending_until_it_is_complete() -> None:
    provider = ScriptedProvider([Delay(60, Established(ALICE))])
    async with acquire_credentials(provider) as credential:
        call = create_async_context()
        queued = accept_security_context_async(call, credential, None, tokens(b"token"))
        assert queued is S.SEC_E_OK
        assert get_async_call_status(call) is S.SEC_I_ASYNC_CALL_PENDING
        await asyncio.sleep(0.01)
        assert get_async_call_status(call) is S.SEC_I_ASYNC_CALL_PENDING
        provider.release()
        result = await call
        assert get_async_call_status(call) is result.status is S.SEC_E_OK
        await delete(result.context)


@pytest.mark.parametrize("use", [CredentialUse.INBOUND, CredentialUse.BOTH])
async def test_credential_was_acquired_inbound_or_both(use: CredentialUse) -> None:
    async with acquire_credentials(ScriptedProvider(), use=use) as credential:
        result = await accept(credential, None, b"token")
        assert result.status is S.SEC_E_OK
        await delete(result.context)


async def test_credential_outbound_accepts_nobody() -> None:
    async with acquire_credentials(ScriptedProvider(), use=CredentialUse.OUTBOUND) as credential:
        call = AsyncContext()
        status = accept_security_context_async(call, credential, None, tokens(b"token"))
        assert status is S.SEC_E_NO_CREDENTIALS


async def test_context_is_none_in_the_first_call_and_then_the_partial_one(backend: Backend) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        talk = await converse(credential, backend.make_client())
        assert talk.statuses == backend.statuses
        assert talk.completion in (None, S.SEC_E_OK)
        assert talk.result.context is not None
        name = await query_context_attributes(talk.result.context, ContextAttribute.NAMES)
        assert (name.status, name.value) == (S.SEC_E_OK, backend.principal)
        await delete(talk.result.context)


async def test_input_is_what_the_client_made(backend: Backend) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        result = await accept(credential, None, b"\x00 no client says this")
        assert result.status.is_failure or backend.name.startswith("scripted")
        if result.context is not None:
            await delete(result.context)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        SecBufferDesc(),
        SecBufferDesc((SecBuffer(BufferType.EMPTY), SecBuffer(BufferType.TOKEN, b"token"))),
        SecBufferDesc((SecBuffer(BufferType.DATA, b"token"),)),
    ],
    ids=["none", "no buffer", "token second", "data"],
)
async def test_input_first_buffer_must_be_a_token(
    backend: Backend, wrong: SecBufferDesc | None
) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        call = AsyncContext()
        status = accept_security_context_async(call, credential, None, wrong)
        assert status is S.SEC_E_INVALID_TOKEN
        # It was not queued, and the call can be used for a better one.
        client = backend.make_client()
        good = tokens(client.step(None) or b"")
        assert accept_security_context_async(call, credential, None, good) is S.SEC_E_OK
        await delete((await call).context)


async def test_input_of_a_wrong_type_leaves_the_partial_context_as_it_was() -> None:
    provider = ScriptedProvider([Continue(b"next"), Established(ALICE)])
    async with acquire_credentials(provider) as credential:
        partial = (await accept(credential, None, b"one")).context
        wrong = SecBufferDesc((SecBuffer(BufferType.DATA, b"two"),))
        status = accept_security_context_async(AsyncContext(), credential, partial, wrong)
        assert status is S.SEC_E_INVALID_TOKEN
        result = await accept(credential, partial, b"two")
        assert result.status is S.SEC_E_OK
        await delete(result.context)


async def test_input_token_that_is_empty_or_too_large_is_invalid(backend: Backend) -> None:
    limits = Limits(max_token_bytes=40_000)
    async with acquire_credentials(backend.make_provider(), limits=limits) as credential:
        for token in (b"", b"x" * 40_001):
            result = await accept(credential, None, token)
            assert (result.status, result.context) == (S.SEC_E_INVALID_TOKEN, None)


async def test_input_second_buffer_is_empty_and_says_what_was_left_over() -> None:
    provider = ScriptedProvider([Established(ALICE, b"proof", unused=4)])
    given, out = tokens(b"tokenREST"), place()
    async with acquire_credentials(provider) as credential:
        call = AsyncContext()
        accept_security_context_async(call, credential, None, given, output=out)
        await delete((await call).context)
    for buffers in (given, out):
        assert buffers.buffers[1] == SecBuffer(BufferType.EXTRA, b"REST")


async def test_input_second_buffer_says_how_much_is_missing() -> None:
    provider = ScriptedProvider([Incomplete(7), Established(ALICE)])
    given = tokens(b"tok")
    async with acquire_credentials(provider) as credential:
        call = AsyncContext()
        accept_security_context_async(call, credential, None, given)
        result = await call
        assert result.status is S.SEC_E_INCOMPLETE_MESSAGE
        assert given.buffers[1].type is BufferType.MISSING
        assert len(given.buffers[1].data) == 7
        await delete(result.context)


async def test_input_channel_bindings_are_compared(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    ours = ChannelBindings(b"tls-server-end-point:ours")
    cases = [
        (b"tls-server-end-point:ours", NO_FLAGS, S.SEC_E_OK),
        (b"tls-server-end-point:theirs", NO_FLAGS, S.SEC_E_BAD_BINDINGS),
        (None, NO_FLAGS, S.SEC_E_BAD_BINDINGS),
        (None, AscReq.ALLOW_MISSING_BINDINGS, S.SEC_E_OK),
    ]
    async with acquire_credentials(GssapiProvider(kerberos_keytab)) as credential:
        for theirs, flags, expected in cases:
            token = GssapiInitiator(bindings=theirs).step(None) or b""
            call = AsyncContext()
            given = tokens(token, pack_channel_bindings(ours))
            assert accept_security_context_async(call, credential, None, given, flags) is S.SEC_E_OK
            result = await call
            assert result.status is expected, theirs
            if result.context is not None:
                await delete(result.context)


async def test_input_channel_bindings_that_are_malformed_are_bad_bindings() -> None:
    async with acquire_credentials(ScriptedProvider()) as credential:
        given = tokens(b"token", SecBuffer(BufferType.CHANNEL_BINDINGS, b"short"))
        status = accept_security_context_async(AsyncContext(), credential, None, given)
        assert status is S.SEC_E_BAD_BINDINGS


@pytest.mark.parametrize("flag", [flag for flag in AscReq if flag.name not in ("HTTP",)])
async def test_context_req_takes_every_flag(flag: AscReq) -> None:
    result = await answer(Established(ALICE), flags=flag)
    unsupported = flag in (AscReq.DELEGATE, AscReq.SESSION_TICKET)
    assert result.status is (S.SEC_E_UNSUPPORTED_FUNCTION if unsupported else S.SEC_E_OK)


@pytest.mark.parametrize("flags", [AscReq(0), AscReq.MUTUAL_AUTH | AscReq.CONFIDENTIALITY])
async def test_context_req_reaches_the_package(flags: AscReq) -> None:
    asked: list[tuple[AscReq, TargetDataRep]] = []

    class Asked(ScriptedProvider):
        def create_context(self, request):  # type: ignore[no-untyped-def]
            asked.append((request.flags, request.representation))
            return super().create_context(request)

    async with acquire_credentials(Asked()) as credential:
        for representation in TargetDataRep:
            call = AsyncContext()
            accept_security_context_async(
                call, credential, None, tokens(b"t"), flags, representation
            )
            await delete((await call).context)
    assert asked == [(flags, TargetDataRep.NETWORK), (flags, TargetDataRep.NATIVE)]


@pytest.mark.parametrize("representation", TargetDataRep)
async def test_target_data_rep_native_or_network(
    backend: Backend, representation: TargetDataRep
) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        call = AsyncContext()
        token = backend.make_client().step(None) or b""
        accept_security_context_async(
            call, credential, None, tokens(token), NO_FLAGS, representation
        )
        result = await call
        assert result.status is backend.statuses[0]
        await delete(result.context)


async def test_new_context_receives_the_handle_in_the_first_call(backend: Backend) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        new, call = ContextHandle(), AsyncContext()
        token = backend.make_client().step(None) or b""
        accept_security_context_async(call, credential, None, tokens(token), new_context=new)
        assert new.is_busy
        assert (await call).context is new
        assert new.is_valid
        await delete(new)


async def test_new_context_may_be_the_same_as_context() -> None:
    provider = ScriptedProvider([Continue(b"next"), Established(ALICE)])
    async with acquire_credentials(provider) as credential:
        context = (await accept(credential, None, b"one")).context
        call = AsyncContext()
        accept_security_context_async(
            call, credential, context, tokens(b"two"), new_context=context
        )
        assert (await call).context is context
        await delete(context)


async def test_new_context_may_be_another_and_the_old_one_is_invalid_then() -> None:
    provider = ScriptedProvider([Continue(b"next"), Continue(b"next"), Established(ALICE)])
    async with acquire_credentials(provider) as credential:
        old, new = (await accept(credential, None, b"one")).context, ContextHandle()
        call = AsyncContext()
        accept_security_context_async(call, credential, old, tokens(b"two"), new_context=new)
        assert (await call).context is new
        status = accept_security_context_async(AsyncContext(), credential, old, tokens(b"three"))
        assert status is S.SEC_E_INVALID_HANDLE
        assert (await accept(credential, new, b"three")).status is S.SEC_E_OK
        await delete(new)


async def test_output_receives_the_token_and_it_may_come_with_ok(backend: Backend) -> None:
    client, out, context = backend.make_client(), place(), None
    async with acquire_credentials(backend.make_provider()) as credential:
        reply: bytes | None = None
        for status in backend.statuses:
            call = AsyncContext()
            given = tokens(client.step(reply) or b"")
            accept_security_context_async(call, credential, context, given, output=out)
            result = await call
            assert result.output is out
            assert result.status is status
            context = result.context
            if status in COMPLETING:
                assert context is not None
                assert await complete_auth_token(context, out) is S.SEC_E_OK
            reply = out.buffers[0].data
        if backend.name in ("gssapi", "scripted"):  # the others have nothing more to say
            assert reply
            assert client.step(reply) in (None, b"")
        await delete(context)


async def test_output_without_a_place_for_the_token_is_refused_at_once() -> None:
    async with acquire_credentials(ScriptedProvider()) as credential:
        out = SecBufferDesc((SecBuffer(BufferType.DATA),))
        status = accept_security_context_async(
            AsyncContext(), credential, None, tokens(b"token"), output=out
        )
        assert status is S.SEC_E_BUFFER_TOO_SMALL


async def test_context_attr_and_expiry_are_valid_on_success_only() -> None:
    until = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    who = Identity("alice", "scripted", attributes=AscRet.MUTUAL_AUTH, expires_at=until)
    provider = ScriptedProvider([Continue(b"next"), CompleteNeeded(), Established(who)])
    async with acquire_credentials(provider) as credential:
        first = await accept(credential, None, b"one")
        assert (first.context_attr, first.expiry) == (AscRet(0), None)
        second = await accept(credential, first.context, b"two")
        assert (second.context_attr, second.expiry) == (AscRet(0), None)
        assert second.context is not None
        assert await complete_auth_token(second.context) is S.SEC_E_OK
        for attribute, value in (
            (ContextAttribute.FLAGS, AscRet.MUTUAL_AUTH),
            (ContextAttribute.LIFESPAN, until),
        ):
            assert (await query_context_attributes(second.context, attribute)).value == value
        await delete(second.context)
    result = await answer(Established(who))
    assert (result.context_attr, result.expiry) == (AscRet.MUTUAL_AUTH, until)
    assert (await answer(Refused(LogonDeniedError("no")))).context_attr == AscRet(0)


async def test_expiry_is_in_utc_and_near_the_end_of_the_ticket(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    async with acquire_credentials(GssapiProvider(kerberos_keytab)) as credential:
        talk = await converse(credential, GssapiInitiator())
        now, expiry = datetime.datetime.now(datetime.UTC), talk.result.expiry
        assert expiry is not None
        assert expiry.tzinfo is datetime.UTC
        assert datetime.timedelta(0) < expiry - now < datetime.timedelta(days=2)
        assert talk.result.context_attr & AscRet.MUTUAL_AUTH
        await delete(talk.result.context)


async def test_expiry_never_is_none_and_no_date() -> None:
    assert (await answer(Established(Identity("alice", "scripted")))).expiry is None


# Return value: queued, or why not.


async def test_it_returns_ok_when_it_was_queued_and_the_status_of_the_operation_later() -> None:
    provider = ScriptedProvider([Refused(LogonDeniedError("no"))])
    async with acquire_credentials(provider) as credential:
        call = AsyncContext()
        assert accept_security_context_async(call, credential, None, tokens(b"t")) is S.SEC_E_OK
        assert get_async_call_status(call) is S.SEC_I_ASYNC_CALL_PENDING
        assert (await call).status is S.SEC_E_LOGON_DENIED


async def test_a_call_that_is_in_use_is_an_error_of_queueing() -> None:
    async with acquire_credentials(ScriptedProvider()) as credential:
        call = AsyncContext()
        assert accept_security_context_async(call, credential, None, tokens(b"t")) is S.SEC_E_OK
        again = accept_security_context_async(call, credential, None, tokens(b"t"))
        assert again is S.SEC_E_OUT_OF_SEQUENCE
        await delete((await call).context)
        again = accept_security_context_async(call, credential, None, tokens(b"t"))
        assert again is S.SEC_E_OUT_OF_SEQUENCE
        assert reinit_async_context(call) is S.SEC_E_OK
        assert accept_security_context_async(call, credential, None, tokens(b"t")) is S.SEC_E_OK
        await delete((await call).context)


# The codes of success. The real providers' are those of `backend.statuses`.


async def test_ok() -> None:
    result = await answer(Established(ALICE, b"proof"))
    assert (result.status, token_of(result)) == (S.SEC_E_OK, b"proof")


async def test_sec_e_incomplete_message_takes_the_rest_in_another_call() -> None:
    seen: list[bytes] = []

    def look(token: bytes) -> Act:
        seen.append(token)
        return Established(ALICE) if token == b"a whole token" else Incomplete()

    provider = ScriptedProvider([look] * 3)
    async with acquire_credentials(provider) as credential:
        context: ContextHandle | None = None
        for piece in (b"a ", b"whole ", b"token"):
            result = await accept(credential, context, piece)
            context = result.context
        assert result.status is S.SEC_E_OK
        assert seen == [b"a ", b"a whole ", b"a whole token"]
        await delete(context)


async def test_sec_i_complete_and_continue_wants_complete_auth_token_and_then_a_token() -> None:
    script = CompleteAndContinue(b"half"), Continue(b"whole"), Established(ALICE)
    async with acquire_credentials(ScriptedProvider(script)) as credential:
        first = await accept(credential, None, b"one")
        assert first.status is S.SEC_I_COMPLETE_AND_CONTINUE
        too_early = accept_security_context_async(
            AsyncContext(), credential, first.context, tokens(b"two")
        )
        assert too_early is S.SEC_E_OUT_OF_SEQUENCE
        assert first.context is not None
        assert await complete_auth_token(first.context, first.output) is S.SEC_E_OK
        assert token_of(first) == b"whole"
        second = await accept(credential, first.context, b"two")
        assert second.status is S.SEC_E_OK
        await delete(second.context)


async def test_sec_i_complete_needed_is_decided_by_complete_auth_token() -> None:
    for verdict, expected in (
        (Established(ALICE), S.SEC_E_OK),
        (Refused(LogonDeniedError("no")), S.SEC_E_LOGON_DENIED),
    ):
        provider = ScriptedProvider([CompleteNeeded(), verdict])
        async with acquire_credentials(provider) as credential:
            result = await accept(credential, None, b"one")
            assert result.status is S.SEC_I_COMPLETE_NEEDED
            assert result.context is not None
            # Nobody is known before.
            name = await query_context_attributes(result.context, ContextAttribute.NAMES)
            assert name.status is S.SEC_E_INVALID_HANDLE
            assert await complete_auth_token(result.context) is expected
            await delete(result.context)
        assert provider.open_contexts == 0


async def test_complete_auth_token_is_out_of_sequence_where_nothing_asked_for_it() -> None:
    provider = ScriptedProvider([Continue(b"next"), Established(ALICE)])
    async with acquire_credentials(provider) as credential:
        context = (await accept(credential, None, b"one")).context
        assert context is not None
        assert await complete_auth_token(context) is S.SEC_E_OUT_OF_SEQUENCE
        assert (await accept(credential, context, b"two")).status is S.SEC_E_OK
        assert await complete_auth_token(context) is S.SEC_E_OUT_OF_SEQUENCE
        await delete(context)


async def test_sec_i_continue_needed_sends_the_token_and_takes_the_answer() -> None:
    provider = ScriptedProvider([Continue(b"challenge"), Established(ALICE)])
    async with acquire_credentials(provider) as credential:
        first = await accept(credential, None, b"one")
        assert (first.status, token_of(first)) == (S.SEC_I_CONTINUE_NEEDED, b"challenge")
        second = await accept(credential, first.context, b"two")
        assert second.status is S.SEC_E_OK
        await delete(second.context)


# Fatal codes.


async def test_sec_e_insufficient_memory_where_too_many_handshakes_wait(backend: Backend) -> None:
    if backend.statuses[0] is not S.SEC_I_CONTINUE_NEEDED:
        pytest.skip("its handshakes wait for nobody")
    limits = Limits(max_pending=1)
    async with acquire_credentials(backend.make_provider(), limits=limits) as credential:
        first = await accept(credential, None, backend.make_client().step(None) or b"")
        second = await accept(credential, None, backend.make_client().step(None) or b"")
        assert (second.status, second.context) == (S.SEC_E_INSUFFICIENT_MEMORY, None)
        await delete(first.context)


async def test_sec_e_internal_error_for_a_package_that_breaks() -> None:
    result = await answer(RuntimeError("it broke"))
    assert result.status is S.SEC_E_INTERNAL_ERROR
    assert isinstance(result.error, ProviderFaultError)


@pytest.mark.parametrize("backend", ["sspi"], indirect=True)
async def test_sec_e_internal_error_for_a_token_that_was_cut_off(backend: Backend) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        token = backend.make_client().step(None) or b""
        result = await accept(credential, None, token[:12])
        assert (result.status, result.context) == (S.SEC_E_INTERNAL_ERROR, None)


@pytest.mark.parametrize("value", [0x80090301, 0x80100003])
def test_sec_e_invalid_handle_by_both_values_that_are_in_print(value: int) -> None:
    from authsrv.core.status import from_windows

    assert from_windows(value).status is S.SEC_E_INVALID_HANDLE


async def test_sec_e_invalid_handle_for_what_is_none() -> None:
    async with acquire_credentials(ScriptedProvider()) as credential:
        for wrong in (ContextHandle(), "context", 17, CredentialHandle()):
            status = accept_security_context_async(
                AsyncContext(),
                credential,
                wrong,  # type: ignore[arg-type]
                tokens(b"token"),
            )
            assert status is S.SEC_E_INVALID_HANDLE
        for wrong in (None, CredentialHandle(), "credential", ContextHandle()):
            status = accept_security_context_async(
                AsyncContext(),
                wrong,  # type: ignore[arg-type]
                None,
                tokens(b"token"),
            )
            assert status is S.SEC_E_INVALID_HANDLE


async def test_sec_e_invalid_token_for_garbage(backend: Backend) -> None:
    if backend.name.startswith("scripted"):
        result = await answer(Refused(InvalidTokenError("garbage")))
    else:
        async with acquire_credentials(backend.make_provider()) as credential:
            result = await accept(credential, None, bytes(range(40)))
    assert (result.status, result.context) == (S.SEC_E_INVALID_TOKEN, None)


async def test_sec_e_logon_denied_for_who_is_not_entitled(backend: Backend) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        talk = await converse(credential, backend.make_stranger())
        status = talk.result.status if talk.completion is None else talk.completion
        # Kerberos can say more: the ticket is for another service.
        is_kerberos = backend.name.startswith("gssapi")
        expected = S.SEC_E_WRONG_PRINCIPAL if is_kerberos else S.SEC_E_LOGON_DENIED
        assert status is expected


async def test_sec_e_no_authenticating_authority() -> None:
    result = await answer(Refused(AuthorityError("no domain controller answers")))
    assert result.status is S.SEC_E_NO_AUTHENTICATING_AUTHORITY


async def test_sec_e_no_credentials_where_the_keytab_went_away(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, tmp_path: Path
) -> None:
    keytab = tmp_path / "http.keytab"
    call, credential = AsyncContext(), CredentialHandle()
    acquire_credentials_handle_async(
        call, None, "Negotiate", CredentialUse.INBOUND, Keytab(keytab), credential
    )
    assert (await call).status is S.SEC_E_NO_CREDENTIALS
    assert not credential.is_valid
    shutil.copyfile(kerberos_keytab, keytab)
    reinit_async_context(call)
    acquire_credentials_handle_async(
        call, "HTTP/localhost", "negotiate", CredentialUse.INBOUND, Keytab(keytab), credential
    )
    assert (await call).status is S.SEC_E_OK
    talk = await converse(credential, GssapiInitiator())
    assert talk.result.status is S.SEC_E_OK
    await delete(talk.result.context)
    reinit_async_context(call)
    assert free_credentials_handle_async(call, credential) is S.SEC_E_OK
    assert (await call).status is S.SEC_E_OK


@pytest.mark.parametrize("flag", [AscReq.DELEGATE, AscReq(0x40)])
async def test_sec_e_unsupported_function_for_the_flags_that_a_server_cannot_ask_for(
    backend: Backend, flag: AscReq
) -> None:
    # ASC_REQ_PROMPT_FOR_CREDS is in no header; the client's flag of that name is 0x40.
    async with acquire_credentials(backend.make_provider()) as credential:
        result = await accept(credential, None, backend.make_client().step(None) or b"", flag)
        assert (result.status, result.context) == (S.SEC_E_UNSUPPORTED_FUNCTION, None)


# Remarks.


async def test_the_caller_judges_whether_the_attributes_suffice(backend: Backend) -> None:
    required = AscRet.LICENSING
    async with acquire_credentials(backend.make_provider()) as credential:
        talk = await converse(credential, backend.make_client(), required=required)
        status = talk.result.status if talk.completion is None else talk.completion
        assert status is S.SEC_E_SECURITY_QOS_FAILED


async def test_confidentiality_that_was_required_and_not_obtained_ends_it_with_a_cause() -> None:
    who = Identity("alice", "scripted", attributes=AscRet.INTEGRITY)
    provider = ScriptedProvider([Established(who, b"proof")])
    async with acquire_credentials(provider) as credential:
        flags, required = AscReq.CONFIDENTIALITY, AscRet.CONFIDENTIALITY | AscRet.INTEGRITY
        result = await accept(credential, None, b"token", flags, required)
        assert result.status is S.SEC_E_SECURITY_QOS_FAILED
        assert isinstance(result.error, AttributesError)
        assert result.error.detail == "the context lacks what is required: CONFIDENTIALITY"
        assert (result.context, token_of(result)) == (None, b"")
    assert provider.open_contexts == 0


async def test_attributes_that_were_required_and_obtained(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    async with acquire_credentials(GssapiProvider(kerberos_keytab)) as credential:
        talk = await converse(credential, GssapiInitiator(), required=AscRet.MUTUAL_AUTH)
        assert talk.result.status is S.SEC_E_OK
        await delete(talk.result.context)


async def test_a_context_that_cannot_be_established_is_deleted(backend: Backend) -> None:
    provider = backend.make_provider()
    async with acquire_credentials(provider) as credential:
        talk = await converse(credential, backend.make_stranger())
        assert talk.completion is not S.SEC_E_OK
        assert talk.result.context is None or not talk.result.context.is_valid
        if isinstance(provider, ScriptedProvider):
            assert provider.open_contexts == 0


async def test_deleting_is_ok_and_deleting_twice_is_ok_as_documented(backend: Backend) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        context = (await converse(credential, backend.make_client())).result.context
        await delete(context)
        await delete(context)
        assert context is not None
        name = await query_context_attributes(context, ContextAttribute.NAMES)
        assert name.status is S.SEC_E_INVALID_HANDLE
    never = delete_security_context_async(AsyncContext(), ContextHandle())
    assert never is S.SEC_E_INVALID_HANDLE


async def test_one_call_at_a_time_for_a_context() -> None:
    script = Continue(b"next"), Delay(60, Established(ALICE))
    provider = ScriptedProvider(script)
    async with acquire_credentials(provider) as credential:
        context = (await accept(credential, None, b"one")).context
        call = AsyncContext()
        accept_security_context_async(call, credential, context, tokens(b"two"))
        second = accept_security_context_async(AsyncContext(), credential, context, tokens(b"x"))
        assert second is S.SEC_E_OUT_OF_SEQUENCE
        provider.release()
        assert (await call).status is S.SEC_E_OK
        await delete(context)


async def test_a_context_that_is_established_takes_no_further_token(backend: Backend) -> None:
    async with acquire_credentials(backend.make_provider()) as credential:
        context = (await converse(credential, backend.make_client())).result.context
        again = accept_security_context_async(AsyncContext(), credential, context, tokens(b"x"))
        assert again is S.SEC_E_OUT_OF_SEQUENCE
        await delete(context)


# Attributes.

ANSWERS: dict[ContextAttribute, Callable[[object], bool]] = {
    ContextAttribute.SIZES: lambda value: getattr(value, "max_signature", 0) > 0,
    ContextAttribute.NAMES: lambda value: value == "alice@AUTHSRV.TEST",
    ContextAttribute.LIFESPAN: lambda value: isinstance(value, datetime.datetime),
    ContextAttribute.SESSION_KEY: lambda value: len(getattr(value, "value", b"")) >= 16,
    ContextAttribute.PACKAGE_INFO: lambda value: getattr(value, "name", "") == "Kerberos",
    ContextAttribute.NEGOTIATION_INFO: lambda value: value.package.name == "Kerberos",  # type: ignore[attr-defined]
    ContextAttribute.FLAGS: lambda value: isinstance(value, AscRet) and bool(value),
    ContextAttribute.CLIENT_SPECIFIED_TARGET: lambda value: value == "HTTP/localhost",
}


@pytest.mark.parametrize("attribute", ContextAttribute)
async def test_kerberos_tells_every_attribute(
    attribute: ContextAttribute, kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    async with acquire_credentials(GssapiProvider(kerberos_keytab)) as credential:
        context = (await converse(credential, GssapiInitiator())).result.context
        assert context is not None
        told = await query_context_attributes(context, attribute)
        assert told.status is S.SEC_E_OK
        assert ANSWERS[attribute](told.value), told
        await delete(context)


async def test_the_session_key_is_the_clients_and_shows_in_no_repr(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    async with acquire_credentials(GssapiProvider(kerberos_keytab)) as credential:
        client = GssapiInitiator()
        context = (await converse(credential, client)).result.context
        assert context is not None
        told = await query_context_attributes(context, ContextAttribute.SESSION_KEY)
        assert told.value.value == client.session_key()  # type: ignore[attr-defined]
        assert repr(told.value) == "SessionKey()"
        await delete(context)


async def test_an_attribute_that_a_package_cannot_tell_is_unsupported() -> None:
    async with acquire_credentials(ScriptedProvider()) as credential:
        context = (await accept(credential, None, b"token")).context
        assert context is not None
        told = await query_context_attributes(context, ContextAttribute.SIZES)
        assert told.status is S.SEC_E_UNSUPPORTED_FUNCTION
        await delete(context)
