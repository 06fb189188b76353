"""The short form: a context as an object, whose steps are awaited and raise.

It is made of the calls of this package and adds Python's conventions to them: a step gives the
token for the peer, CompleteAuthToken is called where it is asked for, a failure is an
exception that names its cause, and the end of the `async with` block deletes the context.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from authsrv.core.attributes import ContextAttribute
from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.buffers import BufferType, SecBuffer, SecBufferDesc
from authsrv.core.flags import AscReq, AscRet, DataRepresentation, IscReq, IscRet
from authsrv.core.settings import as_flags, as_instance, as_member, as_optional
from authsrv.core.status import SecurityStatus
from authsrv.errors import StateError, UnsupportedFunctionError
from authsrv.handshake.machine import State
from authsrv.sspi.buffers import pack_channel_bindings
from authsrv.sspi.calls import AsyncContext
from authsrv.sspi.contexts import (
    complete,
    delete_security_context_async,
    query_context_attributes,
)
from authsrv.sspi.establish import (
    accept_security_context_async,
    initialize_security_context_async,
)
from authsrv.sspi.handles import ContextHandle, CredentialHandle
from authsrv.sspi.operations import CallResult

__all__ = ["ClientContext", "ServerContext", "Step"]

_S = SecurityStatus
_NO_FLAGS = AscRet(0)
_NO_REQUIREMENTS = AscReq(0)
_GOING_ON = (
    _S.SEC_E_OK,
    _S.SEC_I_CONTINUE_NEEDED,
    _S.SEC_I_COMPLETE_NEEDED,
    _S.SEC_I_COMPLETE_AND_CONTINUE,
    _S.SEC_E_INCOMPLETE_MESSAGE,
)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step led to.

    Args:
        status: SEC_E_OK once the context is established; SEC_I_CONTINUE_NEEDED or
            SEC_E_INCOMPLETE_MESSAGE while it is not.
        token: What to send to the peer; empty for nothing.
        extra: What was left over of the input.
        missing: How many bytes of the input are missing, if that is known.
        context_attr: What the established context has; no flags before.
        expiry: When it ends, in UTC, or None for never.
    """

    status: SecurityStatus
    token: bytes = field(default=b"", repr=False)
    extra: bytes = field(default=b"", repr=False)
    missing: int | None = None
    context_attr: AscRet | IscRet = _NO_FLAGS
    expiry: datetime.datetime | None = None


class _Context:
    def __init__(self, credential: CredentialHandle, bindings: ChannelBindings | None) -> None:
        self._credential = as_instance(CredentialHandle, credential, "credential")
        self._bindings = as_optional(ChannelBindings, bindings, "bindings")
        # Made here, so that what a cancelled step has filled is deleted, too.
        self._handle = ContextHandle()
        self._is_deleted = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._handle!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.delete()

    @property
    def is_established(self) -> bool:
        """Whether the peer is known."""
        handshake = self._handle.handshake
        return handshake is not None and handshake.state is State.ESTABLISHED

    async def query(self, attribute: ContextAttribute) -> object:
        """Ask an attribute of the established context, of the type that ContextAttribute names.

        Raises:
            StateError: The context is not established, or deleted.
            UnsupportedFunctionError: The provider cannot tell.
        """
        result = await query_context_attributes(self._handle, attribute)
        if result.status is _S.SEC_E_UNSUPPORTED_FUNCTION:
            raise UnsupportedFunctionError(f"the provider cannot tell {attribute.name}")
        if result.status is not _S.SEC_E_OK:
            raise StateError("only an established context has attributes", status=result.status)
        return result.value

    async def delete(self) -> None:
        """Delete the context; a second call does nothing. A step that is under way fails."""
        self._is_deleted = True
        if self._handle.is_busy:
            # In another task, or in this one and cancelled just now: the step's end deletes it.
            return
        call = AsyncContext()
        if (
            self._handle.is_valid
            and delete_security_context_async(call, self._handle) is _S.SEC_E_OK
        ):
            await call

    async def _take(
        self,
        token: bytes,
        queue: Callable[[AsyncContext, ContextHandle | None, SecBufferDesc], SecurityStatus],
    ) -> Step:
        began = self._handle.was_used
        if self._is_deleted or (began and not self._handle.is_valid):
            raise StateError("the context is deleted or has expired")
        buffers = self._input(token)
        call = AsyncContext()
        status = queue(call, self._handle if began else None, buffers)
        if status is not _S.SEC_E_OK:
            raise StateError(f"the step was not queued: {status.name}", status=status)
        result = await call
        self._check(result)
        if result.status in (_S.SEC_I_COMPLETE_NEEDED, _S.SEC_I_COMPLETE_AND_CONTINUE):
            return await self._complete(result)
        return _step(result, result.status, buffers)

    def _check(self, result: CallResult) -> None:
        """Raise for every status but those with which a context goes on."""
        if self._is_deleted:
            self._handle.discard()
            raise StateError("the context was deleted while a step was under way")
        if result.error is not None:
            raise result.error
        if result.status not in _GOING_ON:
            cause = f"the context was lost during the step: {result.status.name}"
            raise StateError(cause, status=result.status)

    def _input(self, token: bytes) -> SecBufferDesc:
        first = SecBuffer(BufferType.TOKEN, token), SecBuffer(BufferType.EMPTY)
        if self._bindings is None:
            return SecBufferDesc(first)
        return SecBufferDesc((*first, pack_channel_bindings(self._bindings)))

    async def _complete(self, result: CallResult) -> Step:
        completed = await complete(self._handle, result.output)
        self._check(completed)
        completed = replace(completed, output=result.output)
        if result.status is _S.SEC_I_COMPLETE_AND_CONTINUE:
            return _step(completed, _S.SEC_I_CONTINUE_NEEDED, SecBufferDesc())
        return _step(completed, _S.SEC_E_OK, SecBufferDesc())


