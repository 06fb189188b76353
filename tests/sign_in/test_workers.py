"""Several processes on one store, and what becomes of sessions when processes or the store end."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from service_rig import (
    LOGIN_HOST,
    WIKI_HOST,
    Answer,
    Rig,
    run_service,
    write_configuration,
)
from visiting import Visitor, location_of
from waiting import wait_until

from authsrv.devrealm import Realm
from authsrv.service.key_files import rotate_keys
from authsrv.stores.machine import MachineStore

FORMS = "https://forms.example.org"
SITES = """
[[site]]
name = "wiki"
hosts = ["wiki.example.org"]
headers = { preset = "authelia" }
rule = [{ paths = ["/**"] }]

[[site]]
name = "forms"
hosts = ["forms.example.org"]
negotiate = "never"
rule = [{ paths = ["/**"] }]
"""


class Workers:
    """Processes that share keys and store; each has sockets of its own."""

    def __init__(self, realm: Realm, folder: Path) -> None:
        self.realm = realm
        self.folder = folder
        self._exit = ExitStack()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @property
    def store(self) -> Path:
        """The file of the store."""
        return self.folder / "store" / "store"

    def start(self, name: str) -> Rig:
        """Start one more."""
        return self._exit.enter_context(self.running(name))

    @contextmanager
    def running(self, name: str) -> Iterator[Rig]:
        """Start one more, until the end of the block."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        services = [f"HTTP/{WIKI_HOST}", f"HTTP/{LOGIN_HOST}"]
        keytab = self.realm.write_keytab(folder / "http.keytab", services)
        keytab.chmod(0o600)
        shared = self.folder / "keys"
        if shared.exists():
            shutil.copytree(shared, folder / "keys", dirs_exist_ok=True)
        path = write_configuration(folder, keytab, more=SITES)
        if not shared.exists():
            shutil.copytree(folder / "keys", shared)
        path.write_text(path.read_text().replace(f"{folder}/store/store", str(self.store)))
        with run_service(path, self.realm) as served:
            yield Rig(folder, served, self.realm)


@pytest.fixture
def workers(people_realm: Realm) -> Iterator[Workers]:
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        with Workers(people_realm, Path(folder)) as started:
            yield started


@pytest.fixture(scope="module")
def pair(people_realm: Realm) -> Iterator[tuple[Rig, Rig]]:
    """Two that nobody ends."""
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        with Workers(people_realm, Path(folder)) as started:
            yield started.start("one"), started.start("other")


