"""What a realm needs for PKINIT, so that clients can log in anonymously (`kinit -n`).

MIT's plug-in has to be installed: Debian's package krb5-pkinit.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

__all__ = ["pkinit_configuration"]

_HOST = "localhost"
_KEY_BITS = 2048


def pkinit_configuration(folder: Path) -> str:
    """Make a certificate for the KDC, and the configuration to give to Realm.

    The certificate lies in the folder, which has to stay as long as the realm runs.
    """
    identity = folder / "kdc.pem"
    identity.write_bytes(_make_certificate())
    identity.chmod(0o600)
    return f"""\
[libdefaults]
 pkinit_anchors = FILE:{identity}
 pkinit_kdc_hostname = {_HOST}
[kdcdefaults]
 pkinit_identity = FILE:{identity}
 pkinit_anchors = FILE:{identity}
"""


def _usage() -> Any:
    from cryptography import x509

    no = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, **no)


def _make_certificate() -> bytes:
    """A key and a certificate that it signed itself, both in PEM."""
    # Imported here: it is slow to import, and few realms want this.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_HOST)]), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.KERBEROS_PKINIT_KDC]), critical=False
        )
        .add_extension(_usage(), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
