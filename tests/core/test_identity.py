"""Who the client is: nobody can be made without a name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from authsrv.core.flags import AscRet
from authsrv.core.identity import DelegatedCredential, Identity
from authsrv.errors import LogonDeniedError, ProviderFaultError


@pytest.mark.parametrize("text", ["", " ", "\t"])
@pytest.mark.parametrize("what", ["principal", "mechanism"])
def test_a_package_that_says_nothing_has_named_nobody(what: str, text: str) -> None:
    names = {"principal": "alice@EXAMPLE.ORG", "mechanism": "kerberos", what: text}
    with pytest.raises(ProviderFaultError, match=f"named no {what}"):
        Identity(**names)


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\u2028b", "a\x1b[2J"])
def test_a_mechanism_is_printable(text: str) -> None:
    with pytest.raises(ProviderFaultError, match="no printable mechanism"):
        Identity("alice@EXAMPLE.ORG", text)


@pytest.mark.parametrize(
    ("principal", "cause"),
    [
        ("a\nb@R", r"unprintable characters: a\\nb@R"),
        ("al\u200dice@R", r"unprintable characters: al\\u200dice@R"),
        ("a\x1b[2J@R", r"unprintable characters: a\\x1b\[2J@R"),
        ("@EXAMPLE.ORG", "the client has no name"),
        ("/@EXAMPLE.ORG", "the client has no name"),
        ("WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS", "the client has a reserved name"),
        ("WELLKNOWN/ANONYMOUS@EXAMPLE.ORG", "the client has a reserved name"),
        ("WELLKNOWN/ORG.H5L.PASSWORD-CHANGE@EXAMPLE.ORG", "the client has a reserved name"),
        ("WELLKNOWN@EXAMPLE.ORG", "the client has a reserved name"),
        ("alice@WELLKNOWN:ORG.H5L", "the client has a reserved name"),
    ],
)
def test_a_client_whose_name_is_nobodys_is_denied(principal: str, cause: str) -> None:
    with pytest.raises(LogonDeniedError, match=cause):
        Identity(principal, "kerberos")


@pytest.mark.parametrize("nobody", [None, b"alice", 7, True, ["alice"]])
def test_a_name_that_is_no_text_names_nobody(nobody: Any) -> None:
    with pytest.raises(ProviderFaultError):
        Identity(principal=nobody, mechanism="kerberos")


@pytest.mark.parametrize(
    ("principal", "username", "realm"),
    [
        ("alice@EXAMPLE.ORG", "alice", "EXAMPLE.ORG"),
        ("alice", "alice", None),
        (r"DOM\alice", r"DOM\alice", None),
        (r"alice\@home@EXAMPLE.ORG", r"alice\@home", "EXAMPLE.ORG"),
        (r"alice@FOO\@TRUSTED.COM", "alice", r"FOO\@TRUSTED.COM"),
        (r"alice\\@EXAMPLE.ORG", r"alice\\", "EXAMPLE.ORG"),
        (r"alice\\\@EXAMPLE.ORG", r"alice\\\@EXAMPLE.ORG", None),
        ("wellknown/x@EXAMPLE.ORG", "wellknown/x", "EXAMPLE.ORG"),
        ("HTTP/web.example.org@EXAMPLE.ORG", "HTTP/web.example.org", "EXAMPLE.ORG"),
        ("jürgen@EXAMPLE.ORG", "jürgen", "EXAMPLE.ORG"),
    ],
)
def test_a_principal_has_a_user_name_and_perhaps_a_realm(
    principal: str, username: str, realm: str | None
) -> None:
    identity = Identity(principal=principal, mechanism="kerberos")
    assert (identity.username, identity.realm) == (username, realm)


def test_an_identity_of_which_no_more_is_known_claims_nothing() -> None:
    identity = Identity(principal="alice", mechanism="scripted")
    assert identity.service is None
    assert identity.attributes == AscRet(0)
    assert identity.expires_at is None
    assert identity.channel_bound is False
    assert identity.delegated is None
    assert identity.name_attributes == {}


def test_an_identity_cannot_be_changed() -> None:
    identity = Identity(principal="alice", mechanism="scripted")
    with pytest.raises(dataclasses.FrozenInstanceError):
        identity.principal = "root"  # type: ignore[misc]
    with pytest.raises(TypeError):
        identity.name_attributes["group"] = (b"root",)  # type: ignore[index]


def test_the_repr_shows_neither_credential_nor_attributes() -> None:
    identity = Identity(
        principal="alice",
        mechanism="kerberos",
        delegated=DelegatedCredential("gssapi", "SECRET"),
        name_attributes={"urn:pac": (b"SECRET",)},
    )
    assert "alice" in repr(identity)
    assert "SECRET" not in repr(identity)