def in_turns(*calls: Callable[[], Answer]) -> list[Answer]:
    """Make all calls at once."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def sign_in(visitor: Visitor) -> None:
    page = visitor.follow(f"{FORMS}/secret")
    password = visitor.rig.realm.password("alice")
    assert visitor.submit(page, username="alice", password=password).is_yes


def test_of_one_code_at_two_workers_one_counts(pair: tuple[Rig, Rig]) -> None:
    one, other = pair
    for _ in range(5):
        visitor = Visitor(one)
        page = visitor.follow(f"{FORMS}/secret")
        sent = visitor.post(page, username="alice", password=one.realm.password("alice"))
        code = (location_of(sent) or "").partition("example.org")[2]
        nonce = visitor.cookies["forms.example.org"]["__Host-authsrv-nonce"]
        cookie = ("Cookie", f"__Host-authsrv-nonce={nonce}")
        at = {"host": "forms.example.org", "site": "forms"}
        calls = [partial(rig.page, code, cookie, **at) for rig in 3 * (one, other)]
        assert sorted(answer.status for answer in in_turns(*calls)) == [303, *5 * [403]]


def test_of_one_ticket_at_two_workers_one_counts(pair: tuple[Rig, Rig], ticket_of: Any) -> None:
    one, other = pair
    for _ in range(5):
        ticket = ticket_of()
        calls = [partial(rig.ask, "/x", ticket) for rig in 3 * (one, other)]
        assert sum(answer.is_yes for answer in in_turns(*calls)) == 1


def test_a_log_in_that_begins_at_one_worker_may_end_at_the_other(pair: tuple[Rig, Rig]) -> None:
    one, other = pair
    visitor = Visitor(one)
    page = visitor.follow(f"{FORMS}/secret")
    visitor.rig = other
    end = visitor.submit(page, username="alice", password=one.realm.password("alice"))
    assert end.is_yes


def test_sessions_and_sign_outs_outlive_the_process(workers: Workers) -> None:
    with workers.running("one") as rig:
        inside, outside = Visitor(rig), Visitor(rig)
        sign_in(inside)
        sign_in(outside)
        kept = dict(outside.cookies["forms.example.org"])
        outside.send("POST", f"{FORMS}/.authsrv/sign-out", (("Sec-Fetch-Site", "same-origin"),))
        assert rig.served.stop() == 0
    with workers.running("one") as rig:
        inside.rig = rig
        assert inside.open(f"{FORMS}/secret").is_yes
        assert not Visitor(rig, cookies={"forms.example.org": kept}).open(f"{FORMS}/secret").is_yes


def test_killed_processes_leave_nothing_that_stops_the_others(
    workers: Workers, ticket_of: Any
) -> None:
    """They are killed while they claim: whoever runs on does so, and one thing counts once."""
    one = workers.start("one")
    for _ in range(3):
        with workers.running("other") as other:
            tickets = [ticket_of() for _ in range(12)]

            def use(ticket: tuple[str, str], rig: Rig = other) -> bool:
                try:
                    return rig.ask("/x", ticket).is_yes
                except OSError:
                    return False

            with ThreadPoolExecutor(6) as pool:
                found = [pool.submit(use, ticket) for ticket in tickets]
                found[2].result()
                other.served.process.send_signal(signal.SIGKILL)
                taken = [future.result() for future in found]
            other.served.process.wait()
        again = [one.ask("/x", ticket).is_yes for ticket in tickets]
        # What was told to be good is not good again; nothing hangs, and what was not used still is.
        assert not any(there and here for there, here in zip(taken, again, strict=True))
        assert one.ask("/x", ticket_of()).is_yes


# The store.


def test_without_its_store_the_service_lets_nobody_in(workers: Workers, ticket_of: Any) -> None:
    rig = workers.start("one")
    visitor = Visitor(rig)
    sign_in(visitor)
    workers.store.unlink()
    assert not visitor.open(f"{FORMS}/secret").is_yes
    page = visitor.open(f"{FORMS}/.authsrv/whoami")
    assert (page.status, "alice" in page.text) == (503, False)
    assert not rig.ask("/x", ticket_of()).is_yes
    assert f"the store {workers.store} is out of use" in rig.served.logged()
    # It does not help that somebody puts an empty one there; a new process does, and then
    # sessions of before do not count.
    workers.store.touch(0o600)
    assert not visitor.open(f"{FORMS}/secret").is_yes
    workers.store.unlink()
    assert rig.served.stop() == 0
    # A session knows whole seconds only: one of the second in which the store was made counts.
    ended = int(time.time())
    wait_until(lambda: int(time.time()) > ended)
    with workers.running("one") as fresh:
        visitor.rig = fresh
        assert not visitor.open(f"{FORMS}/secret").is_yes
        assert "older than the memory" in fresh.served.logged()
        del visitor.cookies["forms.example.org"]
        sign_in(visitor)


def expose(store: Path) -> None:
    store.parent.chmod(0o777)


def give_away(store: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    os.chown(store, 65534, 65534)


def link(store: Path) -> None:
    store.rename(store.with_name("elsewhere"))
    store.symlink_to(store.with_name("elsewhere"))


def spoil(store: Path) -> None:
    store.write_bytes(b"\0" * 4096)


@pytest.mark.parametrize("harm", [expose, give_away, link, spoil])
def test_a_store_that_is_not_ours_alone_stops_the_start(
    workers: Workers, harm: Callable[[Path], None]
) -> None:
    # As one that ended has left it.
    assert MachineStore(workers.store).born_at
    harm(workers.store)
    with pytest.raises(AssertionError, match=str(workers.store.parent)) as failed:
        workers.start("one")
    assert "Traceback" not in str(failed.value)


# Its configuration.


def test_a_configuration_that_was_broken_changes_nothing_and_is_told(workers: Workers) -> None:
    rig = workers.start("one")
    path = rig.folder / "authsrv.toml"
    good = path.read_text()

    def reload(text: str, log: str) -> None:
        before = len(rig.served.logged())
        path.write_text(text)
        rig.served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: log in rig.served.logged()[before:])

    assert rig.ask("/x").status == 401
    reload(f"{good}\nno_such_key = 1\n", "no_such_key")
    assert rig.ask("/x").status == 401
    reload(
        good.replace('paths = ["/**"]', 'paths = ["/**"], access = "open"'),
        "configuration was replaced",
    )
    assert rig.ask("/x").status == 200
    # The keytab is gone: the rules of before stay, and so does what it was read for.
    keytab = rig.folder / "http.keytab"
    keytab.rename(keytab.with_suffix(".away"))
    reload(good, str(keytab))
    assert rig.ask("/x").status == 200
    keytab.with_suffix(".away").rename(keytab)
    reload(good, "configuration was replaced")
    assert rig.ask("/x").status == 401


def test_keys_are_taken_over_at_once_when_it_is_asked_for(workers: Workers) -> None:
    rig = workers.start("one")
    rotate_keys(rig.folder / "keys", time.time())
    rig.served.process.send_signal(signal.SIGHUP)
    # Without the signal, they are looked at every 10 s only.
    wait_until(lambda: "the keys were replaced" in rig.served.logged(), seconds=5)
    assert rig.ask("/x").status == 401
