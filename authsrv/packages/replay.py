"""Replay protection: how a token is kept from being accepted twice, and where.

Which choice protects what:

`MITReplayCache()`, the default
    MIT's own replay cache, a file shared by all processes of one user on one machine. It outlives a
    restart and a reboot. This is the safe choice for several workers.
`MITReplayCache.in_memory()`
    The same file format in memory-backed storage: shared by the processes of one user on one
    machine, outlives a restart, not a reboot.
`ProcessReplayCache()`
    A table in this process, MIT's switched off. It protects exactly one process: a second worker
    would accept the token again, and so would the same one after a restart. It is for servers that
    run one process and restart rarely.

A store that is shared by several machines would be another class with the same two members.

Our own cache is keyed on the ciphertext of the authenticator inside the AP-REQ, never on the whole
token: whoever replays can put the same AP-REQ into another SPNEGO shell, but cannot change the
ciphertext without the session key. A token in which no AP-REQ can be read strictly is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from authsrv.errors import ConfigError, ReplayCacheError, ReplayError
from authsrv.tokens.spnego import KERBEROS, MS_KERBEROS, NegTokenInit, parse_spnego

__all__ = ["MITReplayCache", "ProcessReplayCache", "ReplayProtection", "kerberos_part"]

# The authenticator's time may lie as far ahead of ours as the clock skew allows, and the token is
# good until it lies as far behind: RFC 4120 section 3.2.3.
_SKEW_SPAN = 2
# MIT compares whole seconds, the last one included; and clocks are set while we run.
_MARGIN_S = 5.0


# The DER forms of 1.2.840.113554.1.2.2 and 1.2.840.48018.1.2.2.
_RAW_OIDS = (
    bytes.fromhex("06092a864886f712010202"),
    bytes.fromhex("06092a864882f712010202"),
)


class ReplayProtection(Protocol):
    """Where it is remembered which authenticators were accepted.

    Source: RFC 4120 section 3.2.3 (replay cache).
    """

    @property
    def residual(self) -> bytes:
        """What MIT's acceptor is told of a replay cache in its credential store.

        Source: MIT krb5, credential store extension, "rcache".
        """
        ...

    def claim(self, authenticator: bytes) -> None:
        """Remember an authenticator that was accepted, once.

        Called after the package has verified it, so that nobody fills the memory with garbage.
        It may block; it is called by several threads at once.

        Args:
            authenticator: The ciphertext of the authenticator.

        Raises:
            ReplayError: It was claimed before.
            ReplayCacheError: It cannot be remembered, so it must not be accepted.

        Source: RFC 4120 section 3.2.3.
        """
        ...


@dataclass(frozen=True, slots=True)
class MITReplayCache:
    """MIT's own replay cache, checked inside gss_accept_sec_context.

    Args:
        name: "dfl:" for MIT's default file (in KRB5RCACHEDIR, or /var/tmp, one for each user), or
            "file2:PATH" for one elsewhere. It is named in the credential store, so that neither
            KRB5RCACHENAME nor krb5.conf can switch it off.

    Raises:
        ConfigError: The name is none of these; "none:" above all.

    Source: MIT krb5, "Replay cache" documentation.
    """

    name: str = "dfl:"

    def __post_init__(self) -> None:
        if self.name != "dfl:" and not self.name.startswith("file2:/"):
            raise ConfigError("the replay cache must be 'dfl:' or 'file2:' with an absolute path")

    @classmethod
    def in_memory(cls, label: str = "http") -> MITReplayCache:
        """A cache file in memory-backed storage, in a folder that only this user can enter.

        Args:
            label: Distinguishes several caches of one user; letters, digits, "-" and "_".

        Returns:
            A cache that all processes of this user share.

        Raises:
            ConfigError: There is no memory-backed storage, or the folder belongs to another user.

        Source: MIT krb5, "Replay cache" documentation, type file2.
        """
        if not label or not label.replace("-", "").replace("_", "").isalnum():
            raise ConfigError("the label of a replay cache is made of letters, digits, - and _")
        return cls(f"file2:{_private_folder(Path('/dev/shm')) / label}")  # noqa: S108 - see there

    @property
    def residual(self) -> bytes:
        """What MIT's acceptor is told.

        Source: MIT krb5, credential store extension, "rcache".
        """
        return self.name.encode()

    def claim(self, authenticator: bytes) -> None:
        """Do nothing: MIT's acceptor has claimed it under its file lock.

        Args:
            authenticator: Not looked at.

        Source: MIT krb5, krb5_rd_req.
        """


def _private_folder(parent: Path) -> Path:
    """Make a folder below a world-writable one, or refuse one that somebody else prepared."""
    folder = parent / f"authsrv-{os.geteuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError:
        raise ConfigError(f"there is no memory-backed storage at {parent}") from None
    foreign = found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode)
    if foreign or found.st_mode & 0o077:
        raise ConfigError(f"{folder} is not a folder that only this user can enter")
    return folder


class ProcessReplayCache:
    """A replay cache in the memory of this one process, with MIT's own switched off.

    Args:
        max_entries: How many authenticators are remembered; when it is full, new ones are refused
            and nothing is forgotten. An entry takes some 150 bytes.
        skew_seconds: The clock skew that the realm's configuration allows; MIT's default is 300.
            Entries live twice as long, and five seconds.
        clock: Seconds of a clock that does not jump.

    Raises:
        ConfigError: A number is not greater than zero.

    Source: RFC 4120 section 3.2.3.
    """

    def __init__(
        self,
        *,
        max_entries: int = 1_000_000,
        skew_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_entries <= 0 or skew_seconds <= 0:
            raise ConfigError("a replay cache needs room and time")
        self._max_entries = max_entries
        self._life = _SKEW_SPAN * skew_seconds + _MARGIN_S
        self._clock = clock
        self._guard = threading.Lock()
        self._seen: set[bytes] = set()
        self._queue: deque[tuple[float, bytes]] = deque()

    def __repr__(self) -> str:
        return f"<ProcessReplayCache {len(self)} of {self._max_entries}>"

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def residual(self) -> bytes:
        """What MIT's acceptor is told: that it keeps no cache of its own.

        Source: MIT krb5, "Replay cache" documentation, type none.
        """
        return b"none:"

    def claim(self, authenticator: bytes) -> None:
        """Remember an authenticator, once.

        Args:
            authenticator: The ciphertext of the authenticator.

        Raises:
            ReplayError: It was claimed before, within twice the clock skew.
            ReplayCacheError: The cache is full.

        Source: RFC 4120 section 3.2.3.
        """
        key = hashlib.sha256(authenticator).digest()
        now = self._clock()
        with self._guard:
            self._expire(now)
            if key in self._seen:
                raise ReplayError("the authenticator was used before")
            if len(self._seen) >= self._max_entries:
                raise ReplayCacheError(f"the replay cache is full: {self._max_entries} entries")
            self._seen.add(key)
            self._queue.append((now + self._life, key))

    def _expire(self, now: float) -> None:
        queue = self._queue
        while queue and queue[0][0] <= now:
            self._seen.discard(queue.popleft()[1])


def kerberos_part(token: bytes) -> bytes | None:
    """Find the Kerberos token that MIT's acceptor reads in a token, for the replay cache's key.

    What this cannot read strictly is refused, so that no difference between MIT's parser and ours
    lets a second use pass as a first one.

    Args:
        token: The token of one leg, from the client, untrusted.

    Returns:
        The Kerberos token, or None where this leg carries none for Kerberos.

    Raises:
        InvalidTokenError: The token cannot be read strictly.

    Source: RFC 4178 section 4.2; RFC 4121 section 4.1.
    """
    if _is_raw_kerberos(token):
        return token
    message = parse_spnego(token)
    if not isinstance(message, NegTokenInit):
        return message.response_token
    # RFC 4178 section 4.2.1: the mechToken belongs to the first mechanism of the list.
    return message.mech_token if message.mech_types[0] in (KERBEROS, MS_KERBEROS) else None


def _is_raw_kerberos(token: bytes) -> bool:
    # The OID stands behind the length, which is at most five bytes long.
    return token[:1] == b"\x60" and any(oid in token[:20] for oid in _RAW_OIDS)
