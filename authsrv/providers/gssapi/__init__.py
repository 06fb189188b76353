"""Kerberos and SPNEGO by MIT's library, as acceptor and as initiator."""

from authsrv.errors import ConfigError

try:
    from authsrv.providers.gssapi.acceptor import GssapiProvider
    from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism
except ImportError as missing:
    raise ConfigError(
        f"Kerberos needs the extra authsrv[kerberos]: {missing.name} is not installed"
    ) from missing

__all__ = ["GssapiInitiatorProvider", "GssapiProvider", "InitiatorMechanism"]
