"""A keytab file that changes, breaks, vanishes and comes back while it is in use."""

from __future__ import annotations

import logging
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from initiators import GssapiInitiator, fresh_token
from keytabs import VERSION_1, VERSION_2, hole, record

from authsrv.codecs.spnego import (
    KERBEROS,
    NEGOEX,
    NegState,
    build_neg_token_init,
    build_neg_token_resp,
    unwrap_spnego,
)
from authsrv.core.identity import split_principal
from authsrv.core.results import Continue, Established
from authsrv.devrealm import Realm
from authsrv.errors import ConfigError, KeytabError
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos import keytab as keytab_module
from authsrv.providers.kerberos.keytab import KeytabEntry, KeytabFile, KeytabSnapshot
from authsrv.testing.handshakes import establish, open_context

WRITTEN_AT = 1_000_000.0

ONE = VERSION_2 + record("one.test")
TWO = VERSION_2 + record("one.test", 2) + record("two.test", 2)
BOUNDARY = 2 + len(record("one.test", 2))
LONG_KEY = TWO.replace(struct.pack(">HH", 18, 32), struct.pack(">HH", 18, 999))


class Clock:
    """The time, told by the test."""

    def __init__(self) -> None:
        self.now = WRITTEN_AT + 3600

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def private() -> Iterator[None]:
    """Files that nobody else can read, as keytabs are."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "http.keytab"


@pytest.fixture
def keytab(path: Path, clock: Clock) -> KeytabFile:
    return KeytabFile(path, settle_seconds=0.5, clock=clock)


def write(path: Path, content: bytes, at: float = WRITTEN_AT) -> None:
    path.write_bytes(content)
    os.utime(path, (at, at))


def services(keytab: KeytabFile) -> tuple[str, ...]:
    return told(keytab.snapshot())


def told(snapshot: KeytabSnapshot) -> tuple[str, ...]:
    """The services that have keys, without their realms."""
    return tuple(split_principal(principal)[0] for principal in snapshot.principals)


def cause(keytab: KeytabFile) -> str:
    with pytest.raises(KeytabError) as caught:
        keytab.snapshot()
    return caught.value.detail


class TestReading:
    def test_tells_all_but_the_keys(self, keytab: KeytabFile, path: Path) -> None:
        write(path, TWO)
        snapshot = keytab.snapshot()
        assert snapshot.entries == (
            KeytabEntry("HTTP/one.test@R.TEST", 2, 18),
            KeytabEntry("HTTP/two.test@R.TEST", 2, 18),
        )
        assert snapshot.principals == ("HTTP/one.test@R.TEST", "HTTP/two.test@R.TEST")

    def test_names_a_principal_once_that_has_several_keys(
        self, keytab: KeytabFile, path: Path
    ) -> None:
        write(path, VERSION_2 + record("one.test", 1) + record("one.test", 2))
        snapshot = keytab.snapshot()
        assert [entry.kvno for entry in snapshot.entries] == [1, 2]
        assert snapshot.principals == ("HTTP/one.test@R.TEST",)
        assert told(snapshot) == ("HTTP/one.test",)

    def test_reads_the_old_version_of_the_format(self, keytab: KeytabFile, path: Path) -> None:
        write(path, VERSION_1 + record("old.test", version=VERSION_1))
        assert services(keytab) == ("HTTP/old.test",)

    def test_reads_over_a_hole_that_a_removed_key_left(
        self, keytab: KeytabFile, path: Path
    ) -> None:
        write(path, VERSION_2 + hole(20) + record("one.test") + hole(20))
        assert services(keytab) == ("HTTP/one.test",)

    def test_ends_at_a_record_of_no_length(self, keytab: KeytabFile, path: Path) -> None:
        write(path, ONE + bytes(4) + b"whatever was there before")
        assert services(keytab) == ("HTTP/one.test",)

    def test_reads_what_was_written_after_2038(self, keytab: KeytabFile, path: Path) -> None:
        later = record("one.test").replace(bytes(4) + b"\x01", b"\xff\0\0\0\x01", 1)
        write(path, VERSION_2 + later)
        assert services(keytab) == ("HTTP/one.test",)

    def test_names_a_principal_that_is_not_utf_8_all_the_same(
        self, keytab: KeytabFile, path: Path
    ) -> None:
        write(path, ONE + record("two.test").replace(b"two", b"\xe4wo"))
        assert services(keytab) == ("HTTP/one.test", "HTTP/\\xe4wo.test")

    def test_gives_the_same_object_while_nothing_changes(
        self, keytab: KeytabFile, path: Path
    ) -> None:
        write(path, ONE)
        assert keytab.snapshot() is keytab.snapshot()

    def test_its_repr_and_that_of_a_snapshot_show_no_key(
        self, keytab: KeytabFile, path: Path
    ) -> None:
        write(path, ONE)
        key = ONE[-36:-4]
        shown = f"{keytab!r} {keytab.snapshot()!r}"
        assert "http.keytab" in shown
        assert repr(key)[2:20] not in shown
        assert key.hex() not in shown


class TestReplacing:
    def test_a_replaced_file_is_read_again(self, keytab: KeytabFile, path: Path) -> None:
        write(path, ONE)
        old = keytab.snapshot()
        write(path, TWO, WRITTEN_AT + 1)
        assert services(keytab) == ("HTTP/one.test", "HTTP/two.test")
        assert keytab.snapshot().name != old.name

    def test_a_file_renamed_over_it_is_noticed_with_the_same_size_and_time(
        self, keytab: KeytabFile, path: Path
    ) -> None:
        write(path, ONE)
        keytab.snapshot()
        other = path.with_suffix(".new")
        write(other, VERSION_2 + record("two.test"))
        os.replace(other, path)
        assert services(keytab) == ("HTTP/two.test",)

    def test_the_new_file_must_have_been_left_alone_for_the_settle_time(
        self, keytab: KeytabFile, path: Path, clock: Clock
    ) -> None:
        write(path, ONE)
        keytab.snapshot()
        write(path, TWO, clock.now)
        clock.now += 0.49
        assert services(keytab) == ("HTTP/one.test",)
        clock.now += 0.02
        assert services(keytab) == ("HTTP/one.test", "HTTP/two.test")

    def test_a_first_reading_does_not_wait(
        self, keytab: KeytabFile, path: Path, clock: Clock
    ) -> None:
        write(path, ONE, clock.now)
        assert services(keytab) == ("HTTP/one.test",)

    def test_what_was_read_in_the_making_is_read_again_though_it_looks_the_same(
        self, keytab: KeytabFile, path: Path, clock: Clock
    ) -> None:
        # File times are coarse: in place, of the same size and within one tick.
        write(path, ONE, clock.now)
        keytab.snapshot()
        write(path, VERSION_2 + record("two.test"), clock.now)
        clock.now += 1
        assert services(keytab) == ("HTTP/two.test",)
        assert keytab.snapshot() is keytab.snapshot()

    def test_what_was_broken_in_the_making_is_read_again_though_it_looks_the_same(
        self, keytab: KeytabFile, path: Path, clock: Clock
    ) -> None:
        write(path, VERSION_2 + bytes(len(ONE) - 3) + b"\x01", clock.now)
        cause(keytab)
        write(path, ONE, clock.now)
        assert services(keytab) == ("HTTP/one.test",)

    def test_a_time_in_the_future_is_not_waited_for(
        self, keytab: KeytabFile, path: Path, clock: Clock
    ) -> None:
        write(path, ONE)
        keytab.snapshot()
        write(path, TWO, clock.now + 86_400)
        assert len(services(keytab)) == 2

    def test_the_log_tells_of_the_replacement(
        self, keytab: KeytabFile, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "authsrv.keytab")
        write(path, ONE)
        keytab.snapshot()
        assert caplog.messages == []
        write(path, TWO, WRITTEN_AT + 1)
        keytab.snapshot()
        assert caplog.messages == [f"the keytab {path} was replaced: 2 keys"]


class TestHalfWritten:
    def test_at_every_byte_the_good_keys_stay_while_it_is_being_written(
        self, keytab: KeytabFile, path: Path, clock: Clock
    ) -> None:
        write(path, ONE)
        good = keytab.snapshot()
        for length in range(len(TWO) + 1):
            write(path, TWO[:length], clock.now)
            assert keytab.snapshot() is good, length
        clock.now += 1
        assert len(keytab.snapshot().entries) == 2

    def test_at_every_byte_but_a_records_end_the_good_keys_stay_for_good(
        self, keytab: KeytabFile, path: Path
    ) -> None:
        write(path, ONE)
        good = keytab.snapshot()
        for length in range(len(TWO)):
            # One whole record is a whole keytab; only the settle time tells it from a half one.
            if length != BOUNDARY:
                write(path, TWO[:length], WRITTEN_AT + 1 + length)
                assert keytab.snapshot() is good, length

    def test_at_every_byte_but_a_records_end_it_is_an_error_where_no_good_one_was(
        self, path: Path, clock: Clock
    ) -> None:
        for length in range(len(TWO)):
            if length != BOUNDARY:
                write(path, TWO[:length])
                told = cause(KeytabFile(path, clock=clock))
                assert told.endswith(("is empty", "is truncated", "is not a keytab")), length

    def test_a_record_that_libkrb5_gives_up_at_is_noticed(
        self, keytab: KeytabFile, path: Path
    ) -> None:
        # No principal has no components: libkrb5 takes that for the end of the file.
        key = struct.pack(">IIB", 1, 0, 1) + struct.pack(">HH", 18, 32) + bytes(32)
        body = struct.pack(">HH", 0, 1) + b"R" + key
        write(path, ONE + struct.pack(">i", len(body)) + body + record("two.test"))
        assert cause(keytab) == f"the keytab {path} is broken: 1 of 3 keys readable"

    def test_a_file_that_is_gone_before_libkrb5_reads_it_is_an_error(self, path: Path) -> None:
        with pytest.raises(KeytabError) as caught:
            keytab_module._load(path, ONE)
        assert caught.value.detail == f"the keytab {path} cannot be read by libkrb5"

    def test_a_file_that_changes_while_it_is_read_replaces_nothing(
        self, keytab: KeytabFile, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(path, ONE)
        good = keytab.snapshot()
        write(path, TWO, WRITTEN_AT + 1)
        load = keytab_module._load

        def load_and_be_overtaken(path: Path, content: bytes) -> keytab_module.KeytabSnapshot:
            snapshot = load(path, content)
            write(path, ONE, WRITTEN_AT + 2)
            return snapshot

        monkeypatch.setattr(keytab_module, "_load", load_and_be_overtaken)
        assert keytab.snapshot() is good

    def test_under_a_writer_that_never_rests_every_snapshot_is_whole(self, path: Path) -> None:
        keytab = KeytabFile(path, settle_seconds=0.0)
        write(path, ONE)
        keytab.snapshot()
        stop = threading.Event()

        def rewrite() -> None:
            while not stop.is_set():
                for content in (ONE, TWO):
                    path.write_bytes(content[:100])
                    path.write_bytes(content)

        writer = threading.Thread(target=rewrite)
        writer.start()
        try:
            seen = {len(keytab.snapshot().entries) for _ in range(300)}
        finally:
            stop.set()
            writer.join()
        assert seen <= {1, 2}


def make_missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_large(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)


def make_failing(path: Path) -> None:
    # Its first page is not mapped, so that reading fails with EIO, for root too.
    path.symlink_to("/proc/self/mem")


def make(content: bytes) -> Callable[[Path], None]:
    return lambda path: write(path, content)


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (make_missing, "the keytab {} does not exist"),
    "a directory": (make_directory, "the keytab {} is not a regular file"),
    "a socket": (make_socket, "the keytab {} is not a regular file"),
    "a pipe": (make_pipe, "the keytab {} is not a regular file"),
    "a loop": (make_loop, "the keytab {} cannot be read: Too many levels of symbolic links"),
    "too large": (make_large, "the keytab {} is larger than 16777216 bytes"),
    "unreadable": (make_failing, "the keytab {} cannot be read: Input/output error"),
    "empty": (make(b""), "the keytab {} is empty"),
    "without keys": (make(VERSION_2), "the keytab {} is empty"),
    "text": (make(b"# no keytab\n"), "{} is not a keytab"),
    "a ticket cache": (make(b"\x05\x04" + bytes(100)), "{} is not a keytab"),
    "cut off in a length": (make(VERSION_2 + b"\0\0"), "the keytab {} is truncated"),
    "cut off in a key": (make(TWO[:-1]), "the keytab {} is truncated"),
    "broken": (make(LONG_KEY), "the keytab {} is broken"),
}

each_wrong = pytest.mark.parametrize("wrong", WRONG)


class TestWrong:
    @each_wrong
    def test_a_keytab_that_never_was_good_is_an_error_that_says_why(
        self, keytab: KeytabFile, path: Path, wrong: str
    ) -> None:
        spoil, told = WRONG[wrong]
        spoil(path)
        assert cause(keytab) == told.format(path)
        # And the same the second time, when it is known already.
        assert cause(keytab) == told.format(path)

    @each_wrong
    def test_good_keys_stay_and_the_log_says_why_once(
        self, keytab: KeytabFile, path: Path, wrong: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(path, ONE)
        good = keytab.snapshot()
        path.unlink()
        spoil, told = WRONG[wrong]
        spoil(path)
        assert [keytab.snapshot() is good for _ in range(3)] == [True] * 3
        assert caplog.messages == [f"{told.format(path)}; the keys read before stay in use"]
        assert caplog.records[0].levelno == logging.ERROR

    @each_wrong
    def test_it_comes_right_without_a_restart(
        self, keytab: KeytabFile, path: Path, wrong: str
    ) -> None:
        spoil, _ = WRONG[wrong]
        spoil(path)
        cause(keytab)
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        write(path, ONE)
        assert services(keytab) == ("HTTP/one.test",)

    def test_a_path_that_leads_through_a_file_is_an_error(self, path: Path, clock: Clock) -> None:
        write(path, ONE)
        below = path / "below"
        assert cause(KeytabFile(below, clock=clock)) == (
            f"the keytab {below} cannot be read: Not a directory"
        )

    def test_a_new_cause_is_told_anew(
        self, keytab: KeytabFile, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(path, ONE)
        keytab.snapshot()
        for spoil in (make(b""), make_missing):
            spoil(path)
            keytab.snapshot()
        assert [line.partition("; ")[0] for line in caplog.messages] == [
            f"the keytab {path} is empty",
            f"the keytab {path} does not exist",
        ]

    def test_the_same_cause_is_told_again_after_the_good_file_was_back(
        self, keytab: KeytabFile, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(path, ONE)
        good, away = keytab.snapshot(), path.with_suffix(".away")
        for _ in range(2):
            os.replace(path, away)
            assert keytab.snapshot() is good
            os.replace(away, path)
            assert keytab.snapshot() is good
        assert len(caplog.messages) == 2

    def test_one_that_was_deleted_is_told_of_again_every_hour(
        self,
        keytab: KeytabFile,
        path: Path,
        clock: Clock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        write(path, ONE)
        keytab.snapshot()
        path.unlink()
        lines = []
        for seconds in (0, 3599, 1, 3599, 1):
            clock.now += seconds
            keytab.snapshot()
            lines.append(len(caplog.messages))
        assert lines == [1, 1, 2, 2, 3]

    def test_the_log_shows_nothing_of_a_file_that_is_no_keytab(
        self, keytab: KeytabFile, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(path, ONE)
        keytab.snapshot()
        write(path, b"hunter2 is the password", WRITTEN_AT + 1)
        keytab.snapshot()
        assert "hunter2" not in caplog.text


class TestExposed:
    @pytest.mark.parametrize(
        ("mode", "told"),
        [
            (0o604, "read by everybody"),
            (0o644, "read by everybody"),
            (0o602, "written by everybody"),
            (0o620, "written by its group"),
            (0o666, "read by everybody, written by everybody, written by its group"),
        ],
    )
    def test_what_others_can_do_is_a_warning(
        self,
        keytab: KeytabFile,
        path: Path,
        mode: int,
        told: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        write(path, ONE)
        path.chmod(mode)
        for _ in range(3):
            assert services(keytab) == ("HTTP/one.test",)
        assert caplog.messages == [f"the keytab {path} can be {told}"]
        assert caplog.records[0].levelno == logging.WARNING

    @pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
    def test_what_the_services_group_reads_is_none(
        self, keytab: KeytabFile, path: Path, mode: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(path, ONE)
        path.chmod(mode)
        keytab.snapshot()
        assert caplog.messages == []

    def test_each_change_is_told_once_and_also_behind_a_link(
        self, keytab: KeytabFile, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        target = path.with_name("target")
        write(target, ONE)
        path.symlink_to(target)
        for mode in (0o600, 0o644, 0o644, 0o600, 0o644):
            target.chmod(mode)
            keytab.snapshot()
        assert caplog.messages == [f"the keytab {path} can be read by everybody"] * 2


@pytest.fixture
def private_file() -> Iterator[Path]:
    """A keytab that only its owner may read, in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "keytab")
        write(path, ONE)
        path.chmod(0o000)
        yield path


