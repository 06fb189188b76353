"""Kerberos and SPNEGO by MIT's library, as acceptor and as initiator."""

from authsrv.errors import ConfigError as _ConfigError

try:
    import gssapi.raw as _gssapi  # noqa: F401
    import krb5 as _krb5  # noqa: F401
except ImportError as missing:
    raise _ConfigError(
        f"Kerberos needs the extra authsrv[kerberos]: {missing.name} is not installed"
    ) from missing

from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism

__all__ = ["GssapiInitiatorProvider", "GssapiProvider", "InitiatorMechanism"]
