"""The handshake over asyncio streams, as .NET's NegotiateStream has it on the wire (MS-NNS).

A server calls `accept` and a client `initiate` on a connection that has carried nothing yet, and
both get an Identity or an error. What follows on the connection is the application's.

What follows is plain. NegotiateStream can go on to sign or encrypt it with the key of the context;
that is not done here, so that whoever can change bytes on their way can take the connection over
once the handshake is done. Put TLS below it, and give both sides the channel bindings of that TLS
(`ContextRequest.bindings`, `InitiatorRequest.bindings`): they tie the identity to the channel.

Programs of .NET can take part in the handshake, and share what follows only with
ProtectionLevel.None, for which .NET's client takes NTLM and never Kerberos. With the other levels,
of which EncryptAndSign is its default, it wraps what follows in data messages (MS-NNS section
2.2.2).
"""

from authsrv.streams.acceptor import accept
from authsrv.streams.initiator import initiate

__all__ = ["accept", "initiate"]
