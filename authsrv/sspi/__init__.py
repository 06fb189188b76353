"""The calls of SSPI, asynchronous: SspiAcceptSecurityContextAsync and its family.

The names are those of sspi.h in Python's spelling, and so are the rules: a call is queued at once
and answers later, through `get_async_call_status` or a callback, or to whoever awaits it. Windows
has these functions for drivers only; here they are mirrored over every provider. `ServerContext`
and `ClientContext` are the short form of the same.
"""

from authsrv.core.attributes import (
    ContextAttribute,
    ContextSizes,
    NegotiationInfo,
    PackageInfo,
    SessionKey,
)
from authsrv.core.buffers import BufferType, SecBuffer, SecBufferDesc
from authsrv.core.credentials import Password
from authsrv.core.flags import AscReq, AscRet, CredentialUse, IscReq, IscRet
from authsrv.core.flags import DataRepresentation as TargetDataRep
from authsrv.core.status import SecurityStatus
from authsrv.providers.registry import AuthData, Keytab
from authsrv.sspi.buffers import pack_channel_bindings, unpack_channel_bindings
from authsrv.sspi.calls import (
    AsyncContext,
    NotifyCallback,
    async_context_requires_notify,
    create_async_context,
    free_async_context,
    get_async_call_status,
    reinit_async_context,
    set_async_notify_callback,
)
from authsrv.sspi.contexts import (
    QueryResult,
    complete,
    complete_auth_token,
    delete_security_context_async,
    query_context_attributes,
)
from authsrv.sspi.credentials import (
    acquire_credentials,
    acquire_credentials_handle_async,
    free_credentials_handle_async,
)
from authsrv.sspi.establish import (
    accept_security_context_async,
    initialize_security_context_async,
)
from authsrv.sspi.handles import ContextHandle, CredentialHandle
from authsrv.sspi.objects import ClientContext, ServerContext, Step
from authsrv.sspi.operations import CallResult

__all__ = [
    "AscReq",
    "AscRet",
    "AsyncContext",
    "AuthData",
    "BufferType",
    "CallResult",
    "ClientContext",
    "ContextAttribute",
    "ContextHandle",
    "ContextSizes",
    "CredentialHandle",
    "CredentialUse",
    "IscReq",
    "IscRet",
    "Keytab",
    "NegotiationInfo",
    "NotifyCallback",
    "PackageInfo",
    "Password",
    "QueryResult",
    "SecBuffer",
    "SecBufferDesc",
    "SecurityStatus",
    "ServerContext",
    "SessionKey",
    "Step",
    "TargetDataRep",
    "accept_security_context_async",
    "acquire_credentials",
    "acquire_credentials_handle_async",
    "async_context_requires_notify",
    "complete",
    "complete_auth_token",
    "create_async_context",
    "delete_security_context_async",
    "free_async_context",
    "free_credentials_handle_async",
    "get_async_call_status",
    "initialize_security_context_async",
    "pack_channel_bindings",
    "query_context_attributes",
    "reinit_async_context",
    "set_async_notify_callback",
    "unpack_channel_bindings",
]
