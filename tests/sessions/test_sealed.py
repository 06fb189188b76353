"""The session's cookie as an attacker, a clock and an upgrade meet it; and notes beside it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logged_in import LOGIN, NOW, SEALER, WIKI, a_session, ring

from authsrv.errors import ConfigError, SessionError
from authsrv.sessions.keyring import KeyKind, parse_ring
from authsrv.sessions.sealed import open_note, open_session, seal_note, seal_session
from authsrv.sessions.sealing import (
    MAX_PAYLOAD_BYTES,
    MAX_SEALED_CHARACTERS,
    Audience,
    Sealer,
    SealPurpose,
)
from authsrv.sessions.session import MAX_GROUP_BYTES, Session, digest_of_groups

SESSION = a_session(group_digest=digest_of_groups(["staff", "Köche", "admins"]))
COOKIE = seal_session(SEALER, SESSION, WIKI, NOW)
GOLDEN = json.loads(
    (Path(__file__).parents[1] / "data" / "sealed_session_format_1.json").read_text("utf-8")
)
NOTES = [each for each in SealPurpose if "session" not in each.value]


def cause(text: str, **given: Any) -> str:
    settings: dict[str, Any] = {"sealer": SEALER, "audience": WIKI, "now": NOW} | given
    with pytest.raises(SessionError) as caught:
        open_session(text=text, **settings)
    return caught.value.detail


class TestSession:
    def test_a_cookie_is_the_session(self) -> None:
        assert open_session(SEALER, COOKIE, WIKI, NOW) == SESSION
        digest = digest_of_groups(["admins", "staff", "Köche"])
        assert open_session(SEALER, COOKIE, WIKI, NOW + 100, group_digest=digest) == SESSION

    def test_the_largest_session_is_one_cookie(self) -> None:
        largest = a_session(
            principal="x" * 512, mechanism="x" * 32, groups=("x" * (MAX_GROUP_BYTES - 1),)
        )
        text = seal_session(SEALER, largest, WIKI, NOW)
        assert len(text) <= MAX_SEALED_CHARACTERS
        assert open_session(SEALER, text, WIKI, NOW) == largest

    @pytest.mark.parametrize(
        ("attack", "expected"),
        [
            ({"audience": Audience("blog.example.org", "wiki")}, "forged"),
            ({"audience": Audience("wiki.example.org", "blog")}, "forged"),
            ({"purpose": SealPurpose.LOGIN_SESSION}, "forged"),
            ({"sealer": Sealer(ring(b"\7"))}, "unknown key"),
            ({"now": NOW - 61}, "in the future"),
            ({"now": NOW + 3_600}, "not used for too long"),
            ({"now": NOW + 36_000}, "time or its ticket ended"),
            ({"group_digest": digest_of_groups(["staff"])}, "other groups"),
        ],
        ids=[
            "at another host",
            "on another site",
            "at the login host",
            "after the keys were made anew",
            "after the clock was set back",
            "idle",
            "after its end",
            "after the rules changed",
        ],
    )
    def test_a_cookie_is_worth_nothing(self, attack: dict[str, Any], expected: str) -> None:
        assert expected in cause(COOKIE, **attack)

    def test_the_cookie_of_the_login_host_is_worth_nothing_at_an_ask(self) -> None:
        login = SealPurpose.LOGIN_SESSION
        for audience in (LOGIN, WIKI):
            text = seal_session(SEALER, SESSION, audience, NOW, purpose=login)
            assert open_session(SEALER, text, audience, NOW, purpose=login) == SESSION
            assert "forged" in cause(text, audience=audience)

    @pytest.mark.parametrize("purpose", NOTES)
    def test_a_value_of_another_purpose_is_no_session(self, purpose: SealPurpose) -> None:
        text = seal_note(SEALER, purpose, WIKI, b"\1" * 99, now=NOW, lifetime_seconds=60)
        assert "forged" in cause(text)
        for wrong in (lambda: seal_session(SEALER, SESSION, WIKI, NOW, purpose=purpose),
                      lambda: open_session(SEALER, text, WIKI, NOW, purpose=purpose)):  # fmt: skip
            with pytest.raises(ConfigError, match="must be that of a session"):
                wrong()

    def test_a_well_sealed_value_that_is_no_session_is_refused(self) -> None:
        assert "format" in cause(SEALER.seal(SealPurpose.SESSION, WIKI, b"{}", NOW))

    @given(st.integers(0, len(COOKIE) - 1), st.characters(codec="ascii"))
    def test_a_changed_cookie_is_refused(self, place: int, character: str) -> None:
        text = COOKIE[:place] + character + COOKIE[place + 1 :]
        if text != COOKIE:
            cause(text)

    @given(st.text(max_size=5_000))
    def test_anything_is_refused_by_name(self, text: str) -> None:
        cause(text)


class TestUpgrade:
    """The file holds what the first release sealed; a later one reads it, or says why not."""

    SEALER = Sealer(parse_ring(json.dumps(GOLDEN["ring"]).encode(), KeyKind.SEALING, "golden"))
    AUDIENCE = Audience(**GOLDEN["audience"])

    def test_a_cookie_of_format_1_is_read(self) -> None:
        session = open_session(
            self.SEALER, GOLDEN["cookie"], self.AUDIENCE, GOLDEN["session"]["issued_at"]
        )
        told = dataclasses.asdict(session)
        assert told | {"groups": list(told["groups"])} == GOLDEN["session"]

    @pytest.mark.parametrize("first", ["AA", "Ag", "_w"], ids=["0", "2", "255"])
    def test_a_cookie_of_another_format_is_refused_by_name(self, first: str) -> None:
        text = first + GOLDEN["cookie"][2:]
        assert "of another format" in cause(text, sealer=self.SEALER, audience=self.AUDIENCE)

    def test_a_session_of_another_format_is_refused_by_name(self) -> None:
        text = self.SEALER.seal(SealPurpose.SESSION, self.AUDIENCE, b"\2and more", NOW)
        assert "of another format" in cause(text, sealer=self.SEALER, audience=self.AUDIENCE)


def cause_of_note(text: str, now: float = NOW, **given: Any) -> str:
    settings: dict[str, Any] = {"purpose": SealPurpose.CSRF, "audience": WIKI} | given
    with pytest.raises(SessionError) as caught:
        open_note(SEALER, text=text, now=now, **settings)
    return caught.value.detail


class TestNotes:
    NOTE = seal_note(SEALER, SealPurpose.CSRF, WIKI, b"note", now=NOW, lifetime_seconds=60)

    @given(st.sampled_from(NOTES), st.binary(max_size=MAX_PAYLOAD_BYTES - 8))
    def test_a_note_is_read_while_it_counts(self, purpose: SealPurpose, payload: bytes) -> None:
        text = seal_note(SEALER, purpose, WIKI, payload, now=NOW + 0.9, lifetime_seconds=60)
        for now in (NOW - 60, NOW, NOW + 59.9):
            assert open_note(SEALER, purpose, WIKI, text, now=now) == payload
        assert "is over" in cause_of_note(text, NOW + 61, purpose=purpose)
        assert "in the future" in cause_of_note(text, NOW - 61, purpose=purpose)

    def test_a_note_of_another_place_or_purpose_is_none(self) -> None:
        assert "forged" in cause_of_note(self.NOTE, audience=LOGIN)
        assert "forged" in cause_of_note(self.NOTE, purpose=SealPurpose.TRIED)

    def test_a_note_without_times_is_none(self) -> None:
        text = SEALER.seal(SealPurpose.CSRF, WIKI, b"7 bytes", NOW)
        assert "has no times" in cause_of_note(text)

    @pytest.mark.parametrize("purpose", ["session", "login-session"])
    def test_no_session_is_made_or_read_as_a_note(self, purpose: Any) -> None:
        with pytest.raises(ConfigError, match="must not be that of a session"):
            seal_note(SEALER, purpose, WIKI, b"x", now=NOW, lifetime_seconds=60)
        with pytest.raises(ConfigError, match="must not be that of a session"):
            open_note(SEALER, purpose, WIKI, COOKIE, now=NOW)


def test_a_session_says_nothing_secret_of_itself() -> None:
    """It holds names and times; the cookie's bytes are nowhere in it."""
    assert COOKIE[:12] not in repr(open_session(SEALER, COOKIE, WIKI, NOW))
    assert isinstance(SESSION, Session)
