"""Logging for applications that have not set up any: `run_app` calls it.

Python's own last resort shows warnings, without time or name, and no log-in. An application that
has said anything about its logs is left alone, also if it says so after `run_app` was called.
"""

from __future__ import annotations

import logging

__all__ = ["log_to_stderr"]

_OURS = ("authsrv", "authsrv.audit")
_SERVERS = "aiohttp"
_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class _LastResort(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to standard error what no other handler is given."""

    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_written_elsewhere(logging.getLogger(record.name)):
            super().emit(record)

    def _is_written_elsewhere(self, log: logging.Logger | None) -> bool:
        while log is not None:
            if any(handler is not self for handler in log.handlers):
                return True
            log = log.parent if log.propagate else None
        return False


def log_to_stderr() -> None:
    """Write what authsrv and aiohttp have to say to standard error, unless logging is set up.

    The log "authsrv" takes INFO: one line for each request that was challenged, authenticated or
    refused. A level that was given to it, or to "authsrv.audit", stays as it is.
    """
    if logging.getLogger().handlers or any(map(_is_set_up, _OURS)):
        return
    handler = _LastResort()
    handler.setFormatter(logging.Formatter(_FORMAT))
    ours = logging.getLogger(_OURS[0])
    ours.addHandler(handler)
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)
    if not _is_set_up(_SERVERS):
        logging.getLogger(_SERVERS).addHandler(handler)


def _is_set_up(name: str) -> bool:
    log = logging.getLogger(name)
    return bool(log.handlers) or not log.propagate