def _step(result: CallResult, status: SecurityStatus, given: SecBufferDesc) -> Step:
    token = result.output.first(BufferType.TOKEN)
    extra = given.first(BufferType.EXTRA)
    missing = given.first(BufferType.MISSING)
    return Step(
        status=status,
        token=b"" if token is None else token.data,
        extra=b"" if extra is None else extra.data,
        missing=None if missing is None else len(missing.data),
        context_attr=result.context_attr,
        expiry=result.expiry,
    )


class ServerContext(_Context):
    """A server's side of one handshake.

    Args:
        credential: A credential for SECPKG_CRED_INBOUND.
        context_req: What is asked for.
        required_attributes: What the context must have once it is established.
        bindings: The channel bindings to compare the client's with, or None to ignore them.
        target_data_rep: The byte order of the client.

    Raises:
        ConfigError: One of these is of a wrong type.
    """

    def __init__(
        self,
        credential: CredentialHandle,
        *,
        context_req: AscReq = _NO_REQUIREMENTS,
        required_attributes: AscRet = _NO_FLAGS,
        bindings: ChannelBindings | None = None,
        target_data_rep: DataRepresentation = DataRepresentation.NATIVE,
    ) -> None:
        super().__init__(credential, bindings)
        may_miss = bindings is not None and bindings.policy is BindingPolicy.ALLOW
        asked = as_flags(AscReq, context_req, "context_req")
        self._flags = asked | (AscReq.ALLOW_MISSING_BINDINGS if may_miss else AscReq(0))
        self._required = as_flags(AscRet, required_attributes, "required_attributes")
        self._representation = as_member(DataRepresentation, target_data_rep, "target_data_rep")

    async def accept(self, token: bytes) -> Step:
        """Take the client's next token.

        Args:
            token: The token, from the client, untrusted; 1 to max_token_bytes bytes. After
                SEC_E_INCOMPLETE_MESSAGE the rest of it.

        Raises:
            AuthsrvError: The client is refused, and why; the context is deleted.
        """
        return await self._take(
            token,
            lambda call, context, buffers: accept_security_context_async(
                call,
                self._credential,
                context,
                buffers,
                self._flags,
                self._representation,
                new_context=self._handle,
                required_attributes=self._required,
            ),
        )


class ClientContext(_Context):
    """A client's side of one handshake.

    Args:
        credential: A credential for SECPKG_CRED_OUTBOUND.
        target_name: The service principal name to talk to, such as "HTTP/web.example.org".
        context_req: What is asked for.
        required_attributes: What the context must have once it is established; if not given, that
            the server has proved who it is.
        bindings: The channel bindings to send, or None for none.
        target_data_rep: The byte order of the server.

    Raises:
        ConfigError: One of these is of a wrong type.
    """

    def __init__(
        self,
        credential: CredentialHandle,
        target_name: str,
        *,
        context_req: IscReq = IscReq.MUTUAL_AUTH,
        required_attributes: AscRet = AscRet.MUTUAL_AUTH,
        bindings: ChannelBindings | None = None,
        target_data_rep: DataRepresentation = DataRepresentation.NATIVE,
    ) -> None:
        super().__init__(credential, bindings)
        self._target = as_instance(str, target_name, "target_name")
        self._flags = as_flags(IscReq, context_req, "context_req")
        self._required = as_flags(AscRet, required_attributes, "required_attributes")
        self._representation = as_member(DataRepresentation, target_data_rep, "target_data_rep")

    async def initialize(self, token: bytes = b"") -> Step:
        """Take the server's next token.

        Args:
            token: The token, from the server, untrusted; empty in the first step.

        Raises:
            AuthsrvError: The handshake failed, and why; the context is deleted.
        """
        return await self._take(
            token,
            lambda call, context, buffers: initialize_security_context_async(
                call,
                self._credential,
                context,
                self._target,
                self._flags,
                self._representation,
                buffers,
                new_context=self._handle,
                required_attributes=self._required,
            ),
        )
