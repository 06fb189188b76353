"""The flags of SSPI contexts: what an acceptor or initiator asks for, and what it got.

The sets look alike and are not: CALL_LEVEL is one bit where it is asked for and another where it is
told, and some bits exist in one set only. So each has its own type, with the names and numbers of
sspi.h.
``asc_ret_from_gss`` translates the flags of a GSS-API context.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "ASC_REQ_MEANINGS",
    "ASC_RET_MEANINGS",
    "AscReq",
    "AscRet",
    "CredentialUse",
    "DataRepresentation",
    "IscReq",
    "IscRet",
    "asc_ret_from_gss",
    "isc_ret_from_asc",
]


class AscReq(enum.IntFlag):
    """What the acceptor asks of a context: ASC_REQ_*; ``ASC_REQ_MEANINGS`` explains each."""

    DELEGATE = 0x0000_0001
    MUTUAL_AUTH = 0x0000_0002
    REPLAY_DETECT = 0x0000_0004
    SEQUENCE_DETECT = 0x0000_0008
    CONFIDENTIALITY = 0x0000_0010
    USE_SESSION_KEY = 0x0000_0020
    SESSION_TICKET = 0x0000_0040
    ALLOCATE_MEMORY = 0x0000_0100
    USE_DCE_STYLE = 0x0000_0200
    DATAGRAM = 0x0000_0400
    CONNECTION = 0x0000_0800
    CALL_LEVEL = 0x0000_1000
    FRAGMENT_SUPPLIED = 0x0000_2000
    EXTENDED_ERROR = 0x0000_8000
    STREAM = 0x0001_0000
    INTEGRITY = 0x0002_0000
    LICENSING = 0x0004_0000
    IDENTIFY = 0x0008_0000
    ALLOW_NULL_SESSION = 0x0010_0000
    ALLOW_NON_USER_LOGONS = 0x0020_0000
    ALLOW_CONTEXT_REPLAY = 0x0040_0000
    FRAGMENT_TO_FIT = 0x0080_0000
    NO_TOKEN = 0x0100_0000
    PROXY_BINDINGS = 0x0400_0000
    ALLOW_MISSING_BINDINGS = 0x1000_0000
    #: The same bit, by the name that some documentation gives it.
    HTTP = ALLOW_MISSING_BINDINGS
    MESSAGES = 0x1_0000_0000


class AscRet(enum.IntFlag):
    """What an acceptor's context has: ASC_RET_*, true only once it is established.

    ``ASC_RET_MEANINGS`` explains each.
    """

    DELEGATE = 0x0000_0001
    MUTUAL_AUTH = 0x0000_0002
    REPLAY_DETECT = 0x0000_0004
    SEQUENCE_DETECT = 0x0000_0008
    CONFIDENTIALITY = 0x0000_0010
    USE_SESSION_KEY = 0x0000_0020
    SESSION_TICKET = 0x0000_0040
    ALLOCATED_MEMORY = 0x0000_0100
    USED_DCE_STYLE = 0x0000_0200
    DATAGRAM = 0x0000_0400
    CONNECTION = 0x0000_0800
    CALL_LEVEL = 0x0000_2000
    THIRD_LEG_FAILED = 0x0000_4000
    EXTENDED_ERROR = 0x0000_8000
    STREAM = 0x0001_0000
    INTEGRITY = 0x0002_0000
    LICENSING = 0x0004_0000
    IDENTIFY = 0x0008_0000
    NULL_SESSION = 0x0010_0000
    ALLOW_NON_USER_LOGONS = 0x0020_0000
    ALLOW_CONTEXT_REPLAY = 0x0040_0000
    FRAGMENT_ONLY = 0x0080_0000
    NO_TOKEN = 0x0100_0000
    NO_ADDITIONAL_TOKEN = 0x0200_0000
    MESSAGES = 0x1_0000_0000


class IscReq(enum.IntFlag):
    """What the initiator asks of a context: ISC_REQ_*."""

    #: The server may act as the client towards other machines.
    DELEGATE = 0x0000_0001
    #: The server proves who it is.
    MUTUAL_AUTH = 0x0000_0002
    #: Messages that are sent twice are detected.
    REPLAY_DETECT = 0x0000_0004
    #: Messages that come out of order are detected.
    SEQUENCE_DETECT = 0x0000_0008
    #: Messages can be encrypted.
    CONFIDENTIALITY = 0x0000_0010
    #: A new session key is agreed on.
    USE_SESSION_KEY = 0x0000_0020
    #: The provider may ask the user for credentials.
    PROMPT_FOR_CREDS = 0x0000_0040
    #: The credentials that were handed in are used.
    USE_SUPPLIED_CREDS = 0x0000_0080
    #: The provider allocates the output buffers.
    ALLOCATE_MEMORY = 0x0000_0100
    #: The handshake has the third leg of DCE RPC.
    USE_DCE_STYLE = 0x0000_0200
    #: The context is for datagrams.
    DATAGRAM = 0x0000_0400
    #: The context is for a connection, without message formatting.
    CONNECTION = 0x0000_0800
    #: A context for a single call; reserved.
    CALL_LEVEL = 0x0000_1000
    #: The input token may come in fragments.
    FRAGMENT_SUPPLIED = 0x0000_2000
    #: A failure produces an error token for the peer.
    EXTENDED_ERROR = 0x0000_4000
    #: The context is for a stream.
    STREAM = 0x0000_8000
    #: Messages can be signed.
    INTEGRITY = 0x0001_0000
    #: The server may learn who the client is, and not act as it.
    IDENTIFY = 0x0002_0000
    #: The client is anonymous.
    NULL_SESSION = 0x0004_0000
    #: The provider does not check the server; the caller does.
    MANUAL_CRED_VALIDATION = 0x0008_0000


class IscRet(enum.IntFlag):
    """What an initiator's context has: ISC_RET_*, true only once it is established.

    Many bits differ from those of AscRet: from EXTENDED_ERROR up, each flag has another.
    """

    #: The server may act as the client towards other machines.
    DELEGATE = 0x0000_0001
    #: The server proves who it is.
    MUTUAL_AUTH = 0x0000_0002
    #: Messages that are sent twice are detected.
    REPLAY_DETECT = 0x0000_0004
    #: Messages that come out of order are detected.
    SEQUENCE_DETECT = 0x0000_0008
    #: Messages can be encrypted.
    CONFIDENTIALITY = 0x0000_0010
    #: A new session key is agreed on.
    USE_SESSION_KEY = 0x0000_0020
    #: The provider asked the user for the credentials.
    USED_COLLECTED_CREDS = 0x0000_0040
    #: The credentials that were handed in were used.
    USED_SUPPLIED_CREDS = 0x0000_0080
    #: The provider allocated the output buffers; the caller frees them.
    ALLOCATED_MEMORY = 0x0000_0100
    #: The handshake has the third leg of DCE RPC.
    USED_DCE_STYLE = 0x0000_0200
    #: The context is for datagrams.
    DATAGRAM = 0x0000_0400
    #: The context is for a connection, without message formatting.
    CONNECTION = 0x0000_0800
    #: The context is not finished yet.
    INTERMEDIATE_RETURN = 0x0000_1000
    #: A context for a single call; reserved.
    CALL_LEVEL = 0x0000_2000
    #: A failure produces an error token for the peer.
    EXTENDED_ERROR = 0x0000_4000
    #: The context is for a stream.
    STREAM = 0x0000_8000
    #: Messages can be signed.
    INTEGRITY = 0x0001_0000
    #: The server may learn who the client is, and not act as it.
    IDENTIFY = 0x0002_0000
    #: The client is anonymous.
    NULL_SESSION = 0x0004_0000
    #: The provider does not check the server; the caller does.
    MANUAL_CRED_VALIDATION = 0x0008_0000


class CredentialUse(enum.IntFlag):
    """What a credential is acquired for: SECPKG_CRED_*."""

    #: To accept clients.
    INBOUND = 0x01
    #: To be a client.
    OUTBOUND = 0x02
    #: To accept clients and to be one.
    BOTH = 0x03
    #: As the provider sees fit.
    DEFAULT = 0x04
    #: Never the logged-on user's own credentials.
    AUTOLOGON_RESTRICTED = 0x10
    #: For the processing of policy alone.
    PROCESS_POLICY_ONLY = 0x20


class DataRepresentation(enum.IntEnum):
    """The byte order of the target: SECURITY_*_DREP."""

    #: The order of the network.
    NETWORK = 0x00
    #: The order of this machine.
    NATIVE = 0x10


#: What each flag of AscReq asks for, one English sentence; read-only.
ASC_REQ_MEANINGS: Mapping[AscReq, str] = MappingProxyType(
    {
        AscReq.DELEGATE: "The server may act as the client towards other machines.",
        AscReq.MUTUAL_AUTH: "The server, too, proves who it is.",
        AscReq.REPLAY_DETECT: "Messages that are sent twice are detected.",
        AscReq.SEQUENCE_DETECT: "Messages that come out of order are detected.",
        AscReq.CONFIDENTIALITY: "Messages can be encrypted.",
        AscReq.USE_SESSION_KEY: "A new session key is agreed on.",
        AscReq.SESSION_TICKET: "TLS session tickets may be used to resume.",
        AscReq.ALLOCATE_MEMORY: "The provider allocates the output buffers.",
        AscReq.USE_DCE_STYLE: "The handshake has the third leg of DCE RPC.",
        AscReq.DATAGRAM: "The context is for datagrams.",
        AscReq.CONNECTION: "The context is for a connection, without message formatting.",
        AscReq.CALL_LEVEL: "A context for a single call; reserved.",
        AscReq.FRAGMENT_SUPPLIED: "The input token may come in fragments.",
        AscReq.EXTENDED_ERROR: "A failure produces an error token for the peer.",
        AscReq.STREAM: "The context is for a stream.",
        AscReq.INTEGRITY: "Messages can be signed.",
        AscReq.LICENSING: "For licensing; reserved.",
        AscReq.IDENTIFY: "The server may learn who the client is, and not act as it.",
        AscReq.ALLOW_NULL_SESSION: "An anonymous client is accepted.",
        AscReq.ALLOW_NON_USER_LOGONS: "A client that is no user, such as a machine, is accepted.",
        AscReq.ALLOW_CONTEXT_REPLAY: "A context may be replayed.",
        AscReq.FRAGMENT_TO_FIT: "Output is cut into fragments that fit the buffers.",
        AscReq.NO_TOKEN: "The handshake produces no token.",
        AscReq.PROXY_BINDINGS: "Channel bindings are required; documented for Digest.",
        AscReq.ALLOW_MISSING_BINDINGS: "A client that sends no channel bindings is accepted.",
        AscReq.MESSAGES: "The handshake's messages have no TLS record layer, as QUIC wants them.",
    }
)

#: What each flag of AscRet says, one English sentence; read-only.
ASC_RET_MEANINGS: Mapping[AscRet, str] = MappingProxyType(
    {
        AscRet.DELEGATE: "The server may act as the client towards other machines.",
        AscRet.MUTUAL_AUTH: "The server, too, proves who it is.",
        AscRet.REPLAY_DETECT: "Messages that are sent twice are detected.",
        AscRet.SEQUENCE_DETECT: "Messages that come out of order are detected.",
        AscRet.CONFIDENTIALITY: "Messages can be encrypted.",
        AscRet.USE_SESSION_KEY: "A new session key is agreed on.",
        AscRet.SESSION_TICKET: "A TLS session ticket was used.",
        AscRet.ALLOCATED_MEMORY: "The provider allocated the output; the caller frees it.",
        AscRet.USED_DCE_STYLE: "The handshake has the third leg of DCE RPC.",
        AscRet.DATAGRAM: "The context is for datagrams.",
        AscRet.CONNECTION: "The context is for a connection, without message formatting.",
        AscRet.CALL_LEVEL: "A context for a single call; reserved.",
        AscRet.THIRD_LEG_FAILED: "The third leg of a DCE-style handshake failed.",
        AscRet.EXTENDED_ERROR: "A failure produces an error token for the peer.",
        AscRet.STREAM: "The context is for a stream.",
        AscRet.INTEGRITY: "Messages can be signed.",
        AscRet.LICENSING: "For licensing; reserved.",
        AscRet.IDENTIFY: "The server may learn who the client is, and not act as it.",
        AscRet.NULL_SESSION: "The client is anonymous.",
        AscRet.ALLOW_NON_USER_LOGONS: "The client is no user, such as a machine.",
        AscRet.ALLOW_CONTEXT_REPLAY: "The context may be replayed.",
        AscRet.FRAGMENT_ONLY: "The output is a fragment; more follows.",
        AscRet.NO_TOKEN: "The handshake produces no token.",
        AscRet.NO_ADDITIONAL_TOKEN: "The handshake needs no further token.",
        AscRet.MESSAGES: "The handshake's messages have no TLS record layer, as QUIC wants them.",
    }
)

# RFC 2744 section 5.1 and gssapi_ext.h. Without a twin are PROT_READY 0x80 and TRANS 0x100 (true of
# every context that SSPI calls established), DELEG_POLICY 0x8000 (for initiators) and
# CHANNEL_BOUND 0x800: SSPI tells of bindings by failing, never by a flag.
_FROM_GSS: Mapping[int, AscRet] = MappingProxyType(
    {
        0x0001: AscRet.DELEGATE,
        0x0002: AscRet.MUTUAL_AUTH,
        0x0004: AscRet.REPLAY_DETECT,
        0x0008: AscRet.SEQUENCE_DETECT,
        0x0010: AscRet.CONFIDENTIALITY,
        0x0020: AscRet.INTEGRITY,
        0x0040: AscRet.NULL_SESSION,  # ANON
        0x1000: AscRet.USED_DCE_STYLE,
        0x2000: AscRet.IDENTIFY,
        0x4000: AscRet.EXTENDED_ERROR,
    }
)


@functools.lru_cache(maxsize=256)  # on the path of every handshake, and always the same few
def asc_ret_from_gss(flags: int) -> AscRet:
    """Translate the flags of a GSS-API context.

    Args:
        flags: The ret_flags of gss_accept_sec_context; bits without a twin are passed over. They
            come from the library, but the client chose most of them.
    """
    result = AscRet(0)
    for bit, twin in _FROM_GSS.items():
        if flags & bit:
            result |= twin
    return result


def isc_ret_from_asc(flags: AscRet) -> IscRet:
    """Translate an initiator's attributes to its own bits; inside authsrv they are an AscRet.

    What IscRet has no name for is left out.
    """
    result = IscRet(0)
    for name, twin in IscRet.__members__.items():
        if name in AscRet.__members__ and flags & AscRet[name]:
            result |= twin
    return result
