"""What libkrb5 itself reads in krb5.conf, asked of libkrb5: how far clocks may differ, above all.

A replay cache that forgets before the ticket does is none; so the value has to be the one that
libkrb5 goes by, wherever its configuration comes from. No Python binding gives it: krb5_get_profile
is called through ctypes.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from authsrv.errors import ConfigError
from authsrv.providers.kerberos.library import load_libkrb5

__all__ = ["clock_skew", "process_replay_cache", "read_clock_skew", "read_replay_cache_name"]

_DEFAULT_SKEW_S: Final = 300
# How often the file is looked at. libkrb5 itself does not look more often than once a second.
_LOOK_EVERY_S: Final = 1.0
_SECTION: Final = b"libdefaults"


class _Cached:
    """The last answer, and until when it holds."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._skew = _DEFAULT_SKEW_S
        self._until = 0.0

    def get(self) -> int:
        now = time.monotonic()
        if now >= self._until:
            with self._guard:
                self._skew = read_clock_skew()
                self._until = now + _LOOK_EVERY_S
        return self._skew


_CACHED: Final = _Cached()


def clock_skew() -> int:
    """How many seconds two clocks may differ, as read at most a second ago. It may block.

    Raises:
        ConfigError: See read_clock_skew.
    """
    return _CACHED.get()


def read_clock_skew() -> int:
    """Read how many seconds two clocks may differ. It blocks.

    Returns:
        The seconds, 0 or more; 300 where the configuration says nothing.

    Raises:
        ConfigError: The value is not a number of seconds ("10m" is not), or libkrb5 cannot read its
            configuration.
    """
    found = ctypes.c_int()
    with _open_profile() as (library, profile):
        failed = library.profile_get_integer(
            profile, _SECTION, b"clockskew", None, _DEFAULT_SKEW_S, ctypes.byref(found)
        )
    if failed or found.value < 0:
        raise ConfigError("the clockskew in krb5.conf is no number of seconds")
    return found.value


def read_replay_cache_name() -> str:
    """Read the name of the replay cache that the configuration chooses for the process. It blocks.

    Returns:
        Such as "dfl:" or "none:"; empty where the configuration says nothing.

    Raises:
        ConfigError: libkrb5 cannot read its configuration.
    """
    found = ctypes.c_char_p()
    with _open_profile() as (library, profile):
        failed = library.profile_get_string(
            profile, _SECTION, b"default_rcache_name", None, b"", ctypes.byref(found)
        )
        name = (found.value or b"").decode(errors="replace")
        library.profile_release_string(found)
    if failed:
        raise ConfigError("the default_rcache_name in krb5.conf cannot be read")
    return name


def process_replay_cache() -> str:
    """Tell the replay cache that libkrb5 takes where no credential names another. It blocks.

    Returns:
        Its name; "none:" where the environment or the configuration switches it off.

    Raises:
        ConfigError: libkrb5 cannot read its configuration.
    """
    name = os.environ.get("KRB5RCACHENAME") or os.environ.get("KRB5RCACHETYPE")
    return name or read_replay_cache_name() or "dfl:"


@contextmanager
def _open_profile() -> Iterator[tuple[Any, ctypes.c_void_p]]:
    library = _library()
    context, profile = ctypes.c_void_p(), ctypes.c_void_p()
    if library.krb5_init_context(ctypes.byref(context)):
        raise ConfigError("libkrb5 cannot read its configuration")
    try:
        if library.krb5_get_profile(context, ctypes.byref(profile)):
            raise ConfigError("libkrb5 does not tell its configuration")
        try:
            yield library, profile
        finally:
            library.profile_release(profile)
    finally:
        library.krb5_free_context(context)


def _library() -> Any:
    try:
        return load_libkrb5()
    except OSError:
        raise ConfigError("libkrb5 is not there to be asked for its configuration") from None
