"""What can happen to a file that several processes share: each is refused, or changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pytest
from store_child import claim_of

from authsrv.errors import ConfigError, StoreError
from authsrv.stores import file_lock
from authsrv.stores.base import Purpose
from authsrv.stores.lmdb_file import open_lmdb_file
from authsrv.stores.machine import MachineStore, default_path, machine_store
from authsrv.stores.table import Table

CHILD = str(Path(__file__).with_name("store_child.py"))
PATIENCE = 0.3


@pytest.fixture
def path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="authsrv-store-", dir="/dev/shm") as name:
        yield Path(name) / "store"


def open_store(path: Path, patience: float = PATIENCE) -> MachineStore:
    return MachineStore(path, max_claims=100_000, patience=patience)


@contextlib.contextmanager
def child(path: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, CHILD, str(path), *command]
    started = subprocess.Popen(
        arguments, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def line_of(started: subprocess.Popen[str]) -> str:
    output: IO[str] | None = started.stdout
    assert output is not None
    return output.readline().strip()


def said(path: Path, *command: str) -> str:
    with child(path, *command) as started:
        output, _ = started.communicate(timeout=30)
    return output.strip()


def refusal(store: MachineStore, name: str = "x") -> str:
    """The cause for which a claim is refused."""
    with pytest.raises(StoreError) as caught:
        asyncio.run(store.check_and_store(claim_of(name)))
    return caught.value.detail


def claim(store: MachineStore, name: str = "x") -> bool:
    return asyncio.run(store.check_and_store(claim_of(name)))


class TestSeveralProcesses:
    def test_one_knows_what_another_has_claimed(self, path: Path) -> None:
        assert said(path, "claim", "x") == "fresh"
        assert said(path, "claim", "x") == "seen"
        store = open_store(path)
        assert not claim(store)
        assert claim(store, "y")
        assert said(path, "claim", "y") == "seen"

    def test_of_two_that_claim_the_same_each_thing_has_one_winner(self, path: Path) -> None:
        # So many that the second one begins before the first has done, on a busy machine too.
        count = 40_000
        with child(path, "race", f"{count}") as one, child(path, "race", f"-{count}") as other:
            for started in (one, other):
                assert line_of(started) == "ready"
            for started in (one, other):
                assert started.stdin is not None
                started.stdin.write("go\n")
            counts = [line_of(started).split() for started in (one, other)]
        fresh, seen = (sum(map(int, column)) for column in zip(*counts, strict=True))
        assert (fresh, seen) == (count, count)
        assert all(int(wins) for wins, _ in counts), "they did not race"

    def test_a_stopped_holder_refuses_others_within_the_deadline_and_blocks_no_loop(
        self, path: Path
    ) -> None:
        store = open_store(path)
        claim(store, "before")
        with child(path, "hold") as holder:
            assert line_of(holder) == "held"
            holder.send_signal(signal.SIGSTOP)
            waited, late = asyncio.run(self.wait_for(store))
        assert PATIENCE <= waited < PATIENCE + 0.5
        assert late < 0.1
        assert claim(store), "killed, it lets go"

    async def wait_for(self, store: MachineStore) -> tuple[float, float]:
        """How long a claim waited, and by how much the loop was late meanwhile."""
        late = 0.0

        async def look() -> None:
            nonlocal late
            while True:
                asked = time.monotonic()
                await asyncio.sleep(0.01)
                late = max(late, time.monotonic() - asked - 0.01)

        looking = asyncio.create_task(look())
        begun = time.monotonic()
        assert store.check_at_once(claim_of("x")) is None
        with pytest.raises(StoreError, match="another process has held the store"):
            await store.check_and_store(claim_of("x"))
        waited = time.monotonic() - begun
        looking.cancel()
        return waited, late

    def test_a_stopped_holder_refuses_whoever_starts(self, path: Path) -> None:
        claim(open_store(path), "before")
        with child(path, "hold") as holder:
            assert line_of(holder) == "held"
            assert "another process has held the store" in refusal(open_store(path))

    def test_one_that_is_killed_within_a_claim_leaves_a_good_store(self, path: Path) -> None:
        with child(path, "die", "x") as dying:
            assert dying.wait(timeout=30) == -signal.SIGKILL
        store = open_store(path)
        assert not claim(store, "before")
        assert claim(store), "what was not confirmed is not claimed"

    def test_nothing_confirmed_is_forgotten_when_the_process_is_killed(self, path: Path) -> None:
        for _ in range(3):
            with child(path, "many") as busy:
                first = line_of(busy)
                time.sleep(0.1)
                busy.kill()
                confirmed = [first, *busy.communicate()[0].split()]
        store = open_store(path)
        assert not any(claim(store, f"many-{number}") for number in confirmed)

    def test_threads_of_one_process_take_turns(self, path: Path) -> None:
        store = open_store(path, patience=10)
        wins: list[bool] = []

        def run() -> None:
            wins.extend(claim(store, str(number)) for number in range(300))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wins.count(True) == 300

    def test_a_forked_child_opens_it_anew(self, path: Path) -> None:
        store = open_store(path)
        claim(store)
        with child(path, "hold") as holder:
            # The child must not pass through the lock of its parent.
            assert line_of(holder) == "held"
            assert in_fork(lambda: refusal(store)) == 0
        assert in_fork(lambda: not claim(store) and claim(store, "of the child")) == 0
        assert not claim(store, "of the child")

    def test_a_forked_child_does_not_pass_through_the_lock_of_its_parent(self, path: Path) -> None:
        store = open_store(path)
        claim(store)
        file = store._file
        assert file is not None
        reading, writing = os.pipe()

        def when_the_parent_holds_it() -> bool:
            os.read(reading, 1)
            return "another process has held" in refusal(store, "y")

        with ThreadPoolExecutor(1) as thread:
            forked = thread.submit(in_fork, when_the_parent_holds_it)
            time.sleep(0.1)
            assert file.lock.try_acquire()
            os.write(writing, b"x")
            assert forked.result() == 0
            file.lock.release()
        os.close(reading)
        os.close(writing)

    def test_a_child_that_is_forked_while_the_lock_is_held(self, path: Path) -> None:
        store = open_store(path)
        claim(store)
        file = store._file
        assert file is not None
        assert file.lock.try_acquire()
        try:
            assert in_fork(lambda: "another process has held" in refusal(store, "y")) == 0
        finally:
            file.lock.release()
        assert claim(store, "y")


def in_fork(work: Callable[[], object]) -> int:
    """Run something in a forked child; 0 where it gives what is true."""
    number = os.fork()
    if not number:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if work() else 1
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


class TestTheFile:
    def test_it_and_its_folder_are_for_this_user_only(self, path: Path) -> None:
        inner = path.parent / "made" / "store"
        claim(open_store(inner))
        assert stat.S_IMODE(inner.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(inner.stat().st_mode) == 0o600

    @pytest.mark.parametrize("replaced", [False, True])
    def test_deleted_or_replaced_it_ends_the_store(self, path: Path, replaced: bool) -> None:
        store = open_store(path)
        claim(store)
        path.unlink()
        if replaced:
            assert said(path, "claim", "x") == "fresh"
        assert "its file was deleted or replaced" in refusal(store)
        assert "deleted or replaced" in refusal(store, "y"), "it goes on"
        assert str(path) in refusal(store)

    @pytest.mark.parametrize("mode", [0o644, 0o660, 0o606])
    def test_one_that_others_can_touch_is_refused(self, path: Path, mode: int) -> None:
        claim(open_store(path.with_name("other")))
        shutil.copy(path.with_name("other"), path)
        path.chmod(mode)
        assert "not a file that only this user can read and write" in refusal(open_store(path))

    def test_a_link_is_not_followed(self, path: Path) -> None:
        elsewhere = path.with_name("elsewhere")
        elsewhere.touch(mode=0o600)
        path.symlink_to(elsewhere)
        assert "cannot be opened" in refusal(open_store(path))
        path.unlink()
        path.hardlink_to(elsewhere)
        assert "not a file that only this user" in refusal(open_store(path))
        assert elsewhere.stat().st_size == 0

    def test_a_pipe_or_a_folder_is_no_store(self, path: Path) -> None:
        os.mkfifo(path, 0o600)
        assert "not a file" in refusal(open_store(path))
        path.unlink()
        path.mkdir(mode=0o700)
        assert "cannot be opened: Is a directory" in refusal(open_store(path))

    @pytest.mark.parametrize("mode", [0o755, 0o770, 0o1777, 0o701])
    def test_a_folder_that_others_can_enter_is_refused(self, path: Path, mode: int) -> None:
        path.parent.chmod(mode)
        assert "not a folder that only this user can enter" in refusal(open_store(path))

    def test_a_link_to_a_folder_is_refused(self, path: Path) -> None:
        link = path.with_name("link")
        link.symlink_to(path.parent)
        assert "not a folder" in refusal(open_store(link / "store"))

    def test_a_folder_without_a_place_is_refused(self) -> None:
        assert "No such file or directory" in refusal(MachineStore("/nowhere/at/all/store"))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_a_file_or_folder_of_another_user_is_refused(self, path: Path) -> None:
        path.touch(mode=0o600)
        os.chown(path, 1, 1)
        assert "not a file that only this user" in refusal(open_store(path))
        os.chown(path.parent, 1, 1)
        assert "not a folder that only this user" in refusal(open_store(path))
        os.chown(path.parent, 0, 0)

    @pytest.mark.parametrize("content", [b"\0" * 65_536, b"no store" * 10_000, b"x"])
    def test_one_that_is_no_store_is_refused(self, path: Path, content: bytes) -> None:
        path.touch(mode=0o600)
        path.write_bytes(content)
        assert "cannot be opened: LMDB reports" in refusal(open_store(path))
        assert path.read_bytes() == content

    def test_one_that_is_corrupted_ends_the_store(self, path: Path) -> None:
        store = open_store(path)
        for number in range(2_000):
            claim(store, str(number))
        with path.open("r+b") as file:
            # The two pages that say where all others are stay as they are.
            file.seek(2 * os.sysconf("SC_PAGE_SIZE"))
            file.write(b"\xff" * (path.stat().st_size - file.tell()))
        assert "LMDB reports" in refusal(store)
        assert "out of use" in refusal(store, "y")

    def test_a_row_that_is_none_ends_the_store(self, path: Path) -> None:
        store = open_store(path)
        claim(store)
        file = store._file
        assert file is not None
        with file._environment.begin(write=True) as transaction:
            transaction.put(claim_of("x").key, b"cut", db=file._tables[Purpose.REPLAY].tree)
        assert "not what was written" in refusal(store)

    def test_a_process_opens_it_once(self, path: Path) -> None:
        store = open_store(path)
        claim(store)
        assert "open in this process, by another object" in refusal(open_store(path))
        asyncio.run(store.close())
        assert not claim(open_store(path))

    def test_it_has_the_age_and_the_size_that_it_was_made_with(self, path: Path) -> None:
        store = MachineStore(path, max_claims=8_192, clock=lambda: 1_000.0)
        assert store.born_at == 1_000.0
        size = path.stat().st_size
        assert path.stat().st_blocks * 512 >= size == 8_192 * 256
        asyncio.run(store.close())
        again = MachineStore(path, max_claims=1_000_000)
        assert again.born_at == 1_000.0
        assert path.stat().st_size == size


class TestNoRoom:
    """A small file system of memory, which only root can make."""

    @pytest.fixture
    def small(self, path: Path) -> Iterator[Callable[[str], Path]]:
        mounted: list[Path] = []

        def mount(size: str) -> Path:
            place = path.parent / f"small-{size}"
            place.mkdir(mode=0o700)
            options = f"size={size},mode=0700"
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False
            )
            if done.returncode != 0:
                pytest.skip("file systems cannot be mounted here")
            mounted.append(place)
            return place / "store"

        yield mount
        for place in mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)

    def test_a_full_file_system_is_an_error_when_it_is_opened(
        self, small: Callable[[str], Path]
    ) -> None:
        path = small("1m")
        assert "no room for the store" in refusal(open_store(path))
        assert path.stat().st_size == 0, "it leaves half of a store"

    def test_a_small_file_system_gives_half_of_itself(self, small: Callable[[str], Path]) -> None:
        path = small("16m")
        assert claim(open_store(path))
        assert path.stat().st_size == 8 << 20

    def test_one_that_fills_up_later_ends_no_process(self, small: Callable[[str], Path]) -> None:
        path = small("16m")
        store = open_store(path)
        claim(store)
        with contextlib.suppress(OSError), path.with_name("rest").open("wb", 0) as rest:
            while rest.write(b"x" * 65_536):
                pass
        assert all(claim(store, str(number)) for number in range(20_000))

    def test_room_that_goes_while_it_is_made(self, small: Callable[[str], Path]) -> None:
        """What is there is not asked for twice: it is taken, or there is no store."""
        path = small("16m")
        sparse = path.with_name("sparse")
        claim(open_store(sparse))
        shutil.copyfile(sparse, path)
        os.truncate(path, 64 << 20)
        path.chmod(0o600)
        assert "no room for the store" in refusal(open_store(path))


def test_room_that_cannot_be_had_leaves_no_half_of_a_new_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert "no room for the store" in refusal(open_store(path))
    assert not path.exists()
    monkeypatch.undo()
    assert claim(open_store(path))


def test_another_process_number_means_that_the_file_is_opened_anew(path: Path) -> None:
    """As in a forked child, whose steps no coverage sees."""
    store = open_store(path)
    claim(store)
    before, store._pid = store._file, -1
    assert not claim(store)
    assert store._file is not before


class TestLock:
    def test_where_a_file_system_has_none_the_store_is_out_of_order(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(path)
        claim(store)

        def flock(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(file_lock.fcntl, "flock", flock)
        assert "cannot be locked" in refusal(store, "y")
        monkeypatch.undo()
        assert claim(store, "y")

    def test_what_is_asked_while_it_is_closed_is_refused(self, path: Path) -> None:
        store = open_store(path)
        claim(store)

        async def ask() -> None:
            file = store._file
            assert file is not None
            assert file.lock.try_acquire()
            closing = asyncio.ensure_future(store.close())
            asking = asyncio.ensure_future(store.check_and_store(claim_of("y")))
            await asyncio.sleep(0.01)
            file.lock.release()
            await closing
            with pytest.raises(StoreError, match="closed"):
                await asking

        asyncio.run(ask())

    def test_one_that_was_not_used_is_closed_without_a_file(self, path: Path) -> None:
        store = open_store(path)
        asyncio.run(store.close())
        assert "closed" in refusal(store)
        assert not path.exists()

    def test_one_that_nobody_lets_go_of_is_closed_all_the_same(self, path: Path) -> None:
        store = open_store(path)
        claim(store)
        with child(path, "hold") as holder:
            assert line_of(holder) == "held"
            asyncio.run(store.close())
        assert "closed" in refusal(store, "y")

    def test_an_interrupt_leaves_nothing_locked(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(path)
        claim(store)

        def interrupt(*_: object) -> bool:
            raise KeyboardInterrupt

        monkeypatch.setattr(Table, "claim", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.check_at_once(claim_of("y"))
        monkeypatch.undo()
        assert claim(store, "y")


class TestSettings:
    def test_its_repr_tells_the_file(self, path: Path) -> None:
        assert repr(open_store(path)) == f"<MachineStore {path}>"

    @pytest.mark.parametrize(
        ("given", "named"),
        [
            ({"max_claims": 4_095}, "max_claims"),
            ({"max_claims": "many"}, "max_claims"),
            ({"patience": 0}, "patience"),
            ({"path": 7}, "path"),
        ],
    )
    def test_wrong_ones_are_refused(self, given: dict[str, object], named: str) -> None:
        with pytest.raises(ConfigError, match=named):
            MachineStore(**given)  # type: ignore[arg-type]

    def test_all_that_say_nothing_share_one_in_memory(self) -> None:
        assert machine_store() is machine_store()
        assert machine_store().path == default_path()
        assert default_path() == Path(f"/dev/shm/authsrv-{os.geteuid()}/store-v1")


async def test_a_change_by_another_process_is_seen_without_the_lock(path: Path) -> None:
    store = open_store(path)
    await store.get(Purpose.REVOKED, claim_of("x").key)
    before = store.state_at_once()
    assert before is not None
    assert said(path, "claim", "x") == "fresh"
    assert store.state_at_once() not in (before, None)
    assert said(path, "claim", "x") == "seen"
    after = store.state_at_once()
    with child(path, "hold") as holder:
        assert line_of(holder) == "held"
        assert store.state_at_once() == after
    await store.close()


async def test_there_is_no_state_of_a_file_that_is_not_open_or_was_replaced(path: Path) -> None:
    store = open_store(path)
    assert store.state_at_once() is None
    await store.get(Purpose.REVOKED, claim_of("x").key)
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)
    assert store.state_at_once() is None
    with pytest.raises(StoreError, match="replaced"):
        await store.get_many(Purpose.REVOKED, [claim_of("x").key])
    with pytest.raises(StoreError, match="replaced"):
        store.state_at_once()


def test_there_is_no_state_of_a_file_that_was_closed(path: Path) -> None:
    file = open_lmdb_file(path, 10_000, PATIENCE, time.time())
    assert file.state is not None
    file.close()
    assert file.state is None
