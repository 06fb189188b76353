"""Completing, querying and deleting a security context."""

from __future__ import annotations

from dataclasses import dataclass

from authsrv.core.attributes import ContextAttribute
from authsrv.core.buffers import SecBufferDesc
from authsrv.core.flags import AscRet, IscRet, isc_ret_from_asc
from authsrv.core.identity import Identity
from authsrv.core.results import Established, Incomplete, Refused
from authsrv.core.role import Role
from authsrv.core.status import SecurityStatus
from authsrv.errors import AuthsrvError
from authsrv.handshake.driver import Handshake
from authsrv.handshake.machine import State
from authsrv.sspi.buffers import check_output, write_output
from authsrv.sspi.calls import ALLOWED, AsyncContext, check_idle, queue
from authsrv.sspi.handles import ContextHandle, check_context
from authsrv.sspi.operations import CallResult, Operation, failed

__all__ = [
    "QueryResult",
    "attributes_of",
    "complete",
    "complete_auth_token",
    "delete_security_context_async",
    "query_context_attributes",
]

_S = SecurityStatus
_OK = _S.SEC_E_OK
_INITIATOR = Role.INITIATOR
_DELETED = CallResult(_OK)


def attributes_of(identity: Identity, role: Role) -> AscRet | IscRet:
    """Tell what an established context has: AscRet for an acceptor, IscRet for an initiator."""
    if role is _INITIATOR:
        return isc_ret_from_asc(identity.attributes)
    return identity.attributes


async def complete_auth_token(
    context: ContextHandle, token: SecBufferDesc | None = None
) -> SecurityStatus:
    """Complete a token, after SEC_I_COMPLETE_NEEDED or SEC_I_COMPLETE_AND_CONTINUE.

    After the former, it decides: SEC_E_OK means that the context is established.

    Args:
        context: The context.
        token: The output buffers of the call before; the completed token replaces theirs.

    Returns:
        SEC_E_OK, or why not: then the context is deleted. These change nothing:
        SEC_E_OUT_OF_SEQUENCE if it was not asked for or the context is in use,
        SEC_E_BUFFER_TOO_SMALL if there is no place for the token, and SEC_E_INVALID_HANDLE.

    Raises:
        asyncio.CancelledError: The task was cancelled; the context is deleted.
    """
    return (await complete(context, token)).status


async def complete(context: ContextHandle, token: SecBufferDesc | None = None) -> CallResult:
    """Complete a token as complete_auth_token does, and tell more.

    Returns:
        The status of complete_auth_token, with the cause of a failure, or with the attributes and
        the expiry of a context that is established now.

    Raises:
        asyncio.CancelledError: As of complete_auth_token.
    """
    for status in (check_context(context), check_output(token)):
        if status is not _OK:
            return CallResult(status)
    handshake = context.handshake
    if handshake is None or handshake.state not in (State.COMPLETING, State.COMPLETING_LEG):
        return CallResult(_S.SEC_E_OUT_OF_SEQUENCE)
    context.is_busy = True
    try:
        result = (await handshake.complete()).result
    finally:
        context.is_busy = False
        context.drop_failed()
    if isinstance(result, Refused):
        return failed(result.error)
    if not isinstance(result, Incomplete) and result.token:
        write_output(token, result.token)
    if not isinstance(result, Established):
        return CallResult(_OK, context)
    attributes = attributes_of(result.identity, context.role)
    return CallResult(_OK, context, context_attr=attributes, expiry=result.identity.expires_at)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer to query_context_attributes.

    Args:
        status: SEC_E_OK, or why it cannot be told.
        value: Of the type that ContextAttribute names.
    """

    status: SecurityStatus
    value: object = None


async def query_context_attributes(
    context: ContextHandle, attribute: ContextAttribute
) -> QueryResult:
    """Ask an attribute of an established context.

    Returns:
        The attribute. SEC_E_INVALID_HANDLE if the handle refers to no context, or to one that is
        not established; SEC_E_UNSUPPORTED_FUNCTION if the provider cannot tell.
    """
    handshake = context.handshake if isinstance(context, ContextHandle) else None
    if handshake is None:
        return QueryResult(_S.SEC_E_INVALID_HANDLE)
    try:
        value = await handshake.query(ContextAttribute(attribute))
    except ValueError:
        # sspi.h knows no such attribute.
        return QueryResult(_S.SEC_E_UNSUPPORTED_FUNCTION)
    except AuthsrvError as error:
        return QueryResult(failed(error).status)
    if isinstance(value, AscRet) and context.role is Role.INITIATOR:
        value = isc_ret_from_asc(value)
    return QueryResult(_OK, value)


def delete_security_context_async(call: AsyncContext, context: ContextHandle) -> SecurityStatus:
    """Queue the deletion of a context, in whatever state it is.

    Args:
        call: An idle call.
        context: The context. To delete it a second time is SEC_E_OK, too.

    Returns:
        SEC_E_OK if it was queued; SEC_E_INVALID_HANDLE if it never was a context;
        SEC_E_OUT_OF_SEQUENCE if an operation works on it.

    Raises:
        RuntimeError: No event loop is running.
    """
    if not isinstance(context, ContextHandle) or not context.was_used:
        return _S.SEC_E_INVALID_HANDLE
    if context.is_busy:
        return _S.SEC_E_OUT_OF_SEQUENCE
    status = check_idle(call)
    if status is not _OK:
        return status
    return queue(call, _Deletion(context), free_while_pending=ALLOWED)


class _Deletion(Operation[None]):
    __slots__ = ("_context", "_handshake")

    def __init__(self, context: ContextHandle) -> None:
        self._context = context
        self._handshake: Handshake | None = None

    def begin(self) -> None:
        self._handshake = self._context.release()
        if self._handshake is None:
            self.set_result(None)
        else:
            self._handshake.submit_delete(self)

    def conclude(self, answer: None) -> CallResult:
        return _DELETED

    def abandon(self) -> None:
        if self._handshake is not None:
            self._handshake.close()

    def set_exception(self, error: BaseException) -> None:
        # The caller is not at fault and can do nothing: the context is deleted later.
        self.abandon()
        self.set_result(None)