def test_a_right_that_is_given_later_is_noticed_although_the_file_stays_the_same(
    private_file: Path,
) -> None:
    keytab = KeytabFile(private_file)
    before = os.stat(private_file)
    nobody = 65534
    # Root may read everything, so root becomes somebody else for a moment.
    root = os.geteuid() == 0
    if root:
        os.seteuid(nobody)
    try:
        assert cause(keytab) == f"the keytab {private_file} cannot be read: Permission denied"
    finally:
        if root:
            os.seteuid(0)
    private_file.chmod(0o600)
    assert os.stat(private_file).st_mtime_ns == before.st_mtime_ns
    assert services(keytab) == ("HTTP/one.test",)


class TestWithTheAcceptor:
    def test_a_key_that_was_rotated_is_picked_up_while_the_package_runs(
        self, kerberos_realm: Realm, kerberos_environment: dict[str, str], tmp_path: Path
    ) -> None:
        kerberos_realm.add_service("HTTP/rotated.test")
        path = kerberos_realm.write_keytab(tmp_path / "keytab", ["HTTP/rotated.test"])
        provider = GssapiProvider(KeytabFile(path, settle_seconds=0.0))
        with open_context(provider) as context:
            establish(context, GssapiInitiator("HTTP@rotated.test"))

        kerberos_realm.rotate_key("HTTP/rotated.test")
        kerberos_realm.login("alice")
        kerberos_realm.write_keytab(path, ["HTTP/rotated.test"])
        with open_context(provider) as context:
            establish(context, GssapiInitiator("HTTP@rotated.test"))

    def test_a_context_that_is_under_way_keeps_the_keys_it_began_with(
        self, kerberos_realm: Realm, kerberos_environment: dict[str, str], tmp_path: Path
    ) -> None:
        path = kerberos_realm.write_keytab(tmp_path / "keytab", ["HTTP/localhost"])
        provider = GssapiProvider(KeytabFile(path, settle_seconds=0.0))
        # Kerberos is offered second, so that the ticket comes in the second leg.
        context = provider.create_context(ContextRequest())
        offer = build_neg_token_init([NEGOEX, KERBEROS])
        assert isinstance(context.step(offer), Continue)

        kerberos_realm.add_service("HTTP/elsewhere.test")
        kerberos_realm.write_keytab(path, ["HTTP/elsewhere.test"])
        assert told(provider.credential()[0]) == ("HTTP/elsewhere.test",)
        ticket = build_neg_token_resp(
            NegState.ACCEPT_INCOMPLETE, response_token=unwrap_spnego(fresh_token())
        )
        # It is not the end of the negotiation, but the ticket was opened.
        assert isinstance(context.step(ticket), Continue)
        context.delete()

    def test_no_handshake_fails_while_the_file_is_replaced_over_and_over(
        self, kerberos_realm: Realm, kerberos_environment: dict[str, str], tmp_path: Path
    ) -> None:
        path = kerberos_realm.write_keytab(tmp_path / "keytab", ["HTTP/localhost"])
        content = path.read_bytes()
        provider = GssapiProvider(KeytabFile(path, settle_seconds=0.0))
        provider.check()
        stop = threading.Event()

        def replace() -> None:
            while not stop.is_set():
                fresh = path.with_suffix(".new")
                fresh.write_bytes(content)
                os.replace(fresh, path)
                path.write_bytes(content[:50])
                path.write_bytes(content)

        writer = threading.Thread(target=replace)
        writer.start()
        try:
            for _ in range(100):
                with open_context(provider) as context:
                    result = context.step(fresh_token())
                assert isinstance(result, Established), result
        finally:
            stop.set()
            writer.join()


@pytest.mark.parametrize("kind", ["FILE:", "WRFILE:", ""])
def test_the_type_of_a_file_may_stand_before_its_path(kind: str, kerberos_realm: Realm) -> None:
    assert services(KeytabFile(f"{kind}{kerberos_realm.keytab}"))


def test_a_keytab_that_is_no_file_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="must be a file, not a keytab of type MEMORY"):
        KeytabFile("MEMORY:keys")
