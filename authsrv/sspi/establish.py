"""The two calls that establish a security context, step by step: a server's and a client's.

Both drive a `Handshake`, as HTTP and streams do; here, the caller calls CompleteAuthToken, as in C.
What is wrong with the arguments (handles, buffers, a call or context in use) comes back at once;
everything else is the status of the call.
"""

from __future__ import annotations

from collections.abc import Callable

from authsrv.core.bindings import BindingPolicy
from authsrv.core.buffers import SecBufferDesc
from authsrv.core.flags import (
    AscReq,
    AscRet,
    DataRepresentation,
    IscReq,
)
from authsrv.core.results import Established, Incomplete, Refused, Result
from authsrv.core.role import Role
from authsrv.core.settings import as_flags
from authsrv.core.status import SecurityStatus
from authsrv.errors import AuthsrvError, UnsupportedFunctionError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.context_guard import Retention
from authsrv.handshake.initiator import Initiator
from authsrv.handshake.machine import State
from authsrv.providers.base import ContextRequest, InitiatorRequest
from authsrv.sspi.buffers import (
    check_description,
    check_output,
    read_channel_bindings,
    read_token,
    rest_of,
    unused,
    write_output,
    write_rest,
)
from authsrv.sspi.calls import AsyncContext, check_idle, queue
from authsrv.sspi.contexts import attributes_of
from authsrv.sspi.handles import ContextHandle, CredentialHandle, check_context
from authsrv.sspi.operations import UNFINISHED, CallResult, Operation, failed

__all__ = ["accept_security_context_async", "initialize_security_context_async"]

_S = SecurityStatus
_NO_FLAGS = AscRet(0)
_NO_REQUIREMENTS = AscReq(0)
_NO_REQUEST = ContextRequest()
_OK = _S.SEC_E_OK
# An attribute of an enum is looked up by a function in Python, each time.
_KEEP = Retention.KEEP
_REQUIRE = BindingPolicy.REQUIRE
_ACCEPTOR, _INITIATOR = Role.ACCEPTOR, Role.INITIATOR
_acceptor_of, _initiator_of = CredentialHandle.acceptor, CredentialHandle.initiator
_NATIVE = DataRepresentation.NATIVE

# SspiAcceptSecurityContextAsync names ASC_REQ_DELEGATE and ASC_REQ_PROMPT_FOR_CREDS. The latter is
# in no header; the bit of the client's flag of that name is, for a server, a TLS session ticket.
# Numbers, as each operation on flags makes a new object, which costs more than the whole call.
_UNSUPPORTED = int(AscReq.DELEGATE | AscReq.SESSION_TICKET)
_MAY_MISS = int(AscReq.ALLOW_MISSING_BINDINGS)


