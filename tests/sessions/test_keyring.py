"""Key rings: order, choice, rotation, and their text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logged_in import NOW, ring

from authsrv.errors import ConfigError
from authsrv.sessions.keyring import (
    MAX_GENERATIONS,
    MAX_RING_BYTES,
    KeyKind,
    KeyRing,
    RingKey,
    parse_ring,
    serialise_ring,
)

THREE = ring(b"\1", b"\2", b"\3")
DAY = 86_400


def rotated(before: KeyRing, now: float, keep_seconds: float = DAY) -> KeyRing:
    return before.rotated(now, delay_seconds=300, keep_seconds=keep_seconds)


class TestChoice:
    @pytest.mark.parametrize(
        ("now", "chosen"),
        [(NOW, 0), (NOW - 1_000, 0), (NOW - 1_001, 1), (NOW - 2_500, 2), (0, 2)],
        ids=["newest", "newest, this second", "one before", "oldest", "clock set back"],
    )
    def test_the_newest_whose_time_has_come_is_current(self, now: float, chosen: int) -> None:
        assert THREE.current(now) is THREE.keys[chosen]

    def test_every_key_is_found_by_its_id(self) -> None:
        assert [THREE.by_id[key.key_id] for key in THREE.keys] == list(THREE.keys)

    def test_no_secret_is_shown(self) -> None:
        for shown in (repr(THREE), str(THREE.keys[0])):
            assert repr(b"\1" * 8)[2:-1] not in shown


class TestMaking:
    @pytest.mark.parametrize(
        ("secret", "used_from"),
        [
            (b"", NOW),
            (b"x" * 33, NOW),
            ("x" * 32, NOW),
            (b"x" * 32, -1),
            (b"x" * 32, 2**32),
            (b"x" * 32, 1.5),
            (b"x" * 32, True),
        ],
    )
    def test_a_key_is_32_bytes_and_a_time(self, secret: Any, used_from: Any) -> None:
        with pytest.raises(ConfigError):
            RingKey(secret, used_from)

    @pytest.mark.parametrize(
        "keys",
        [
            (),
            [THREE.keys[0]],
            ("key",),
            tuple(reversed(THREE.keys)),
            (THREE.keys[0], THREE.keys[0]),
            (THREE.keys[0], RingKey(b"\1" * 32, 5)),
            tuple(RingKey.new(used_from) for used_from in range(MAX_GENERATIONS + 1, 0, -1)),
        ],
        ids=["none", "list", "text", "oldest first", "same time", "same secret", "too many"],
    )
    def test_what_is_no_ring_is_refused(self, keys: Any) -> None:
        with pytest.raises(ConfigError):
            KeyRing(KeyKind.SEALING, keys)

    def test_two_new_rings_have_nothing_in_common(self) -> None:
        one, other = (KeyRing.new(KeyKind.SEALING, NOW + 0.9) for _ in range(2))
        assert one.keys[0].used_from == NOW
        assert one.keys[0].secret != other.keys[0].secret


class TestRotation:
    def test_a_new_key_opens_at_once_and_seals_after_the_delay(self) -> None:
        after = rotated(THREE, NOW)
        new = after.keys[0]
        assert after.keys[1:] == THREE.keys
        assert new.key_id in after.by_id
        assert after.current(NOW + 299) is after.keys[1]
        assert after.current(NOW + 300) is new

    def test_keys_go_when_all_that_they_made_is_over(self) -> None:
        # They were replaced 1,000 and 2,000 seconds ago.
        assert rotated(THREE, NOW, keep_seconds=1_001).keys[1:] == THREE.keys[:2]
        assert rotated(THREE, NOW, keep_seconds=1_000).keys[1:] == THREE.keys[:1]
        assert rotated(THREE, NOW, keep_seconds=0.5).keys[1:] == THREE.keys[:1]

    def test_a_key_that_is_not_in_use_yet_is_not_replaced(self) -> None:
        after = rotated(THREE, NOW)
        for now in (NOW, NOW + 299):
            with pytest.raises(ConfigError, match="is used from 2026-09-21 14:18:20 UTC on"):
                rotated(after, now)
        assert len(rotated(after, NOW + 301).keys) == 5

    def test_a_new_key_is_never_as_old_as_the_one_before(self) -> None:
        with pytest.raises(ConfigError, match="is used from"):
            THREE.rotated(NOW - 1_000, delay_seconds=0.5, keep_seconds=DAY)

    def test_a_full_ring_is_not_rotated_before_there_is_room(self) -> None:
        full = KeyRing.new(KeyKind.SIGNING, NOW)
        for n in range(1, MAX_GENERATIONS):
            full = rotated(full, NOW + 400 * n)
        assert len(full.keys) == MAX_GENERATIONS
        with pytest.raises(ConfigError, match="full: what 16 keys made"):
            rotated(full, NOW + 7_000)
        later = rotated(full, NOW + DAY + 800)
        assert later.kind is KeyKind.SIGNING
        assert later.keys[1:] == full.keys[:-1]


def told(**changes: Any) -> dict[str, Any]:
    """What stands in a file with a ring, changed."""
    return json.loads(serialise_ring(THREE)) | changes


def with_key(**changes: Any) -> dict[str, Any]:
    whole = told()
    whole["keys"][1] |= changes
    return whole


def cause(content: bytes, kind: KeyKind = KeyKind.SEALING) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_ring(content, kind, "/sealing.json")
    assert "/sealing.json" in caught.value.detail
    return caught.value.detail


def read_or_cause(content: bytes) -> KeyRing | str:
    try:
        return parse_ring(content, KeyKind.SEALING, "/ring")
    except ConfigError as error:
        return error.detail


class TestText:
    @given(
        st.sampled_from(KeyKind),
        st.dictionaries(
            st.integers(0, 2**32 - 1),
            st.binary(min_size=32, max_size=32),
            min_size=1,
            max_size=MAX_GENERATIONS,
        ).filter(lambda keys: len(set(keys.values())) == len(keys)),
    )
    def test_what_is_written_is_read(self, kind: KeyKind, secrets: dict[int, bytes]) -> None:
        keys = [RingKey(secrets[at], at) for at in sorted(secrets, reverse=True)]
        made = KeyRing(kind, tuple(keys))
        text = serialise_ring(made).encode()
        assert len(text) <= MAX_RING_BYTES
        assert parse_ring(text, kind, "/ring") == made

    @pytest.mark.parametrize(
        ("whole", "expected"),
        [
            (told(format=2), "reads format 1 only"),
            (told(format=True), "reads format 1 only"),
            (told(format="1"), "reads format 1 only"),
            (told(kind="signing"), "not for sealing"),
            (told(kind=None), "not for sealing"),
            (told(more=1), "no others"),
            ({"format": 1, "kind": "sealing"}, "no others"),
            ([], "no others"),
            (told(keys={}), "not a list"),
            (told(keys="AQEBAQEB"), "not a list"),
            (told(keys=[]), "1 to 16 keys"),
            (told(keys=["x"]), "a key must have"),
            (with_key(more=1), "a key must have"),
            (with_key(secret=7), "a text as secret"),
            (with_key(secret="Schlüssel"), "not base64url"),
            (with_key(secret="AAAA\n"), "not base64url"),
            (with_key(secret="A" * 43), "not base64url"),
            (with_key(secret="AAAA"), "32 bytes"),
            (with_key(secret="A" * 43 + "="), "does not fit to its id"),
            (with_key(id="0" * 16), "does not fit to its id"),
            (with_key(used_from="AQEBAQEB"), "a number as used_from"),
            (with_key(used_from=True), "a number as used_from"),
            (with_key(used_from=-1), "used_from must be a time"),
            (with_key(used_from=NOW), "the newest first"),
        ],
    )
    def test_what_is_no_ring_is_refused(self, whole: Any, expected: str) -> None:
        said = cause(json.dumps(whole).encode())
        assert expected in said
        assert "AQEB" not in said

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"", "not JSON"),
            (b"\xff", "not JSON"),
            ("Schlüssel".encode(), "not JSON"),
            (serialise_ring(THREE).encode()[:-3], "not JSON"),
            (b"[" * MAX_RING_BYTES, "not JSON"),
            (b'{"format": 1, "format": 1}', "a member twice"),
            (b" " * (MAX_RING_BYTES + 1), "larger than"),
        ],
    )
    def test_what_is_no_text_of_a_ring_is_refused(self, content: bytes, expected: str) -> None:
        assert expected in cause(content)

    def test_a_ring_of_another_kind_is_none(self) -> None:
        assert "not for signing" in cause(serialise_ring(THREE).encode(), KeyKind.SIGNING)

    @given(st.data())
    def test_a_damaged_text_is_the_same_ring_or_none_and_shows_no_secret(
        self, data: st.DataObject
    ) -> None:
        content = bytearray(serialise_ring(THREE).encode())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
        found = read_or_cause(bytes(content))
        if isinstance(found, KeyRing):
            assert found.by_id.keys() == THREE.by_id.keys()
        else:
            assert "AQEBAQEB" not in found

    @given(st.binary() | st.text().map(str.encode))
    def test_anything_is_refused_by_name(self, content: bytes) -> None:
        cause(content)
