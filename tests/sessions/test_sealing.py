"""Sealed values: what opens, what does not, and what the log says of it."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given
from hypothesis import strategies as st
from logged_in import LOGIN, NOW, SEALER, WIKI, ring

from authsrv.errors import ConfigError, LocalError, SessionError
from authsrv.sessions import sealing
from authsrv.sessions.keyring import KeyKind, KeyRing, RingKey
from authsrv.sessions.sealing import (
    MAX_PAYLOAD_BYTES,
    MAX_SEALED_CHARACTERS,
    Audience,
    Sealer,
    SealPurpose,
)

CSRF = SealPurpose.CSRF
SEALED = SEALER.seal(CSRF, WIKI, b"payload", NOW)


def cause(
    text: str, *, sealer: Sealer = SEALER, purpose: SealPurpose = CSRF, audience: Audience = WIKI
) -> str:
    with pytest.raises(SessionError) as caught:
        sealer.open(purpose, audience, text)
    return caught.value.detail


def changed(text: str, place: int, byte: int) -> str:
    """A sealed value with another byte, written as we write it."""
    content = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    content[place] ^= byte
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class TestOpening:
    @given(st.binary(max_size=MAX_PAYLOAD_BYTES), st.sampled_from(SealPurpose))
    def test_what_is_sealed_opens(self, payload: bytes, purpose: SealPurpose) -> None:
        text = SEALER.seal(purpose, WIKI, payload, NOW)
        assert SEALER.open(purpose, WIKI, text) == payload

    def test_the_largest_value_is_one_cookie_and_a_larger_one_is_not_sealed(self) -> None:
        largest = SEALER.seal(CSRF, WIKI, b"x" * MAX_PAYLOAD_BYTES, NOW)
        assert len(largest) == MAX_SEALED_CHARACTERS < 4_000
        with pytest.raises(LocalError):
            SEALER.seal(CSRF, WIKI, b"x" * (MAX_PAYLOAD_BYTES + 1), NOW)

    def test_one_payload_is_sealed_differently_each_time(self) -> None:
        assert len({SEALER.seal(CSRF, WIKI, b"payload", NOW) for _ in range(50)}) == 50

    def test_the_payload_cannot_be_read(self) -> None:
        assert b"payload" not in base64.urlsafe_b64decode(SEALED + "==")

    @pytest.mark.parametrize(
        ("sealed_as", "opened_as"), list(itertools.permutations(SealPurpose, 2)), ids=str
    )
    def test_a_value_of_one_purpose_is_worth_nothing_as_another(
        self, sealed_as: SealPurpose, opened_as: SealPurpose
    ) -> None:
        text = SEALER.seal(sealed_as, WIKI, b"payload", NOW)
        assert "is forged, or is of another purpose" in cause(text, purpose=opened_as)

    @pytest.mark.parametrize(
        "audience",
        [
            LOGIN,
            Audience("wiki.example.org", "blog"),
            Audience("blog.example.org", "wiki"),
            Audience("wiki.example.org:8443", "wiki"),
            Audience("wiki.example.or", "gwiki"),
            Audience("wiki.example.orgw", "iki"),
        ],
    )
    def test_a_value_of_one_host_and_site_is_worth_nothing_elsewhere(
        self, audience: Audience
    ) -> None:
        assert "another purpose, host or site" in cause(SEALED, audience=audience)

    def test_the_value_of_a_purpose_is_as_good_as_the_purpose_and_no_other_text_is(self) -> None:
        name: Any = "csrf"
        assert SEALER.open(name, WIKI, SEALER.seal(name, WIKI, b"x", NOW)) == b"x"
        wrong: Any = "crsf"
        with pytest.raises(ConfigError, match="purpose must be one of"):
            SEALER.seal(wrong, WIKI, b"x", NOW)
        with pytest.raises(ConfigError, match="purpose must be one of"):
            SEALER.open(wrong, WIKI, SEALED)


class TestForgery:
    @given(st.integers(0, 43), st.integers(1, 255))
    def test_no_byte_can_be_changed(self, place: int, byte: int) -> None:
        found = cause(changed(SEALED, place, byte))
        if place == 0:
            assert found == f"the sealed csrf is of another format: {1 ^ byte}"
        elif place < 9:
            assert found == "the sealed csrf was sealed with an unknown key"
        else:
            assert "forged" in found

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "A",
            SEALED[:48],
            SEALED[:-1],
            SEALED + "=",
            SEALED + "A",
            SEALED + "AAAA",
            SEALED + "\n",
            " " + SEALED,
            '"' + SEALED + '"',
            SEALED[:20] + "%2D" + SEALED[20:],
            SEALED[:20] + "." + SEALED[20:],
            SEALED[:20] + "=" + SEALED[20:],
            SEALED[:20] + "é" + SEALED[20:],
            SEALED[:20] + "\udc80" + SEALED[20:],
            SEALED + SEALED,
            "A" * MAX_SEALED_CHARACTERS,
        ],
        ids=range(17),
    )
    def test_a_cut_lengthened_or_quoted_value_is_refused(self, text: str) -> None:
        cause(text)

    @pytest.mark.parametrize("length", [MAX_SEALED_CHARACTERS + 1, 5_000_000])
    def test_a_value_that_is_too_long_is_not_even_decoded(self, length: int) -> None:
        assert f"{length} characters are too many" in cause("A" * length)

    def test_a_value_has_one_text_only(self) -> None:
        """Characters of the other alphabet and spare bits are not read over."""
        sealed = next(
            text
            for text in (SEALER.seal(CSRF, WIKI, b"payload", NOW) for _ in range(1_000))
            if "-" in text and "_" in text
        )
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        spare = sealed[:-1] + alphabet[alphabet.index(sealed[-1]) + 1]
        for text in (sealed.replace("-", "+"), sealed.replace("_", "/"), spare):
            assert base64.urlsafe_b64decode(text + "===")  # Python's decoder takes them
            assert "malformed" in cause(text)

    @given(st.text() | st.text("ABCDEFGHIJ-_=+/ \0", max_size=200))
    def test_anything_is_refused_by_name(self, text: str) -> None:
        cause(text)

    def test_the_text_of_a_refusal_holds_nothing_of_the_value(self) -> None:
        for place in (0, 1, 9, 43):
            text = changed(SEALED, place, 1)
            assert not any(text[at : at + 6] in cause(text) for at in range(len(text) - 6))


class TestRotation:
    def test_every_key_opens_and_the_current_one_seals(self) -> None:
        old, both, new = Sealer(ring(b"\1")), Sealer(ring(b"\2", b"\1")), Sealer(ring(b"\2"))
        by_old, by_both = (each.seal(CSRF, WIKI, b"x", NOW) for each in (old, both))
        assert both.open(CSRF, WIKI, by_old) == new.open(CSRF, WIKI, by_both) == b"x"
        assert "unknown key" in cause(by_both, sealer=old)
        assert "unknown key" in cause(by_old, sealer=new)

    def test_a_key_whose_time_has_not_come_opens_and_does_not_seal(self) -> None:
        coming = RingKey(b"\2" * 32, NOW + 300)
        ahead = Sealer(KeyRing(KeyKind.SEALING, (coming, *ring(b"\1").keys)))
        assert SEALER.open(CSRF, WIKI, ahead.seal(CSRF, WIKI, b"x", NOW)) == b"x"
        by_coming = ahead.seal(CSRF, WIKI, b"x", NOW + 300)
        assert "unknown key" in cause(by_coming)
        assert ahead.open(CSRF, WIKI, by_coming) == b"x"


class TestSettings:
    @pytest.mark.parametrize(
        "wrong", [None, b"\1" * 32, ring(b"\1", kind=KeyKind.SIGNING)], ids=["none", "key", "kind"]
    )
    def test_only_a_ring_for_sealing_seals(self, wrong: Any) -> None:
        with pytest.raises(ConfigError):
            Sealer(wrong)

    @pytest.mark.parametrize(
        ("host", "site"),
        [
            ("", "wiki"),
            ("wiki.test", ""),
            ("Wiki.test", "wiki"),
            ("wíki.test", "wiki"),
            ("wiki test", "wiki"),
            ("wiki.test\0", "wiki"),
            ("wiki.test", "wi\nki"),
            ("x" * 256, "wiki"),
            ("wiki.test", "x" * 256),
            (b"wiki.test", "wiki"),
            ("wiki.test", None),
        ],
    )
    def test_an_audience_is_a_host_and_a_site(self, host: Any, site: Any) -> None:
        with pytest.raises(ConfigError):
            Audience(host, site)

    def test_without_the_cipher_there_is_no_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: bytes) -> None:
            raise UnsupportedAlgorithm("AES-GCM-SIV is not supported by this version of OpenSSL")

        monkeypatch.setattr(sealing, "AESGCMSIV", refuse)
        with pytest.raises(ConfigError, match=r"OpenSSL 3\.2 or newer"):
            Sealer(ring(b"\1"))

    def test_no_secret_is_shown(self) -> None:
        assert repr(SEALER) == "<Sealer with 1 keys>"
