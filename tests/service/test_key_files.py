"""Key files: who may read them, what a rotation leaves, and what a running service notices."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from authsrv.errors import ConfigError
from authsrv.service.key_files import FILE_NAMES, KeyFile, init_keys, rotate_keys
from authsrv.sessions.keyring import KeyKind, KeyRing, parse_ring, serialise_ring

NOW = 1_790_000_000
DAY = 86_400
KINDS = [*KeyKind]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    init_keys(made, NOW)
    return made


def read(folder: Path, kind: KeyKind) -> KeyRing:
    return KeyFile(folder / FILE_NAMES[kind], kind).ring


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


class TestInit:
    def test_it_makes_a_ring_of_each_kind_for_us_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        before = os.umask(0)
        try:
            made = init_keys(path, NOW)
        finally:
            os.umask(before)
        assert names(path) == ["sealing.json", "signing.json"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        for kind in KINDS:
            file = path / FILE_NAMES[kind]
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert made[file] == read(path, kind)
            assert made[file].keys[0].used_from == NOW

    @pytest.mark.parametrize("there", [*FILE_NAMES.values()])
    @pytest.mark.parametrize("what", ["file", "link", "dangling link"])
    def test_it_never_writes_over_anything(self, tmp_path: Path, there: str, what: str) -> None:
        target = tmp_path / "target"
        if what != "dangling link":
            target.write_text("precious")
        folder = tmp_path / "keys"
        folder.mkdir(mode=0o700)
        if what == "file":
            target.rename(folder / there)
        else:
            (folder / there).symlink_to(target)
        with pytest.raises(ConfigError, match=f"{there} exists"):
            init_keys(folder, NOW)
        assert names(folder) == [there]
        if what == "dangling link":
            assert not target.exists()
        else:
            assert (folder / there).read_text() == "precious"

    def test_of_many_at_once_one_makes_the_keys(self, tmp_path: Path) -> None:
        folder, made, refused = tmp_path / "keys", [], []
        gate = threading.Barrier(8)

        def init() -> None:
            gate.wait()
            try:
                made.append(init_keys(folder, NOW))
            except ConfigError as error:
                refused.append(error.detail)

        threads = [threading.Thread(target=init) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1
        assert len(refused) == 7
        assert made[0][folder / "sealing.json"] == read(folder, KeyKind.SEALING)

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"the folder .*/keys: No such file or directory"):
            init_keys(tmp_path / "missing" / "keys", NOW)


class TestRotation:
    def test_each_ring_gets_a_key_and_keeps_the_old_one(self, folder: Path) -> None:
        before = {kind: read(folder, kind) for kind in KINDS}
        rotate_keys(folder, NOW + DAY, delay_seconds=60)
        assert names(folder) == ["sealing.json", "signing.json"]
        for kind in KINDS:
            after = read(folder, kind)
            assert after.keys[1:] == before[kind].keys
            assert after.keys[0].used_from == NOW + DAY + 60
            mode = (folder / FILE_NAMES[kind]).stat().st_mode
            assert stat.S_IMODE(mode) == 0o600

    def test_keys_are_kept_until_the_longest_session_is_over(self, folder: Path) -> None:
        first = {kind: read(folder, kind).keys[0] for kind in KINDS}
        rotate_keys(folder, NOW + 1_000)
        # It was replaced at NOW + 1,300.
        rotate_keys(folder, NOW + 1_300 + 7 * DAY - 1)
        assert first[KeyKind.SEALING] in read(folder, KeyKind.SEALING).keys
        assert first[KeyKind.SIGNING] not in read(folder, KeyKind.SIGNING).keys
        rotate_keys(folder, NOW + 1_300 + 8 * DAY)
        assert first[KeyKind.SEALING] not in read(folder, KeyKind.SEALING).keys

    def test_a_second_rotation_before_the_delay_is_over_changes_nothing(self, folder: Path) -> None:
        rotate_keys(folder, NOW + 10)
        before = [(folder / name).read_bytes() for name in names(folder)]
        with pytest.raises(ConfigError, match=r"sealing\.json was not rotated: its newest key"):
            rotate_keys(folder, NOW + 20)
        assert [(folder / name).read_bytes() for name in names(folder)] == before

    def test_a_broken_file_stops_it_before_any_is_replaced(self, folder: Path) -> None:
        before = (folder / "sealing.json").read_bytes()
        (folder / "signing.json").write_text("{}")
        with pytest.raises(ConfigError, match=r"signing\.json is broken"):
            rotate_keys(folder, NOW + DAY)
        assert (folder / "sealing.json").read_bytes() == before

    def test_one_at_a_time(self, folder: Path) -> None:
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(ConfigError, match="somebody else is changing keys"):
                rotate_keys(folder, NOW + DAY)
        finally:
            os.close(held)
        rotate_keys(folder, NOW + DAY)

    @pytest.mark.parametrize("wrong", [0, -1, "60", None, float("nan")])
    def test_the_delay_is_a_time(self, folder: Path, wrong: Any) -> None:
        with pytest.raises(ConfigError, match="delay_seconds"):
            rotate_keys(folder, NOW + DAY, delay_seconds=wrong)


def chmod(mode: int) -> Callable[[Path], None]:
    return lambda file: file.chmod(mode)


def to_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def to_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def to_folder(file: Path) -> None:
    file.unlink()
    file.mkdir(0o700)


EXPOSURES: dict[str, tuple[Callable[[Path], None], str]] = {
    "read by the group": (chmod(0o640), "mode 0600"),
    "written by the group": (chmod(0o620), "mode 0600"),
    "read by others": (chmod(0o604), "mode 0600"),
    "written by others": (chmod(0o602), "mode 0600"),
    "missing": (Path.unlink, "No such file"),
    "a link": (to_link, "symbolic links"),
    "a pipe": (to_pipe, "not a regular file"),
    "a folder": (to_folder, "not a regular file"),
    "empty": (lambda file: file.write_text("") and None, "not JSON"),
    "too large": (lambda file: file.write_text(" " * 20_000) and None, "larger than"),
    "in a folder open to the group": (lambda file: file.parent.chmod(0o770), "chmod go-w"),
    "in a folder open to others": (lambda file: file.parent.chmod(0o707), "chmod go-w"),
}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


class TestReading:
    @pytest.mark.parametrize(("expose", "expected"), EXPOSURES.values(), ids=EXPOSURES)
    def test_a_file_that_is_not_for_us_alone_is_refused(
        self, folder: Path, expose: Callable[[Path], None], expected: str
    ) -> None:
        file = folder / "sealing.json"
        expose(file)
        with pytest.raises(ConfigError, match=expected) as caught:
            KeyFile(file, KeyKind.SEALING)
        assert str(folder) in caught.value.detail
        with pytest.raises(ConfigError, match=expected):
            rotate_keys(folder, NOW + DAY)

    @as_root
    @pytest.mark.parametrize("given_away", ["sealing.json", "."])
    def test_what_belongs_to_somebody_else_is_refused(self, folder: Path, given_away: str) -> None:
        os.chown(folder / given_away, 12_345, 0)
        with pytest.raises(ConfigError, match="belongs to user 12345"):
            KeyFile(folder / "sealing.json", KeyKind.SEALING)

    def test_the_file_of_the_other_kind_is_none(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match="not for signing"):
            KeyFile(folder / "sealing.json", KeyKind.SIGNING)

    def test_a_copy_is_as_good(self, folder: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        for kind in KINDS:
            assert read(copy, kind) == read(folder, kind)

    def test_no_secret_is_shown(self, folder: Path) -> None:
        file = KeyFile(folder / "sealing.json", KeyKind.SEALING)
        assert repr(file) == f"<KeyFile {folder}/sealing.json>"


class TestChange:
    def test_a_rotation_is_noticed_once(self, folder: Path) -> None:
        file = KeyFile(folder / "sealing.json", KeyKind.SEALING)
        before = file.ring
        assert not file.refresh()
        rotate_keys(folder, NOW + DAY)
        assert file.ring is before
        assert file.refresh()
        assert file.ring.keys[1:] == before.keys
        assert not file.refresh()

    def test_a_file_with_the_same_keys_is_no_other_ring(self, folder: Path) -> None:
        file = KeyFile(folder / "sealing.json", KeyKind.SEALING)
        before = file.ring
        os.utime(file.path)
        assert not file.refresh()
        assert file.ring is before

    @pytest.mark.parametrize(("expose", "expected"), EXPOSURES.values(), ids=EXPOSURES)
    def test_what_cannot_be_used_leaves_the_keys_before(
        self, folder: Path, expose: Callable[[Path], None], expected: str
    ) -> None:
        file = KeyFile(folder / "sealing.json", KeyKind.SEALING)
        good = serialise_ring(file.ring)
        expose(file.path)
        if "go-w" in expected:
            # Nobody looks at the folder again before the file changes.
            os.utime(file.path)
        with pytest.raises(ConfigError, match=expected):
            file.refresh()
        assert not file.refresh()  # told once
        assert serialise_ring(file.ring) == good

    def test_a_mode_that_was_put_right_is_noticed(self, folder: Path) -> None:
        file = KeyFile(folder / "sealing.json", KeyKind.SEALING)
        file.path.chmod(0o644)
        with pytest.raises(ConfigError):
            file.refresh()
        rotated = parse_ring(file.path.read_bytes(), KeyKind.SEALING, "")
        file.path.chmod(0o600)
        assert not file.refresh()
        assert file.ring == rotated

    def test_a_file_that_is_copied_in_slowly_counts_when_it_is_whole(self, folder: Path) -> None:
        file = KeyFile(folder / "sealing.json", KeyKind.SEALING)
        before = file.ring
        coming = serialise_ring(before.rotated(NOW + DAY, delay_seconds=60, keep_seconds=DAY))
        with open(file.path, "w", encoding="ascii") as written:
            for at in range(0, len(coming), 200):
                written.write(coming[at : at + 200])
                written.flush()
                if at + 200 < len(coming):
                    with pytest.raises(ConfigError):
                        file.refresh()
                    assert file.ring is before
        assert file.refresh()
        assert serialise_ring(file.ring) == coming

    def test_a_reader_never_sees_half_a_rotation(self, folder: Path) -> None:
        stop = threading.Event()
        file = KeyFile(folder / "sealing.json", KeyKind.SEALING)
        seen, faults = [], []

        def watch() -> None:
            while not stop.is_set():
                try:
                    if file.refresh():
                        seen.append(file.ring)
                except ConfigError as error:
                    faults.append(error.detail)

        watcher = threading.Thread(target=watch)
        watcher.start()
        for n in range(1, 10):
            rotate_keys(folder, NOW + n * DAY)
        stop.set()
        watcher.join()
        file.refresh()
        assert faults == []
        assert file.ring == read(folder, KeyKind.SEALING)
