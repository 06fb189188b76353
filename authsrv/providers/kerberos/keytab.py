"""A keytab file that may change while the server runs.

MIT's acceptor reads a FILE keytab again for every ticket: it costs a fifth of the handshake, and
meets whatever the file holds at that moment, half of it included. Here the file is read when it has
changed, checked, and copied into a MEMORY keytab under a name of its own; the acceptor's credential
holds on to that. A new file replaces the old keys only if it is whole. Until then the good ones
stay in use, and the log says why.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import krb5

from authsrv.codecs.keytab import MAX_KEYTAB_BYTES, parse_keytab
from authsrv.core.identity import split_principal
from authsrv.core.settings import as_instance, as_number, as_path
from authsrv.errors import ConfigError, KeytabError
from authsrv.providers.kerberos.service_names import ServiceNames

__all__ = ["KeytabEntry", "KeytabFile", "KeytabSnapshot"]

_LOG = logging.getLogger("authsrv.keytab")

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class KeytabEntry:
    """What may be told of a key: all but the key.

    Args:
        principal: The principal with its realm, such as "HTTP/web.example.org@EXAMPLE.ORG".
        enctype: The number of the key's encryption type (RFC 3961).
    """

    principal: str
    kvno: int
    enctype: int


@dataclass(frozen=True)
class KeytabSnapshot:
    """The keys of a keytab file as they were at one moment.

    Args:
        name: The MEMORY keytab that holds them, for a credential store.
        keytab: Keeps the MEMORY keytab alive.
    """

    name: str
    entries: tuple[KeytabEntry, ...]
    keytab: Any = field(repr=False, compare=False)

    @functools.cached_property
    def realms(self) -> frozenset[str]:
        """The realms that the keys belong to."""
        return frozenset(split_principal(name)[1] or "" for name in self.principals)

    def restricted_to(self, services: ServiceNames) -> KeytabSnapshot:
        """Leave out the keys of other services.

        Returns:
            A snapshot in a MEMORY keytab of its own; this one where any service will do.
        """
        if not services.names:
            return self
        context = krb5.init_context()
        name, memory = _new_memory_keytab(context)
        entries = []
        for entry in self.keytab:
            told = _described(context, entry)
            if services.covers(told.principal):
                _copy_entry(context, entry, memory)
                entries.append(told)
        return KeytabSnapshot(name, tuple(entries), memory)

    @property
    def principals(self) -> tuple[str, ...]:
        """The principals that have keys, each once, in the order of the file."""
        return tuple(dict.fromkeys(entry.principal for entry in self.entries))


_Stamp = tuple[int, int, int]

# Whoever may write it can have us accept tickets that no KDC has issued, and whoever may read it
# can make such tickets. A group may read it: that is how a service gets at its keys.
_EXPOSED = stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_COMPLAIN_EVERY_S = 3600.0


def _without_type(path: str | os.PathLike[str]) -> Path:
    kind, colon, rest = os.fspath(path).partition(":")
    if colon and kind in ("FILE", "WRFILE"):
        return Path(rest)
    if colon and kind in ("MEMORY", "KEYRING", "SRVTAB"):
        raise ConfigError(f"keytab must be a file, not a keytab of type {kind}")
    return Path(path)


class KeytabFile:
    """A keytab file and the newest good snapshot of it.

    Args:
        path: The file; "FILE:" may stand before it, as in KRB5_KTNAME.
        settle_seconds: How long a changed file must have been left alone before it replaces keys
            that are in use; it spares us a file that is being written record by record.
        clock: Seconds since the epoch, comparable with file times.

    Raises:
        ConfigError: It names a keytab that is no file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        settle_seconds: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = _without_type(as_path(path, "keytab"))
        # No time at all is fine: then a file is read as soon as it changes.
        if as_instance((int, float), settle_seconds, "settle_seconds") != 0:
            as_number(settle_seconds, "settle_seconds")
        self.settle_seconds = settle_seconds
        self._clock = clock
        self._guard = threading.Lock()
        self._good: KeytabSnapshot | None = None
        self._stamp: _Stamp | None = None
        self._bad: tuple[_Stamp, KeytabError] | None = None
        self._complained: str | None = None
        self._complained_at = 0.0
        self._exposed_mode = 0

    def __repr__(self) -> str:
        return f"<KeytabFile {self.path}>"

    def snapshot(self) -> KeytabSnapshot:
        """The newest good keys of the file. It may block: it looks at the file.

        Returns:
            The same object as long as nothing changed.

        Raises:
            KeytabError: There never was a good one, and why.
        """
        try:
            found = _look_at(self.path)
            self._warn_if_exposed(found.st_mode & _EXPOSED)
            stamp = _stamp(found)
            if stamp == self._stamp and self._good is not None:
                self._complained = None
                return self._good
            with self._guard:
                return self._refresh(stamp)
        except KeytabError as error:
            return self._fall_back(error)

    def _refresh(self, stamp: _Stamp) -> KeytabSnapshot:
        good = self._good
        if good is not None and (stamp == self._stamp or not self._settled(stamp)):
            return good
        if self._bad is not None and self._bad[0] == stamp:
            raise KeytabError(self._bad[1].detail)
        settled = self._settled(stamp)
        # What the system refuses (no right, no file descriptor) may be well the next moment, and
        # the file looks the same; what is wrong with its content stays until it changes.
        content = _read(self.path)
        try:
            fresh = _load(self.path, content)
        except KeytabError as error:
            self._bad = (stamp, error) if settled else None
            raise
        if _stamp(_look_at(self.path)) != stamp:
            raise KeytabError(f"the keytab {self.path} changed while it was read")
        if self._stamp is not None:
            _LOG.info("the keytab %s was replaced: %d keys", self.path, len(fresh.entries))
        # File times are coarse: what was written a moment ago may change and look the same, so it
        # is read once more.
        self._stamp = stamp if settled else None
        self._good, self._complained = fresh, None
        return fresh

    def _settled(self, stamp: _Stamp) -> bool:
        age = self._clock() - stamp[2] / 1e9
        # A time in the future is a clock that was set, not a file that is being written.
        return age < 0 or age >= self.settle_seconds

    def _fall_back(self, error: KeytabError) -> KeytabSnapshot:
        if self._good is None:
            raise error
        now = self._clock()
        if self._complained != error.detail or now - self._complained_at >= _COMPLAIN_EVERY_S:
            self._complained, self._complained_at = error.detail, now
            _LOG.error("%s; the keys read before stay in use", error.detail)
        return self._good

    def _warn_if_exposed(self, mode: int) -> None:
        if mode == self._exposed_mode:
            return
        self._exposed_mode = mode
        if mode:
            _LOG.warning("the keytab %s can be %s", self.path, _exposure(mode))


