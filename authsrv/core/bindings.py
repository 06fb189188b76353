"""Channel bindings: the proof that client and server speak over the same TLS channel."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, field

from authsrv.core.settings import as_instance, as_member, as_path
from authsrv.errors import ConfigError

__all__ = ["BindingPolicy", "ChannelBindings", "tls_server_end_point"]


class BindingPolicy(enum.Enum):
    """What is asked of the client's channel bindings; named as in IIS' extendedProtection."""

    ALLOW = "allow"
    """Wrong bindings are refused; a client that sends none is accepted."""
    REQUIRE = "require"
    """A client that sends none is refused too."""


@dataclass(frozen=True, slots=True)
class ChannelBindings:
    """The channel that a client must speak over.

    Args:
        application_data: The bindings with their prefix, such as `b"tls-server-end-point:..."`;
            not empty. They are not secret; the repr leaves them out all the same.
        policy: Whether a client that sends none is accepted.

    Raises:
        ConfigError: application_data is empty, or a setting is of a wrong type.
    """

    application_data: bytes = field(repr=False)
    policy: BindingPolicy = BindingPolicy.REQUIRE

    def __post_init__(self) -> None:
        if not as_instance(bytes, self.application_data, "application_data"):
            raise ConfigError("channel bindings may not be empty")
        object.__setattr__(self, "policy", as_member(BindingPolicy, self.policy, "policy"))


def tls_server_end_point(
    certificate: bytes | str | os.PathLike[str],
    *,
    policy: BindingPolicy = BindingPolicy.REQUIRE,
) -> ChannelBindings:
    """Make bindings of the type tls-server-end-point, which name the server's certificate.

    Args:
        certificate: The server's own certificate, DER or PEM (the first one in it), or the path of
            a file with it, which is read; trusted.
        policy: Whether a client that sends no bindings is accepted.

    Raises:
        ConfigError: The certificate cannot be read, its signature algorithm is not known, or a
            setting is of a wrong type.
    """
    policy = as_member(BindingPolicy, policy, "policy")
    # Imported here: it is slow to import, and few servers end TLS themselves.
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes

    content = certificate if isinstance(certificate, bytes) else _read_file(certificate)
    begin = content.find(b"-----BEGIN CERTIFICATE-----")
    try:
        if begin >= 0:
            parsed = x509.load_pem_x509_certificate(content[begin:])
        else:
            parsed = x509.load_der_x509_certificate(content)
        signature_hash = parsed.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError("the server certificate cannot be read") from None
    # RFC 5929 section 4.1: "if the certificate's signatureAlgorithm uses a single hash function,
    # and that hash function is either MD5 or SHA-1, then use SHA-256".
    if signature_hash is None or isinstance(signature_hash, hashes.MD5 | hashes.SHA1):
        signature_hash = hashes.SHA256()
    return ChannelBindings(
        b"tls-server-end-point:" + parsed.fingerprint(signature_hash), policy=policy
    )


def _read_file(path: object) -> bytes:
    name = as_path(path, "certificate")
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigError(f"the certificate {name} cannot be read: {reason}") from None
