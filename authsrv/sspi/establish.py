"""The two calls that establish a security context, step by step: a server's and a client's.

Both are faces of `SecurityHandshake.step`, which HTTP and streams drive too; here, the caller sees
to CompleteAuthToken, as in C. What is wrong with the arguments (handles, buffers, a call or context
in use) comes back at once; everything else is the status of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from authsrv.acceptor import Acceptor, Initiator
from authsrv.bindings import BindingPolicy
from authsrv.buffers import BufferType, SecBufferDesc
from authsrv.drive import Leg, SecurityHandshake
from authsrv.errors import AuthsrvError, UnsupportedFunctionError
from authsrv.flags import (
    AscReq,
    AscRet,
    DataRepresentation,
    IscReq,
)
from authsrv.handshake import State
from authsrv.lease import Retention
from authsrv.packages.base import ContextRequest, InitiatorRequest
from authsrv.results import Established, Incomplete, Refused
from authsrv.role import Role
from authsrv.sspi.buffers import (
    Input,
    check_output,
    read_input,
    unpack_channel_bindings,
    unused,
    write_output,
    write_rest,
)
from authsrv.sspi.calls import (
    AsyncContext,
    CallResult,
    check_idle,
    failed,
    queue,
)
from authsrv.sspi.contexts import attributes_of
from authsrv.sspi.handles import ContextHandle, CredentialHandle, check_context
from authsrv.status import SecurityStatus

__all__ = ["accept_security_context_async", "initialize_security_context_async"]

_S = SecurityStatus
_NO_FLAGS = AscRet(0)
_NO_REQUIREMENTS = AscReq(0)
_NOTHING = Input(b"")

# The documentation names ASC_REQ_DELEGATE and ASC_REQ_PROMPT_FOR_CREDS. The latter is in no header;
# the bit of the client's flag of that name is, for a server, a TLS session ticket.
# Numbers, as each operation on flags makes a new one, dearer than the whole call.
_UNSUPPORTED = int(AscReq.DELEGATE | AscReq.SESSION_TICKET)
_MAY_MISS = int(AscReq.ALLOW_MISSING_BINDINGS)


def accept_security_context_async(
    call: AsyncContext,
    credential: CredentialHandle | None,
    context: ContextHandle | None,
    input: SecBufferDesc | None,
    context_req: AscReq = _NO_REQUIREMENTS,
    target_data_rep: DataRepresentation = DataRepresentation.NATIVE,
    output: SecBufferDesc | None = None,
    *,
    new_context: ContextHandle | None = None,
    required_attributes: AscRet = _NO_FLAGS,
) -> SecurityStatus:
    """Queue one step of a server: take the client's token, make the answer.

    Args:
        call: An idle call. Its result has the context, the output buffers, the attributes and the
            expiry.
        credential: A credential for SECPKG_CRED_INBOUND; may be None in later calls.
        context: None in the first call; then the context that the call before answered.
        input: A SECBUFFER_TOKEN with the client's token, untrusted, 1 to max_token_bytes bytes;
            second a SECBUFFER_EMPTY, which comes back as EXTRA with what was not used, or as
            MISSING, as long as what is missing. A SECBUFFER_CHANNEL_BINDINGS holds the channel
            that the client must speak over; with ALLOW_MISSING_BINDINGS it may also say nothing.
        context_req: What is asked for; read in the first call.
        target_data_rep: The byte order of the client; read in the first call.
        output: Where the token for the client goes: a SECBUFFER_TOKEN, perhaps a SECBUFFER_EMPTY.
            None for new buffers.
        new_context: The handle to go on with, if it is to be another one than `context`, which is
            invalid then.
        required_attributes: What the established context must have: one that lacks any of it is
            refused with SEC_E_SECURITY_QOS_FAILED. Read in the first call.

    Returns:
        SEC_E_OK if it was queued. SEC_E_INVALID_HANDLE for handles that refer to nothing or to
        something else; SEC_E_WRONG_CREDENTIAL_HANDLE; SEC_E_NO_CREDENTIALS for a credential of a
        client; SEC_E_OUT_OF_SEQUENCE for a call or context in use, and for a context that is
        established or waits for CompleteAuthToken; SEC_E_INVALID_TOKEN if there is no token
        buffer; SEC_E_BUFFER_TOO_SMALL if there is no place for one; SEC_E_BAD_BINDINGS.

    Raises:
        RuntimeError: No event loop is running.

    Source: SspiAcceptSecurityContextAsync.
    """
    party = None if credential is None else _party(credential, CredentialHandle.acceptor)
    status = _check(call, party, context, new_context, output, Role.ACCEPTOR)
    if status is not _S.SEC_E_OK:
        return status
    try:
        given = read_input(input)
        request = _acceptor_request(given, context_req, target_data_rep, required_attributes)
    except AuthsrvError as error:
        return error.status

    def begin() -> tuple[SecurityHandshake, Acceptor]:
        if int(context_req) & _UNSUPPORTED:
            raise UnsupportedFunctionError("a flag was asked for that a server cannot ask for")
        assert isinstance(party, Acceptor)
        return party.begin(request, retention=Retention.KEEP), party

    step = _Step(context, new_context, given.token, input, output, begin)
    return step.queue_on(call)


def initialize_security_context_async(
    call: AsyncContext,
    credential: CredentialHandle | None,
    context: ContextHandle | None,
    target_name: str | None,
    context_req: IscReq = IscReq.MUTUAL_AUTH,
    target_data_rep: DataRepresentation = DataRepresentation.NATIVE,
    input: SecBufferDesc | None = None,
    output: SecBufferDesc | None = None,
    *,
    new_context: ContextHandle | None = None,
    required_attributes: AscRet = _NO_FLAGS,
) -> SecurityStatus:
    """Queue one step of a client: take the server's token, make the next one.

    Args:
        call: An idle call. Its result has the context, the output buffers, the attributes and the
            expiry.
        credential: A credential for SECPKG_CRED_OUTBOUND; may be None in later calls.
        context: None in the first call; then the context that the call before answered.
        target_name: The service principal name to talk to, such as "HTTP/web.example.org"; read
            in the first call.
        context_req: What is asked for; read in the first call.
        target_data_rep: The byte order of the server; read in the first call.
        input: In the first call None, or a SECBUFFER_CHANNEL_BINDINGS with the channel; then a
            SECBUFFER_TOKEN with the server's token, untrusted.
        output: As of accept_security_context_async.
        new_context: As of accept_security_context_async.
        required_attributes: As of accept_security_context_async. With MUTUAL_AUTH a server that
            does not prove who it is is refused.

    Returns:
        As of accept_security_context_async; SEC_E_TARGET_UNKNOWN if no target is named;
        SEC_E_NO_CREDENTIALS for a credential of a server.

    Raises:
        RuntimeError: No event loop is running.

    Source: SspiInitializeSecurityContextAsync.
    """
    party = None if credential is None else _party(credential, CredentialHandle.initiator)
    status = _check(call, party, context, new_context, output, Role.INITIATOR)
    if status is not _S.SEC_E_OK:
        return status
    if context is None and not target_name:
        return _S.SEC_E_TARGET_UNKNOWN
    try:
        given = _first_input(input) if context is None else read_input(input)
        bindings = None if given.bindings is None else unpack_channel_bindings(given.bindings)
    except AuthsrvError as error:
        return error.status
    request = InitiatorRequest(
        target_name or "", bindings, context_req, required_attributes, target_data_rep
    )

    def begin() -> tuple[SecurityHandshake, Initiator]:
        assert isinstance(party, Initiator)
        return party.begin(request, retention=Retention.KEEP), party

    step = _Step(context, new_context, given.token, input, output, begin)
    return step.queue_on(call)


@dataclass(slots=True)
class _Step:
    """One step of a handshake, from the arguments of a call to its result."""

    context: ContextHandle | None
    new_context: ContextHandle | None
    token: bytes
    input: SecBufferDesc | None
    output: SecBufferDesc | None
    begin: Callable[[], tuple[SecurityHandshake, Acceptor | Initiator]]

    def queue_on(self, call: AsyncContext) -> SecurityStatus:
        asyncio.get_running_loop()  # without one nothing may be changed
        # From now on, and not only when it runs: nobody else may queue anything on these handles.
        self._mark(is_busy=True)
        return queue(call, self._perform, abandon=self._abandon)

    def _mark(self, *, is_busy: bool) -> None:
        for handle in (self.context, self.new_context):
            if handle is not None:
                handle.is_busy = is_busy

    def _abandon(self) -> None:
        self._mark(is_busy=False)
        if self.context is not None:
            self.context.give_up()

    async def _perform(self) -> CallResult:
        handle = self.context or self.new_context or ContextHandle()
        try:
            if self.context is None:
                handle.fill(*self.begin())
            handshake = handle.handshake
            if handshake is None:
                return CallResult(_S.SEC_E_INVALID_HANDLE)
            return self._conclude(await handshake.step(self.token), handle)
        except BaseException:
            # Nobody is told how far it came; so nobody may go on with it.
            handle.give_up()
            raise
        finally:
            self._mark(is_busy=False)
            handle.drop_failed()

    def _conclude(self, leg: Leg, handle: ContextHandle) -> CallResult:
        result = leg.result
        if isinstance(result, Refused):
            return failed(result.error, write_output(self.output, result.token))
        rest = unused(result, self.token)
        write_rest(self.input, result, rest)
        token = b"" if isinstance(result, Incomplete) else result.token
        output = write_output(self.output, token, rest)
        if self.new_context is not None and self.new_context is not handle:
            self.new_context.take_from(handle)
            handle = self.new_context
        if not isinstance(result, Established):
            return CallResult(result.status, handle, output)
        attributes = attributes_of(result.identity, handle.role)
        return CallResult(result.status, handle, output, attributes, result.identity.expires_at)


def _party(
    credential: CredentialHandle,
    which: Callable[[CredentialHandle], Acceptor | Initiator | None],
) -> Acceptor | Initiator | SecurityStatus:
    if not isinstance(credential, CredentialHandle) or not credential.is_valid:
        return _S.SEC_E_INVALID_HANDLE
    return which(credential) or _S.SEC_E_NO_CREDENTIALS


def _check(
    call: AsyncContext,
    party: Acceptor | Initiator | SecurityStatus | None,
    context: ContextHandle | None,
    new_context: ContextHandle | None,
    output: SecBufferDesc | None,
    role: Role,
) -> SecurityStatus:
    if isinstance(party, SecurityStatus):
        return party
    for status in (
        check_idle(call),
        _check_begin(party) if context is None else _check_next(context, party, role),
        _check_new(context, new_context),
        check_output(output),
    ):
        if status is not _S.SEC_E_OK:
            return status
    return _S.SEC_E_OK


def _check_begin(party: Acceptor | Initiator | None) -> SecurityStatus:
    return _S.SEC_E_INVALID_HANDLE if party is None else _S.SEC_E_OK


def _check_next(
    context: ContextHandle, party: Acceptor | Initiator | None, role: Role
) -> SecurityStatus:
    status = check_context(context)
    if status is not _S.SEC_E_OK:
        return status
    if context.role is not role:
        return _S.SEC_E_INVALID_HANDLE
    if party is not None and context.party is not party:
        return _S.SEC_E_WRONG_CREDENTIAL_HANDLE
    waits = context.handshake is not None and context.handshake.state in (
        State.AWAIT_TOKEN,
        State.AWAIT_MORE,
    )
    return _S.SEC_E_OK if waits else _S.SEC_E_OUT_OF_SEQUENCE


def _check_new(context: ContextHandle | None, new: ContextHandle | None) -> SecurityStatus:
    if new is None or new is context:
        return _S.SEC_E_OK
    if not isinstance(new, ContextHandle):
        return _S.SEC_E_INVALID_HANDLE  # type: ignore[unreachable]  # not typed by all
    if new.is_busy:
        return _S.SEC_E_OUT_OF_SEQUENCE
    return _S.SEC_E_INVALID_HANDLE if new.is_valid else _S.SEC_E_OK


def _first_input(buffers: SecBufferDesc | None) -> Input:
    """Read the input of a client's first call, which has no token."""
    if buffers is None:
        return _NOTHING
    bound = buffers.first(BufferType.CHANNEL_BINDINGS)
    return Input(b"", None if bound is None else bound.data)


def _acceptor_request(
    given: Input,
    flags: AscReq,
    representation: DataRepresentation,
    required: AscRet,
) -> ContextRequest:
    policy = BindingPolicy.REQUIRE
    if int(flags) & _MAY_MISS:
        policy = BindingPolicy.ALLOW
    unpack = partial(unpack_channel_bindings, policy=policy)
    bindings = None if given.bindings is None else unpack(given.bindings)
    return ContextRequest(bindings, flags, required, representation)
