"""A running KDC: its port, its clock, its start and its end."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from authsrv.devrealm.errors import MissingProgramError, ProgramError
from authsrv.devrealm.guard import PROCESS_FILE
from authsrv.devrealm.programs import find_program, program_environment

__all__ = ["run_kdc"]

_ATTEMPTS = 5
_START_S = 10.0
_STOP_S = 5.0
_LOOK_EVERY_S = 0.002
_LOG_CHARACTERS = 500

# What krb5kdc writes, with -n, once its sockets are bound. MIT's own tests wait for it, too.
_READY = "starting..."

_LOG = "kdc.log"
# Whoever removes the folder knows of the KDC before there is one; without the folder, none starts.
_SCRIPT = 'echo $$ >"$0" && exec "$@"'

# Only Linux has all of 127.0.0.0/8 without being told to.
_BESIDE = (socket.AF_INET, "127.0.0.2") if sys.platform == "linux" else (socket.AF_INET6, "::1")

_LIBFAKETIME = (
    "/usr/lib/*/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
)


@contextlib.contextmanager
def run_kdc(
    configure: Callable[[int], Mapping[str, str]],
    *,
    folder: Path,
    clock_offset_s: int = 0,
) -> Iterator[int]:
    """Run a KDC on a free port of 127.0.0.1 as long as the block lasts.

    Args:
        configure: Writes the configuration for a port, and answers with the variables that make
            krb5kdc find it. It is called again with another port if the first is taken after all.
        folder: Where the KDC's output and its process id are written; a guard looks there.
        clock_offset_s: By how many seconds the KDC's clock is ahead; negative for behind.

    Yields:
        The port.

    Raises:
        MissingProgramError: krb5kdc is not installed; or libfaketime, and the clock is to be wrong.
        ProgramError: krb5kdc does not start.
    """
    clock, log = _clock_variables(clock_offset_s), folder / _LOG
    for _ in range(_ATTEMPTS):
        with contextlib.ExitStack() as cleanup:
            port = cleanup.enter_context(_reserve_port())
            if not _is_free(port):
                continue
            process = _launch({**configure(port), **clock}, folder)
            cleanup.callback(_stop, process, folder)
            if _wait_until_ready(process, log):
                yield port
                return
    reason = _read(log)[-_LOG_CHARACTERS:].strip() if log.exists() else "no port is free"
    raise ProgramError("krb5kdc", reason)


@contextlib.contextmanager
def _reserve_port() -> Iterator[int]:
    # Up to 1.21, krb5kdc binds with SO_REUSEPORT: two of them on one port both start, and share the
    # requests. From 1.22 on it does not, so nobody can hold its port for it. What is held is the
    # same port of another loopback address: the kernel gives it to no other realm.
    family, host = _BESIDE
    with socket.socket(family) as holder:
        holder.bind((host, 0))
        yield holder.getsockname()[1]


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def _launch(variables: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    command = [str(find_program("krb5kdc")), "-n"]
    # The output goes to a file: a pipe would fill up, or keep waiting whoever reads ours.
    with (folder / _LOG).open("wb") as output:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, str(folder / PROCESS_FILE), *command],
            env=program_environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C at a terminal is for the program inside the realm.
            start_new_session=True,
        )


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if _READY in _read(log):
            return True
        if process.poll() is not None:
            return False
        time.sleep(_LOOK_EVERY_S)
    raise ProgramError("krb5kdc", f"it did not start within {_START_S:g} s")


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    # Before its id can be another's.
    (folder / PROCESS_FILE).unlink(missing_ok=True)
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _clock_variables(offset_s: int) -> dict[str, str]:
    if offset_s == 0:
        return {}
    return {
        "LD_PRELOAD": str(_find_libfaketime()),
        # With a sign it is an offset, without one a point in time.
        "FAKETIME": f"{offset_s:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _find_libfaketime() -> Path:
    for pattern in _LIBFAKETIME:
        for found in Path("/").glob(pattern.removeprefix("/")):
            return found
    raise MissingProgramError("libfaketime.so.1", "libfaketime")
