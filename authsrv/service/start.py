"""What the service needs of the machine: its keys, and folders for its sockets."""

from __future__ import annotations

import os
from pathlib import Path

from authsrv.errors import ConfigError
from authsrv.service.config.problems import Findings
from authsrv.service.config.settings import Endpoint, Settings
from authsrv.service.key_files import FILE_NAMES, KeyFile
from authsrv.service.server import Service

__all__ = ["make_service"]


def make_service(settings: Settings, file: str | os.PathLike[str]) -> Service:
    """Make the service, if it could start here; it does not listen yet, nor open its store.

    Args:
        settings: The settings to begin with.
        file: The configuration that they are of.

    Raises:
        ConfigError: It could not. The detail has all that is missing, one a line.
    """
    findings = Findings(os.fspath(file))
    _check_keys(settings.keys_folder, findings)
    _check_place("listen.asks", settings.asks, findings)
    _check_place("listen.pages", settings.pages, findings)
    if not findings.has_errors:
        made = findings.attempt("", lambda: Service(settings))
        if made is not None:
            return made
    raise ConfigError("\n".join(map(str, findings.problems)))


def _check_keys(folder: str, findings: Findings) -> None:
    paths = {kind: Path(folder, name) for kind, name in FILE_NAMES.items()}
    missing = [path for path in paths.values() if _is_missing(path)]
    if len(missing) == len(paths):
        what = "has no keys" if os.path.isdir(folder) else "of the keys is not there"
        findings.error("keys.folder", f"the folder {folder} {what}", f"authsrv keys init {folder}")
        return
    for kind, path in paths.items():
        remedy = (
            f"put back a copy of it; or remove the other file, too, and make both anew, which ends "
            f"all sessions: authsrv keys init {folder}"
            if path in missing
            else ""
        )
        findings.attempt("keys.folder", lambda: KeyFile(path, kind), remedy)  # noqa: B023


def _is_missing(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        # Whoever reads it tells why it cannot be.
        return False
    return False


def _check_place(key: str, endpoint: Endpoint, findings: Findings) -> None:
    if endpoint.path is None:
        return
    folder = os.path.dirname(endpoint.path)
    if not os.path.isdir(folder):
        findings.error(
            key,
            f"the folder {folder} of the socket does not exist",
            "create it, or let systemd do it (RuntimeDirectory)",
        )
    elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        findings.error(
            key,
            f"the folder {folder} of the socket cannot be written",
            "give it to the user of the service",
        )
