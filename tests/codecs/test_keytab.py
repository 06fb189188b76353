"""Keytab files, read strictly."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keytabs import VERSION_1, VERSION_2, hole, record

from authsrv.codecs.keytab import MAX_KEYTAB_BYTES, Key, parse_keytab
from authsrv.errors import ConfigError

TWO = VERSION_2 + record("one.test", 2) + record("two.test", 2)
BOUNDARY = 2 + len(record("one.test", 2))


def parsed(content: bytes) -> tuple[Key, ...]:
    return parse_keytab(content, "/http.keytab")


def cause(content: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(content)
    return caught.value.detail


class TestReading:
    @pytest.mark.parametrize("version", [VERSION_1, VERSION_2])
    def test_every_record_is_read_whole(self, version: bytes) -> None:
        first = record("one.test", 7, version=version)
        second = record("two.test", 8, version=version, enctype=17)
        assert parsed(version + first + second) == (Key(7, 18, first), Key(8, 17, second))

    @pytest.mark.parametrize("content", [b"", VERSION_1, VERSION_2])
    def test_a_file_without_records_has_none(self, content: bytes) -> None:
        assert parsed(content) == ()

    def test_holes_are_left_out(self) -> None:
        one = record("one.test")
        assert parsed(VERSION_2 + hole(20) + one + hole(1)) == (Key(1, 18, one),)

    def test_a_record_of_no_length_is_the_end(self) -> None:
        one = record("one.test")
        assert parsed(VERSION_2 + one + bytes(4) + b"whatever was there before") == (
            Key(1, 18, one),
        )

    @pytest.mark.parametrize("version", [VERSION_1, VERSION_2])
    def test_versions_above_255_are_read_whole(self, version: bytes) -> None:
        content = version + record("one.test", 300, version=version)
        assert [key.kvno for key in parsed(content)] == [300]

    def test_a_version_of_one_byte_is_read(self) -> None:
        content = VERSION_2 + record("one.test", 44, has_long_kvno=False)
        assert [key.kvno for key in parsed(content)] == [44]

    def test_zeros_behind_the_key_are_no_version(self) -> None:
        whole = record("one.test", 44)
        assert [key.kvno for key in parsed(VERSION_2 + whole[:-4] + bytes(4))] == [44]

    def test_a_key_is_not_shown(self) -> None:
        shown = repr(parsed(VERSION_2 + record("one.test")))
        assert shown == "(Key(kvno=1, enctype=18),)"


class TestRefusing:
    @pytest.mark.parametrize("content", [b"\x05", b"# no keytab\n", b"\x05\x04" + bytes(100)])
    def test_what_is_no_keytab(self, content: bytes) -> None:
        assert cause(content) == "/http.keytab is not a keytab"

    def test_a_file_that_is_cut_off_at_any_byte_but_the_end_of_a_record(self) -> None:
        for length in range(3, len(TWO)):
            if length != BOUNDARY:
                assert cause(TWO[:length]) == "the keytab /http.keytab is truncated", length

    def test_a_hole_that_is_cut_off(self) -> None:
        assert cause(VERSION_2 + hole(20)[:-1]) == "the keytab /http.keytab is truncated"

    def test_a_key_that_is_longer_than_its_record(self) -> None:
        # Its own size is right; libkrb5 would read over its end.
        whole = record("one.test")
        broken = whole.replace(struct.pack(">HH", 18, 32), struct.pack(">HH", 18, 999))
        content = VERSION_2 + record("two.test") + broken
        assert cause(content) == "the keytab /http.keytab is broken"

    @pytest.mark.parametrize("size", [1, 2, 16, 30])
    def test_a_record_too_short_for_its_fields(self, size: int) -> None:
        content = VERSION_2 + struct.pack(">i", size) + record("one.test")[4 : 4 + size]
        assert cause(content) == "the keytab /http.keytab is broken"

    def test_a_file_that_is_too_large(self) -> None:
        content = VERSION_2 + bytes(MAX_KEYTAB_BYTES - 1)
        assert cause(content) == "the keytab /http.keytab is larger than 16777216 bytes"
        assert parsed(content[:-1]) == ()


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", VERSION_1, VERSION_2]))
def test_any_bytes_are_read_or_refused(rest: bytes, version: bytes) -> None:
    content = version + rest
    try:
        keys = parsed(content)
    except ConfigError:
        return
    assert all(key.record in content for key in keys)