def accept_security_context_async(
    call: AsyncContext,
    credential: CredentialHandle | None,
    context: ContextHandle | None,
    input: SecBufferDesc | None,
    context_req: AscReq = _NO_REQUIREMENTS,
    target_data_rep: DataRepresentation = _NATIVE,
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
            MISSING, as long as what is missing. A SECBUFFER_CHANNEL_BINDINGS holds the bindings
            that the client must send; with ALLOW_MISSING_BINDINGS it may also send none.
            After SEC_E_INCOMPLETE_MESSAGE the next call, on the same context, takes the whole
            buffer again with what was read meanwhile behind it, as in C, or the rest alone. What
            begins with all that was given before, and is longer, is taken for the whole.
        context_req: What is asked for; read in the first call.
        target_data_rep: The byte order of the client; read in the first call.
        output: Where the token for the client goes: a SECBUFFER_TOKEN, perhaps a SECBUFFER_EMPTY.
            None for new buffers.
        new_context: The handle to go on with, if another one than `context`, which is invalid
            then.
        required_attributes: What the established context must have: one that lacks any of it is
            refused with SEC_E_SECURITY_QOS_FAILED. Read in the first call.

    Returns:
        SEC_E_OK if it was queued. SEC_E_INVALID_HANDLE for handles that refer to nothing or to
        something else; SEC_E_WRONG_CREDENTIAL_HANDLE; SEC_E_NO_CREDENTIALS for a credential of a
        client; SEC_E_OUT_OF_SEQUENCE for a call or context in use, and for a context that is
        established or waits for CompleteAuthToken; SEC_E_INVALID_TOKEN if there is no token
        buffer; SEC_E_BUFFER_TOO_SMALL if there is no place for one that may be changed;
        SEC_E_BAD_BINDINGS; SEC_E_INVALID_PARAMETER for buffers of another version, and for unknown
        flags and byte orders; SEC_E_INSUFFICIENT_MEMORY.

    Raises:
        RuntimeError: No event loop is running.
    """
    registry = None if credential is None else _registry_of(credential, _acceptor_of)
    status = _check(call, registry, context, new_context, (input, output), _ACCEPTOR)
    if status is not _OK:
        return status
    try:
        token = read_token(input)
        request = _acceptor_request(input, context_req, target_data_rep, required_attributes)
    except AuthsrvError as error:
        return error.status
    except MemoryError:
        return _S.SEC_E_INSUFFICIENT_MEMORY

    def first(handle: ContextHandle) -> None:
        if int(request.flags) & _UNSUPPORTED:
            raise UnsupportedFunctionError("context_req has a flag that a server cannot ask for")
        assert isinstance(registry, Acceptor)
        handle.fill(registry.create_handshake(request, retention=_KEEP), registry)

    return queue(call, _Step(context, new_context, token, input, output, first))


def initialize_security_context_async(
    call: AsyncContext,
    credential: CredentialHandle | None,
    context: ContextHandle | None,
    target_name: str | None,
    context_req: IscReq = IscReq.MUTUAL_AUTH,
    target_data_rep: DataRepresentation = _NATIVE,
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
            SECBUFFER_TOKEN with the server's token, untrusted. After SEC_E_INCOMPLETE_MESSAGE as
            of accept_security_context_async.
        output: As of accept_security_context_async.
        new_context: As of accept_security_context_async.
        required_attributes: As of accept_security_context_async. With MUTUAL_AUTH a server that
            does not prove who it is is refused.

    Returns:
        As of accept_security_context_async; SEC_E_TARGET_UNKNOWN if no target is named;
        SEC_E_NO_CREDENTIALS for a credential of a server.

    Raises:
        RuntimeError: No event loop is running.
    """
    registry = None if credential is None else _registry_of(credential, _initiator_of)
    status = _check(call, registry, context, new_context, (input, output), _INITIATOR)
    if status is not _OK:
        return status
    if context is None and not target_name:
        return _S.SEC_E_TARGET_UNKNOWN
    try:
        token = b"" if context is None else read_token(input)
        request = InitiatorRequest(
            target_name or "",
            read_channel_bindings(input),
            context_req,
            required_attributes,
            target_data_rep,
        )
    except AuthsrvError as error:
        return error.status
    except MemoryError:
        return _S.SEC_E_INSUFFICIENT_MEMORY

    def first(handle: ContextHandle) -> None:
        assert isinstance(registry, Initiator)
        handle.fill(registry.create_handshake(request, retention=_KEEP), registry)

    return queue(call, _Step(context, new_context, token, input, output, first))


class _Step(Operation[Result]):
    __slots__ = ("_context", "_first", "_handle", "_input", "_new_context", "_output", "_token")

    def __init__(
        self,
        context: ContextHandle | None,
        new_context: ContextHandle | None,
        token: bytes,
        input: SecBufferDesc | None,
        output: SecBufferDesc | None,
        first: Callable[[ContextHandle], None],
    ) -> None:
        self._context = context
        self._new_context = new_context
        self._handle = context or new_context or ContextHandle()
        self._token = token
        self._input = input
        self._output = output
        self._first = first

    def begin(self) -> None:
        # From now on nothing else may be queued on these handles.
        handle = self._handle
        handle.is_busy = True
        if self._new_context is not None:
            self._new_context.is_busy = True
        if self._context is None:
            self._first(handle)
        handshake = handle.handshake
        assert handshake is not None
        handshake.submit_step(rest_of(self._token, handshake.kept), self)

    def abandon(self) -> None:
        # The caller is not told how far it came, and cannot go on with it.
        self._let_go()
        self._handle.discard()

    def conclude(self, result: Result) -> CallResult:
        self._let_go()
        handle = self._handle
        if isinstance(result, Refused):
            handle.drop_failed()
            return failed(result.error, write_output(self._output, result.token))
        rest = unused(result, self._token)
        write_rest(self._input, result, rest)
        token = b"" if isinstance(result, Incomplete) else result.token
        output = write_output(self._output, token, rest)
        if self._new_context is not None and self._new_context is not handle:
            self._new_context.take_from(handle)
            handle = self._handle = self._new_context
        if not isinstance(result, Established):
            return CallResult(result.status, handle, output)
        attributes = attributes_of(result.identity, handle.role)
        return CallResult(result.status, handle, output, attributes, result.identity.expires_at)

    def rollback(self) -> CallResult | None:
        if self._handle.is_busy or self.result is None or self.result.context is None:
            return None
        # The cancelled caller has no handle, or does not know that it has to delete the context.
        self._handle.discard()
        self.result = UNFINISHED
        return self.result

    def _let_go(self) -> None:
        self._handle.is_busy = False
        if self._new_context is not None:
            self._new_context.is_busy = False


def _registry_of(
    credential: CredentialHandle,
    which: Callable[[CredentialHandle], Acceptor | Initiator | None],
) -> Acceptor | Initiator | SecurityStatus:
    if not isinstance(credential, CredentialHandle):
        return _S.SEC_E_INVALID_HANDLE  # type: ignore[unreachable]  # not typed by all
    registry = which(credential)
    if registry is not None:
        return registry
    return _S.SEC_E_NO_CREDENTIALS if credential.is_valid else _S.SEC_E_INVALID_HANDLE


def _check(
    call: AsyncContext,
    registry: Acceptor | Initiator | SecurityStatus | None,
    context: ContextHandle | None,
    new_context: ContextHandle | None,
    buffers: tuple[SecBufferDesc | None, SecBufferDesc | None],
    role: Role,
) -> SecurityStatus:
    if isinstance(registry, SecurityStatus):
        return registry
    status = check_idle(call)
    if status is _OK and context is not None:
        status = _check_next(context, registry, role)
    elif status is _OK and registry is None:
        status = _S.SEC_E_INVALID_HANDLE
    if status is _OK and new_context is not None:
        status = _check_new(context, new_context)
    if status is _OK:
        status = check_description(buffers[0])
    return check_output(buffers[1]) if status is _OK else status


def _check_next(
    context: ContextHandle, registry: Acceptor | Initiator | None, role: Role
) -> SecurityStatus:
    status = check_context(context)
    if status is not _OK:
        return status
    if context.role is not role:
        return _S.SEC_E_INVALID_HANDLE
    if registry is not None and context.registry is not registry:
        return _S.SEC_E_WRONG_CREDENTIAL_HANDLE
    waits = context.handshake is not None and context.handshake.state in (
        State.AWAIT_TOKEN,
        State.AWAIT_MORE,
    )
    return _OK if waits else _S.SEC_E_OUT_OF_SEQUENCE


def _check_new(context: ContextHandle | None, new: ContextHandle) -> SecurityStatus:
    if new is context:
        return _OK
    if not isinstance(new, ContextHandle):
        return _S.SEC_E_INVALID_HANDLE  # type: ignore[unreachable]  # not typed by all
    if new.is_busy:
        return _S.SEC_E_OUT_OF_SEQUENCE
    return _S.SEC_E_INVALID_HANDLE if new.is_valid else _OK


def _acceptor_request(
    input: SecBufferDesc | None,
    flags: AscReq,
    representation: DataRepresentation,
    required: AscRet,
) -> ContextRequest:
    asked = int(as_flags(AscReq, flags, "context_req"))
    policy = BindingPolicy.ALLOW if asked & _MAY_MISS else _REQUIRE
    bindings = read_channel_bindings(input, policy=policy)
    if bindings is None and not asked and required == 0 and representation is _NATIVE:
        return _NO_REQUEST
    return ContextRequest(bindings, flags, required, representation)
