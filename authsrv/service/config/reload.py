"""The settings in force, and new ones in their place when the files change or SIGHUP comes.

A request takes `current` once and keeps it to its end. New settings replace the old ones whole, or
not at all: a configuration with errors leaves the old one in force, and the service says so until
a good one comes. Files are looked at and read on a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from authsrv.core.settings import as_instance, as_number
from authsrv.errors import ConfigError
from authsrv.service.config.files import Stamp, stamp_of
from authsrv.service.config.loading import Loaded
from authsrv.service.config.problems import Level, Problem
from authsrv.service.config.settings import Settings

__all__ = ["ConfigState", "ReloadEvent", "ReloadOutcome", "SettingsHolder"]

_LOG = logging.getLogger("authsrv.config")

# What is set up once, at start.
_FIXED = (
    "keytab",
    "asks",
    "pages",
    "convention",
    "tls",
    "store_kind",
    "store_path",
    "keys_folder",
    "log_format",
    "limits",
)


class ReloadOutcome(enum.Enum):
    """What came of a reload."""

    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ReloadEvent:
    """A reload, for the audit log and metrics.

    Args:
        outcome: What came of it.
        digest: Names the settings that are in force afterwards.
        problems: Of the new configuration.
    """

    outcome: ReloadOutcome
    digest: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigState:
    """Whether what is in force is what the files say.

    Args:
        digest: Names the settings in force.
        degraded: Why the files were refused; None where they are in force.
    """

    digest: str
    degraded: str | None


class SettingsHolder:
    """Holds the settings in force; `run` keeps them up to date.

    A file that has changed is read once it has been left alone from one look to the next: half a
    file may be good TOML, and its rules are others.

    Args:
        first: What was loaded at start, with settings.
        load: Loads the configuration anew. It runs on a thread.
        apply: Puts new settings in force, on a thread; a ConfigError of it refuses them.
        on_reload: Is told of each reload, on the loop.
        interval_seconds: How often the files are looked at.
    """

    def __init__(
        self,
        first: Loaded,
        load: Callable[[], Loaded],
        apply: Callable[[Settings], None],
        *,
        on_reload: Callable[[ReloadEvent], None] | None = None,
        interval_seconds: float = 2.0,
    ) -> None:
        self._current = as_instance(Settings, first.settings, "first")
        self._load = load
        self._apply = apply
        self._on_reload = on_reload
        self._interval = as_number(interval_seconds, "interval_seconds")
        self._asked = asyncio.Event()
        self._degraded: str | None = None
        # The files as they were when they were read last, and when they were looked at last.
        self._watched = first.watched
        self._seen = first.watched

    @property
    def current(self) -> Settings:
        """The settings in force: for a request, to be taken once."""
        return self._current

    @property
    def state(self) -> ConfigState:
        """Whether they are what the files say."""
        return ConfigState(self._current.digest, self._degraded)

    def request_reload(self) -> None:
        """Have the files read again soon: the handler of SIGHUP. On the loop's thread only.

        Many requests at once are one.
        """
        self._asked.set()

    async def run(self) -> None:
        """Reload when the files change or it was requested, until cancelled."""
        while True:
            # wait_for of Python 3.11 loses a cancellation that comes with the request.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._asked.wait()
            is_asked = self._asked.is_set()
            self._asked.clear()
            found = await asyncio.to_thread(_look_at, tuple(self._watched))
            is_settled = found == self._seen
            self._seen = found
            if is_asked or (is_settled and found != self._watched):
                await self._reload(found)

    async def _reload(self, found: Mapping[str, Stamp | None]) -> None:
        # Whatever comes of it, these files as they are now were tried.
        self._watched = found
        try:
            loaded = await asyncio.to_thread(self._load)
        except Exception:
            # A mistake of ours must not end the reloading, nor put anything half read in force.
            _LOG.exception("the configuration could not be read; the one before stays in force")
            self._refuse("it could not be read", ())
            return
        self._watched = loaded.watched
        if loaded.settings is None:
            errors = [str(each) for each in loaded.problems if each.level is Level.ERROR]
            self._refuse("; ".join(errors), loaded.problems)
        else:
            await self._replace(loaded.settings, loaded.problems)

    def _refuse(self, why: str, problems: tuple[Problem, ...]) -> None:
        self._degraded = why
        _LOG.error("the new configuration is refused, the one before stays in force: %s", why)
        self._tell(ReloadOutcome.REFUSED, problems)

    async def _replace(self, fresh: Settings, problems: tuple[Problem, ...]) -> None:
        if fresh.digest == self._current.digest:
            self._degraded = None
            self._tell(ReloadOutcome.UNCHANGED, problems)
            return
        fixed = {name: getattr(self._current, name) for name in _FIXED}
        waiting = [name for name, value in fixed.items() if getattr(fresh, name) != value]
        if waiting:
            _LOG.warning("these change at the next start only: %s", ", ".join(waiting))
        for problem in problems:
            _LOG.warning("%s", problem)
        merged = replace(fresh, **fixed)
        try:
            await asyncio.to_thread(self._apply, merged)
        except ConfigError as error:
            self._refuse(error.detail, problems)
            return
        self._current, self._degraded = merged, None
        _LOG.info("the configuration was replaced: %s", fresh.digest[:12])
        self._tell(ReloadOutcome.REPLACED, problems)

    def _tell(self, outcome: ReloadOutcome, problems: tuple[Problem, ...]) -> None:
        if self._on_reload is not None:
            self._on_reload(ReloadEvent(outcome, self._current.digest, problems))


def _look_at(files: tuple[str, ...]) -> dict[str, Stamp | None]:
    return {file: stamp_of(file) for file in files}
