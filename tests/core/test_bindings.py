"""Channel bindings: the hash of the server's certificate, by the rule of RFC 5929."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from authsrv.core.bindings import BindingPolicy, ChannelBindings, tls_server_end_point
from authsrv.errors import ConfigError

PREFIX = b"tls-server-end-point:"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

# The identifiers of RSA with some hash (RFC 8017 appendix C). No library signs with MD5 or SHA-1
# any more, so those stand in the place of SHA-256 in a certificate that was signed with it. Its
# signature is wrong then, which nobody looks at here: the bindings are a hash over the whole.
WITH_SHA256 = bytes.fromhex("2a864886f70d01010b")
WITH_MD5 = bytes.fromhex("2a864886f70d010104")
WITH_SHA1 = bytes.fromhex("2a864886f70d010105")
WITH_NOTHING_KNOWN = bytes.fromhex("2a864886f70d01017b")


def certificate(
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
) -> x509.Certificate:
    key = RSA_KEY if algorithm else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
    )
    return builder.sign(key, algorithm)


def signed_with(identifier: bytes) -> bytes:
    der = certificate(hashes.SHA256()).public_bytes(Encoding.DER)
    assert der.count(WITH_SHA256) == 2
    return der.replace(WITH_SHA256, identifier)


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        (hashes.SHA256(), hashlib.sha256),
        (hashes.SHA384(), hashlib.sha384),
        (hashes.SHA512(), hashlib.sha512),
    ],
    ids=["sha256", "sha384", "sha512"],
)
def test_the_hash_is_that_of_the_certificates_signature(
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512,
    digest: Callable[[bytes], hashlib._Hash],
) -> None:
    der = certificate(algorithm).public_bytes(Encoding.DER)
    assert tls_server_end_point(der).application_data == PREFIX + digest(der).digest()


@pytest.mark.parametrize("identifier", [WITH_MD5, WITH_SHA1], ids=["md5", "sha1"])
def test_a_weak_hash_is_replaced_by_sha256(identifier: bytes) -> None:
    der = signed_with(identifier)
    expected = PREFIX + hashlib.sha256(der).digest()
    assert tls_server_end_point(der).application_data == expected


def test_a_signature_without_a_hash_of_its_own_gets_sha256() -> None:
    der = certificate().public_bytes(Encoding.DER)
    expected = PREFIX + hashlib.sha256(der).digest()
    assert tls_server_end_point(der).application_data == expected


@pytest.mark.parametrize("before", [b"", b"\n  \n"])
def test_pem_and_der_give_the_same_bindings_and_the_first_of_a_chain_counts(before: bytes) -> None:
    own, issuer = certificate(hashes.SHA256()), certificate(hashes.SHA384())
    chain = before + own.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)
    assert tls_server_end_point(chain) == tls_server_end_point(own.public_bytes(Encoding.DER))


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"garbage",
        b"\x30\x82\xff\xff",
        b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\n",
        certificate(hashes.SHA256()).public_bytes(Encoding.DER)[:-1],
        signed_with(WITH_NOTHING_KNOWN),
    ],
    ids=["empty", "garbage", "open-end", "no-base64", "no-certificate", "truncated", "unknown"],
)
def test_what_cannot_be_read_is_a_wrong_setting(garbage: bytes) -> None:
    with pytest.raises(ConfigError, match="certificate cannot be read") as caught:
        tls_server_end_point(garbage)
    assert caught.value.__suppress_context__


def test_bindings_are_required_unless_the_policy_says_otherwise() -> None:
    der = certificate(hashes.SHA256()).public_bytes(Encoding.DER)
    assert tls_server_end_point(der).policy is BindingPolicy.REQUIRE
    allowed = tls_server_end_point(der, policy=BindingPolicy.ALLOW)
    assert allowed.policy is BindingPolicy.ALLOW


def test_empty_bindings_are_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="may not be empty"):
        ChannelBindings(b"")


def test_the_repr_leaves_the_bindings_out() -> None:
    assert "SECRET" not in repr(ChannelBindings(b"SECRET"))
