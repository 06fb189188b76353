"""Logs of the service: lines for people, or one JSON object a line for programs.

In JSON, the pairs of an audit line are members of their own, with the same names.
"""

from __future__ import annotations

import datetime
import json
import logging
import re

from authsrv.aiohttp.own_log import log_to_stderr
from authsrv.service.config.settings import LogFormat

__all__ = ["JsonFormatter", "set_up_logs"]

# A pair of an audit line: `authsrv.audit.log` has its grammar.
_PAIR = re.compile(r' ([a-z_]+)=("(?:[^"\\]|\\.)*+"|[^ "]++)')
_WORD = re.compile(r"[a-z-]+")
_AUDIT = "authsrv.audit"


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter.format."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        told: dict[str, str] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "log": record.name,
        }
        message = record.getMessage()
        if record.name == _AUDIT:
            told |= _read_audit(message)
        else:
            told["message"] = message
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


def set_up_logs(log_format: LogFormat) -> None:
    """Write to standard error: what is INFO or more of authsrv, and warnings of everybody else."""
    if log_format is LogFormat.TEXT:
        log_to_stderr()
        return
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("authsrv").setLevel(logging.INFO)


def _read_audit(line: str) -> dict[str, str]:
    word = _WORD.match(line)
    told = {"event": word[0] if word else line}
    for name, value in _PAIR.findall(line):
        told[name] = json.loads(value) if value.startswith('"') else value
    return told
