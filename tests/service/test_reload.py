"""New settings replace the old ones whole or not at all, and reading them holds nothing up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from keytabs import VERSION_2, record

from authsrv.errors import ConfigError
from authsrv.service.config.loading import Loaded, load
from authsrv.service.config.reload import ReloadEvent, ReloadOutcome, SettingsHolder
from authsrv.service.config.settings import Endpoint, Settings

TEXT = """
keytab = "http.keytab"
[groups]
file = "groups.toml"
[[site]]
name = "{name}"
hosts = ["{name}.test"]
[[site.rule]]
name = "{name}"
paths = ["/**"]
"""


class Folder:
    """A configuration that changes."""

    def __init__(self, path: Path) -> None:
        self.path = path / "authsrv.toml"
        self.replace("http.keytab", VERSION_2 + record("wiki.test"))
        self.replace("groups.toml", b"[groups]\n")
        self.name("one")

    def replace(self, name: str, content: bytes) -> None:
        """Replace a file; on the loop, where nothing else waits."""
        fresh = self.path.parent / "fresh"
        fresh.write_bytes(content)
        fresh.chmod(0o600)
        fresh.rename(self.path.parent / name)

    def name(self, name: str) -> None:
        self.replace("authsrv.toml", TEXT.format(name=name).encode())

    def load(self) -> Loaded:
        return load(self.path, {})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@contextlib.asynccontextmanager
async def running(
    folder: Folder,
    load: Callable[[], Loaded] | None = None,
    interval_seconds: float = 0.01,
    apply: Callable[[Settings], None] = lambda settings: None,
) -> AsyncIterator[tuple[SettingsHolder, asyncio.Queue[ReloadEvent]]]:
    events: asyncio.Queue[ReloadEvent] = asyncio.Queue()
    holder = SettingsHolder(
        await asyncio.to_thread(folder.load),
        load or folder.load,
        apply,
        on_reload=events.put_nowait,
        interval_seconds=interval_seconds,
    )
    task = asyncio.create_task(holder.run())
    try:
        yield holder, events
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def name_of(holder: SettingsHolder) -> str:
    return holder.current.sites.sites[0].name


async def test_a_changed_file_is_in_force_soon(folder: Folder) -> None:
    async with running(folder) as (holder, events):
        before = holder.current
        folder.name("two")
        event = await events.get()
        assert event.outcome is ReloadOutcome.REPLACED
        assert name_of(holder) == "two"
        assert event.digest == holder.current.digest == holder.state.digest
        # Who took the old ones has them as they were.
        assert before.sites.sites[0].name == "one"


async def test_settings_that_cannot_be_put_in_force_leave_the_old_ones(folder: Folder) -> None:
    def refuse(settings: Settings) -> None:
        raise ConfigError("the logo cannot be read")

    async with running(folder, apply=refuse) as (holder, events):
        folder.name("two")
        assert (await events.get()).outcome is ReloadOutcome.REFUSED
        assert name_of(holder) == "one"
        assert holder.state.degraded == "the logo cannot be read"


async def test_a_file_that_the_configuration_names_is_watched_too(folder: Folder) -> None:
    async with running(folder) as (holder, events):
        folder.replace("groups.toml", b'[groups]\nstaff = ["alice@R.TEST"]\n')
        assert (await events.get()).outcome is ReloadOutcome.REPLACED
        assert holder.current.groups.names == {"staff"}


async def test_a_broken_file_leaves_the_old_one_in_force_and_says_so(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(folder) as (holder, events):
        assert holder.state.degraded is None
        folder.replace("authsrv.toml", b"keytap = 1")
        event = await events.get()
        assert event.outcome is ReloadOutcome.REFUSED
        assert event.problems
        assert name_of(holder) == "one"
        assert "keytap" in (holder.state.degraded or "")
        assert "the one before stays in force" in caplog.text
        folder.name("two")
        assert (await events.get()).outcome is ReloadOutcome.REPLACED
        assert holder.state.degraded is None


async def test_a_file_that_is_gone_leaves_the_old_one_in_force(folder: Folder) -> None:
    async with running(folder) as (holder, events):
        folder.path.unlink()
        assert (await events.get()).outcome is ReloadOutcome.REFUSED
        assert name_of(holder) == "one"


async def test_a_fault_of_ours_leaves_the_old_one_in_force(folder: Folder) -> None:
    def fail() -> Loaded:
        raise RuntimeError("a mistake")

    async with running(folder, fail) as (holder, events):
        holder.request_reload()
        assert (await events.get()).outcome is ReloadOutcome.REFUSED
        assert name_of(holder) == "one"
        assert holder.state.degraded
        # And the next one is tried.
        holder.request_reload()
        assert (await events.get()).outcome is ReloadOutcome.REFUSED


async def test_nobody_needs_to_be_told(folder: Folder) -> None:
    holder = SettingsHolder(
        await asyncio.to_thread(folder.load),
        folder.load,
        lambda settings: None,
        interval_seconds=0.01,
    )
    task = asyncio.create_task(holder.run())
    folder.name("two")
    while name_of(holder) != "two":
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_request_reads_the_files_at_once(folder: Folder) -> None:
    async with running(folder, interval_seconds=3_600) as (holder, events):
        holder.request_reload()
        assert (await events.get()).outcome is ReloadOutcome.UNCHANGED
        folder.name("two")
        holder.request_reload()
        assert (await events.get()).outcome is ReloadOutcome.REPLACED
        assert name_of(holder) == "two"


async def test_a_file_that_is_being_written_is_left_alone_until_it_is_whole(folder: Folder) -> None:
    whole = TEXT.format(name="two").encode() + b'[[site.rule]]\naccess = "deny"\n'
    async with running(folder, interval_seconds=0.2) as (holder, events):
        # Each cut of it is TOML, and some of them are a good configuration.
        for end in range(0, len(whole) + 1, len(whole) // 20):
            folder.replace("authsrv.toml", whole[:end])
            await asyncio.sleep(0.02)
        folder.replace("authsrv.toml", whole)
        assert (await events.get()).outcome is ReloadOutcome.REPLACED
        assert len(holder.current.sites.sites[0].rules.rules) == 2
        assert events.empty()


async def test_a_storm_of_signals_with_good_and_broken_files_mixes_nothing(folder: Folder) -> None:
    async with running(folder) as (holder, events):
        is_over = False

        async def ask() -> int:
            asks = 0
            while not is_over:
                current = holder.current
                await asyncio.sleep(0)
                (site,) = current.sites.sites
                assert site.name == site.rules.rules[0].name == str(site.hosts[0])[: -len(".test")]
                asks += 1
            return asks

        asking = asyncio.create_task(ask())
        for number in range(40):
            if number % 2:
                folder.replace("authsrv.toml", b"[[site]]\nname = 1")
            else:
                folder.name(f"site{number}")
            for _ in range(5):
                holder.request_reload()
            await asyncio.sleep(0.002)
        folder.name("last")
        holder.request_reload()
        while name_of(holder) != "last":
            await events.get()
        is_over = True
        assert await asking > 40
        assert holder.state.degraded is None


async def test_it_ends_also_where_a_reload_was_just_requested(folder: Folder) -> None:
    async with running(folder, interval_seconds=3_600) as (holder, _):
        # It waits, is woken, and has not run when it is cancelled.
        await asyncio.sleep(0.01)
        holder.request_reload()
        await asyncio.sleep(0)


async def test_reading_does_not_hold_up_the_loop(folder: Folder) -> None:
    going, threads = threading.Event(), []

    def slow() -> Loaded:
        threads.append(threading.current_thread())
        assert going.wait(10)
        return folder.load()

    async with running(folder, slow, interval_seconds=3_600) as (holder, events):
        holder.request_reload()
        while not threads:
            await asyncio.sleep(0.001)
        folder.name("two")
        assert threads[0] is not threading.main_thread()
        going.set()
        assert (await events.get()).outcome is ReloadOutcome.REPLACED


async def test_what_is_set_up_once_waits_for_the_next_start(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(folder) as (holder, events):
        before = holder.current.asks
        listen = b'[listen]\nasks = "127.0.0.1:9180"\n'
        folder.replace("authsrv.toml", TEXT.format(name="two").encode() + listen)
        await events.get()
        assert name_of(holder) == "two"
        assert holder.current.asks == before != Endpoint(None, "127.0.0.1", 9180)
        assert "change at the next start only: asks" in caplog.text


async def test_a_file_that_is_named_anew_is_watched(folder: Folder) -> None:
    async with running(folder) as (holder, events):
        other = TEXT.format(name="one").replace("groups.toml", "other.toml").encode()
        folder.replace("other.toml", b"[groups]\n")
        folder.replace("authsrv.toml", other)
        assert (await events.get()).outcome is ReloadOutcome.REPLACED
        folder.replace("other.toml", b'[groups]\nstaff = ["alice@R.TEST"]\n')
        while not holder.current.groups.names:
            await events.get()
