"""Running a program inside a realm, as ``authsrv realm run`` does.

The program gets our signals, and we give its exit code. Whatever happens, the realm is taken down
before we end; so a signal never ends us where we stand.
"""

from __future__ import annotations

import enum
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, Final, Self

from authsrv.devrealm.errors import RealmError
from authsrv.devrealm.realm import Realm

__all__ = ["run_in_realm"]

# As of env(1), timeout(1) and docker run, so that our codes are not taken for the program's.
_OUR_FAILURE: Final = 125
_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
# As shells do for a program that a signal ended.
_SIGNALLED: Final = 128

_SIGNALS: Final = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def run_in_realm(
    command: Sequence[str], *, realm: Realm, prepare: Callable[[Realm], object]
) -> int:
    """Run a program in a realm that lasts as long as the program.

    It is to be called in the main thread. SIGINT, SIGTERM and SIGHUP are passed on to the program.

    Args:
        command: The program and its arguments.
        realm: The realm, not running.
        prepare: Called when the realm runs and the program does not yet: logs users in.

    Returns:
        The program's exit code; 128 and the signal's number if a signal ended it; 125 if there is
        no realm, 126 if the program cannot be run, 127 if it was not found.

    Raises:
        SystemExit: A signal came before the program ran.
    """
    try:
        with _Relay() as relay, realm:
            prepare(realm)
            return relay.run(command, {**os.environ, **realm.environment()})
    except RealmError as error:
        return _fail(_OUR_FAILURE, error.detail)
    except OSError as error:
        return _fail(_OUR_FAILURE, f"no realm could be made: {os.strerror(error.errno or 0)}")


class _Phase(enum.Enum):
    """What a signal means."""

    BEFORE = enum.auto()
    """Nothing runs yet: give up."""

    STARTING = enum.auto()
    """The program may run already, but we do not know it yet: keep the signal."""

    RUNNING = enum.auto()
    """Pass it on."""

    AFTER = enum.auto()
    """We are cleaning up already."""


class _Relay:
    """Receives our signals and passes them on."""

    def __init__(self) -> None:
        self._phase = _Phase.BEFORE
        self._kept: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            # What nohup(1) or a shell has us ignore, the program ignores, too.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        self._phase = _Phase.STARTING
        try:
            self._process = subprocess.Popen(command, env=environment)
        except FileNotFoundError:
            return _fail(_NOT_FOUND, f"{command[0]} was not found")
        except OSError as error:
            return _fail(_NOT_EXECUTABLE, f"{command[0]}: {os.strerror(error.errno or 0)}")
        else:
            return self._wait_for(self._process)
        finally:
            self._phase = _Phase.AFTER

    def _wait_for(self, process: subprocess.Popen[bytes]) -> int:
        self._phase = _Phase.RUNNING
        for number in self._kept:
            self._pass_on(number)
        code = process.wait()
        return _SIGNALLED - code if code < 0 else code

    def _receive(self, number: int, _: FrameType | None) -> None:
        match self._phase:
            case _Phase.BEFORE:
                self._phase = _Phase.AFTER
                raise SystemExit(_SIGNALLED + number)
            case _Phase.STARTING:
                self._kept.append(number)
            case _Phase.RUNNING:
                self._pass_on(number)
            case _Phase.AFTER:
                pass

    def _pass_on(self, number: int) -> None:
        if self._process is not None and not _came_from_terminal(number):
            self._process.send_signal(number)


def _came_from_terminal(number: int) -> bool:
    # Ctrl-C reaches all programs in the foreground of the terminal. Passed on, it would reach ours
    # twice, and the second one interrupts its cleaning up.
    if number != signal.SIGINT:
        return False
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)


def _fail(code: int, cause: str) -> int:
    sys.stderr.write(f"authsrv: {cause}\n")
    return code
