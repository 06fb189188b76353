"""All that there is of a realm while it runs: folder, database, KDC, and those KDCs beside it."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from authsrv.devrealm.clients import Clock
from authsrv.devrealm.database import Database
from authsrv.devrealm.errors import RealmError
from authsrv.devrealm.guard import CleanupGuard
from authsrv.devrealm.kdc import run_kdc
from authsrv.devrealm.keytab import Key, select_keys
from authsrv.devrealm.profiles import Layout, write_profiles
from authsrv.devrealm.programs import PACKAGES, find_program

__all__ = ["Installation", "install"]


@dataclass(frozen=True, slots=True)
class Installation:
    """A realm that runs.

    Args:
        port: Where its KDC listens, on 127.0.0.1.
        clock: Its KDC, as clients see it.
    """

    name: str
    layout: Layout
    database: Database
    port: int
    clock: Clock

    def serve_hosts(self, services: Iterable[str]) -> None:
        """Tell clients that the hosts of these services belong to the realm."""
        write_profiles(self.layout, self.layout.folder, self.name, self.port, services)

    def configure(self, configuration: str, services: Iterable[str]) -> None:
        """Put more into krb5.conf, in place of what was put there before."""
        self.layout.additions.write_text(configuration, encoding="utf-8")
        self.serve_hosts(services)

    def write_keytab(
        self, path: Path, services: Iterable[str], wanted: Callable[[Key], bool]
    ) -> None:
        """Write those keys of services that are wanted; a file is replaced, by renaming.

        Raises:
            ProgramError: There is no such service, or the file cannot be written.
            RealmError: No key is wanted.
        """
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".authsrv-") as folder:
            fresh = Path(folder, "keytab")
            self.database.export_keys(services, fresh)
            fresh.write_bytes(select_keys(fresh.read_bytes(), wanted))
            os.replace(fresh, path)

    @contextlib.contextmanager
    def run_clock(self, offset_s: int, services: Iterable[str]) -> Iterator[Clock]:
        """Have a KDC whose clock is ahead by some seconds, negative for behind.

        It is that of the realm where its clock is right, or one more, which ends with the block.

        Raises:
            MissingProgramError: libfaketime is needed, and not installed.
            ProgramError: The KDC does not start.
        """
        if offset_s == self.clock.offset_s:
            yield self.clock
            return
        with tempfile.TemporaryDirectory(dir=self.layout.folder) as name:
            folder = Path(name)
            with _run_kdc(self.name, self.layout, folder, services, offset_s) as (_, clock):
                yield clock


@contextlib.contextmanager
def install(
    name: str,
    services: Iterable[str],
    passwords: Mapping[str, str],
    clock_offset_s: int,
    configuration: str = "",
) -> Iterator[Installation]:
    """Run a realm as long as the block lasts; see Realm.

    Raises:
        MissingProgramError: Something is not installed.
        ProgramError: Something does not start.
        RealmError: The folder for temporary files has a colon in its name.
    """
    # What is missing is found out before anything is made.
    for program in PACKAGES:
        find_program(program)
    folder = _name_folder()
    with CleanupGuard(folder):
        folder.mkdir(0o700)
        layout = Layout(folder)
        layout.additions.write_text(configuration, encoding="utf-8")
        database = _fill_database(name, layout, services, passwords)
        with _run_kdc(name, layout, folder, services, clock_offset_s) as (port, clock):
            yield Installation(name, layout, database, port, clock)


def _name_folder() -> Path:
    parent = tempfile.gettempdir()
    if ":" in parent:
        # KRB5_CONFIG is a list of files with colons between them.
        raise RealmError("no realm can be made below a folder with a colon in its name: set TMPDIR")
    return Path(parent, f"authsrv-realm-{secrets.token_hex(8)}")


def _fill_database(
    name: str, layout: Layout, services: Iterable[str], passwords: Mapping[str, str]
) -> Database:
    # There is no KDC yet, and the database needs none: any port does.
    database = Database(write_profiles(layout, layout.folder, name, 0, services))
    database.create()
    database.add(passwords, services)
    layout.replay_caches.mkdir()
    if services:
        database.export_keys(services, layout.keytab)
    return database


@contextlib.contextmanager
def _run_kdc(
    name: str, layout: Layout, folder: Path, services: Iterable[str], offset_s: int
) -> Iterator[tuple[int, Clock]]:
    def configure(port: int) -> Mapping[str, str]:
        return write_profiles(layout, folder, name, port, services)

    with run_kdc(configure, folder=folder, clock_offset_s=offset_s) as port:
        yield port, Clock(offset_s, configure(port))