def _exposure(mode: int) -> str:
    told = {
        stat.S_IROTH: "read by everybody",
        stat.S_IWOTH: "written by everybody",
        stat.S_IWGRP: "written by its group",
    }
    return ", ".join(words for bit, words in told.items() if mode & bit)


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _look_at(path: Path) -> os.stat_result:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise KeytabError(f"the keytab {path} does not exist") from None
    except OSError as error:
        raise KeytabError(f"the keytab {path} cannot be read: {_reason(error)}") from None
    if not stat.S_ISREG(found.st_mode):
        # Opening a pipe would wait for somebody who writes.
        raise KeytabError(f"the keytab {path} is not a regular file")
    return found


def _load(path: Path, content: bytes) -> KeytabSnapshot:
    try:
        records = len(parse_keytab(content, str(path)))
    except ConfigError as error:
        raise KeytabError(error.detail) from None
    if not records:
        raise KeytabError(f"the keytab {path} is empty")
    context = krb5.init_context()
    name, memory = _new_memory_keytab(context)
    entries: list[KeytabEntry] = []
    try:
        for entry in krb5.kt_resolve(context, b"FILE:" + os.fsencode(path)):
            _copy_entry(context, entry, memory)
            entries.append(_described(context, entry))
    except krb5.Krb5Error:
        raise KeytabError(f"the keytab {path} cannot be read by libkrb5") from None
    if len(entries) != records:
        # libkrb5 takes a record that it does not understand for the end of the file.
        raise KeytabError(f"the keytab {path} is broken: {len(entries)} of {records} keys readable")
    return KeytabSnapshot(name, tuple(entries), memory)


def _new_memory_keytab(context: Any) -> tuple[str, Any]:
    name = f"MEMORY:authsrv-{os.getpid()}-{next(_NUMBERS)}"
    return name, krb5.kt_resolve(context, name.encode())


def _described(context: Any, entry: Any) -> KeytabEntry:
    name = krb5.unparse_name_flags(context, entry.principal)
    return KeytabEntry(name.decode(errors="backslashreplace"), entry.kvno, entry.key.enctype)


def _copy_entry(context: Any, entry: Any, memory: Any) -> None:
    # From 2038 on the time is negative for the one side and too large for the other.
    written_at = entry.timestamp & 0xFFFFFFFF
    krb5.kt_add_entry(context, memory, copy(entry.principal), entry.kvno, written_at, entry.key)


def _read(path: Path) -> bytes:
    try:
        with contextlib.closing(open(path, "rb", buffering=0)) as file:
            # One byte more than is allowed shows that the file is too large.
            content: bytes = file.read(MAX_KEYTAB_BYTES + 1)
    except OSError as error:
        raise KeytabError(f"the keytab {path} cannot be read: {_reason(error)}") from None
    return content


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0)
