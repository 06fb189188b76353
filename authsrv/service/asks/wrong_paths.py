"""Requests at the listener of asks that are none: a proxy that is configured wrong, mostly."""

from __future__ import annotations

import logging
from collections.abc import Callable

from authsrv.service.asks.conventions import Convention

__all__ = ["WrongPaths"]

_LOG = logging.getLogger("authsrv")

_PAUSE_SECONDS = 60.0
_MAX_SHOWN = 64
# What stands further behind is a client's, where a proxy appends the client's path to its own.
_SEGMENTS_SHOWN = 2


class WrongPaths:
    """Warns of them, once a minute at most.

    Args:
        convention: How the proxy should ask.
        clock: Seconds that never go back.
    """

    def __init__(self, convention: Convention, clock: Callable[[], float]) -> None:
        self._convention = convention
        self._clock = clock
        self._silent_until = float("-inf")

    def note(self, target: str) -> None:
        """Take notice of a request with a target that is no ask's."""
        now = self._clock()
        if now < self._silent_until:
            return
        self._silent_until = now + _PAUSE_SECONDS
        _LOG.warning(
            "not an ask: %s came, and proxy.convention %s asks at %s",
            _shape_of(target),
            self._convention.name,
            self._convention.path,
        )


def _shape_of(target: str) -> str:
    """The beginning of a path, without its query."""
    parts = target.partition("?")[0].split("/")
    shown = "/".join(parts[: _SEGMENTS_SHOWN + 1])
    shape = ascii(shown[:_MAX_SHOWN])[1:-1]
    is_whole = len(parts) <= _SEGMENTS_SHOWN + 1 and len(shown) <= _MAX_SHOWN
    return shape if is_whole else f"{shape}..."
