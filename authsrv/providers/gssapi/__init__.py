"""Kerberos and SPNEGO by MIT's library, as acceptor and as initiator."""

from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism

__all__ = ["GssapiInitiatorProvider", "GssapiProvider", "InitiatorMechanism"]
