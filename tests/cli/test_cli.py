"""The command `authsrv`, mostly as a process: its signals and exit codes are what it is for."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from waiting import wait_until

import authsrv
from authsrv.cli.main import main

SHOW = """
import json, os, pathlib, signal, sys
def stop(number, _):
    os.write(1, signal.Signals(number).name.encode() + b"\\n")
    raise SystemExit(7)
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, stop)
shown = {name: value for name, value in os.environ.items() if name.startswith("KRB5")}
shown["profile"] = pathlib.Path(os.environ["KRB5_CONFIG"]).read_text()
print(json.dumps(shown), flush=True)
sys.stdin.read()
"""


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "authsrv", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run SHOW in a realm, without a terminal; answer with what it shows."""
    command = [sys.executable, "-m", "authsrv", "realm", "run", *options]
    with subprocess.Popen(
        [*command, "--", sys.executable, "-c", SHOW],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def is_gone(shown: dict[str, str]) -> bool:
    (port,) = re.findall(r"kdc = 127\.0\.0\.1:(\d+)", shown["profile"])
    with socket.socket() as client:
        refused = client.connect_ex(("127.0.0.1", int(port))) != 0
    return refused and not Path(shown["KRB5_CONFIG"]).parent.exists()


def processes_with(variable: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
    return found


class TestCommandLine:
    def test_the_version_is_that_of_the_package(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["--version"])
        assert caught.value.code == 0
        assert capsys.readouterr().out == f"authsrv {authsrv.__version__}\n"
        assert authsrv.__version__ == importlib.metadata.version("authsrv")

    @pytest.mark.parametrize("arguments", [["--help"], ["realm", "--help"]])
    def test_help_names_the_next_command(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        assert "throw-away Kerberos realm" in capsys.readouterr().out

    def test_help_on_realm_run_tells_variables_options_and_packages(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            main(["realm", "run", "--help"])
        text = capsys.readouterr().out
        for word in ("KRB5_CONFIG", "KRB5CCNAME", "KRB5_KTNAME", "--expired", "krb5-admin-server"):
            assert word in text

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ([], "required: COMMAND"),
            (["realm"], "required: COMMAND"),
            (["nonsense"], "invalid choice"),
            (["realm", "run"], "no COMMAND after --"),
            (["realm", "run", "--"], "no COMMAND after --"),
            (
                ["realm", "run", "true"],
                "unrecognized arguments: true; a command to run stands after --",
            ),
            (["realm", "run", "true"], "unrecognized arguments: true"),
            (["realm", "run", "--expired", "--skew", "1", "--", "true"], "not allowed with"),
            (["realm", "run", "--skew", "late", "--", "true"], "invalid int value"),
            (["realm", "run", "--service", "HTTP", "--", "true"], "must be class/host"),
            (["realm", "run", "--user", "a b", "--", "true"], "is no name"),
        ],
    )
    def test_wrong_arguments_are_explained(
        self, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert complaint in capsys.readouterr().err

    def test_importing_it_loads_no_native_library_and_no_realm(self) -> None:
        code = (
            "import sys, authsrv.cli.main; "
            "print([name for name in ('gssapi', 'krb5', 'spnego', 'aiohttp', 'authsrv.devrealm')"
            " if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "[]\n"

    def test_it_is_installed_as_a_script(self) -> None:
        (script,) = importlib.metadata.entry_points(group="console_scripts", name="authsrv")
        assert script.load() is main


@pytest.fixture
def hangup() -> Iterator[None]:
    """SIGHUP as it is at a terminal; under nohup(1) our children would ignore it, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
class TestRealmRun:
    def test_the_program_runs_as_a_user_who_is_logged_in(self) -> None:
        done = run("realm", "run", "--user", "carol", "--user", "bob", "--", "klist")
        assert done.returncode == 0
        assert "Default principal: carol@AUTHSRV.TEST" in done.stdout
        assert "krbtgt/AUTHSRV.TEST@AUTHSRV.TEST" in done.stdout

    def test_other_users_have_caches_beside_the_first(self) -> None:
        script = "KRB5CCNAME=${KRB5CCNAME%.carol}.bob klist"
        done = run("realm", "run", "--user=carol", "--user=bob", "--", "sh", "-c", script)
        assert "Default principal: bob@AUTHSRV.TEST" in done.stdout

    def test_the_keytab_has_all_services(self) -> None:
        services = ("--service", "HTTP/one", "--service", "HTTP/two")
        done = run("realm", "run", *services, "--", "klist", "-k")
        assert "HTTP/one@AUTHSRV.TEST" in done.stdout
        assert "HTTP/two@AUTHSRV.TEST" in done.stdout
        assert "localhost" not in done.stdout

    def test_expired_tickets_can_be_asked_for(self) -> None:
        # klist -s: 1 if there is no ticket that is still good. It believes the machine's clock.
        script = "klist | grep -c HTTP/localhost; klist -s"
        assert run("realm", "run", "--", "sh", "-c", "klist -s").returncode == 0
        done = run("realm", "run", "--expired", "--", "sh", "-c", script)
        assert (done.stdout, done.returncode) == ("1\n", 1)

    def test_a_skew_can_be_asked_for(self) -> None:
        code = (
            "import os, struct; cache = os.environ['KRB5CCNAME'].removeprefix('FILE:');"
            "print(struct.unpack('>i', open(cache, 'rb').read()[8:12])[0])"
        )
        done = run("realm", "run", "--skew", "-420", "--", sys.executable, "-Wignore", "-c", code)
        assert done.stdout == "-420\n"

    @pytest.mark.parametrize("code", [0, 3, 255])
    def test_the_exit_code_is_that_of_the_program(self, code: int) -> None:
        assert run("realm", "run", "--", "sh", "-c", f"exit {code}").returncode == code

    def test_a_program_that_a_signal_ended_gives_128_and_its_number(self) -> None:
        assert run("realm", "run", "--", "sh", "-c", "kill -TERM $$").returncode == 143

    def test_a_program_that_does_not_exist_gives_127(self) -> None:
        done = run("realm", "run", "--", "no-such-program")
        assert (done.returncode, done.stderr) == (127, "authsrv: no-such-program was not found\n")

    def test_a_program_that_cannot_be_run_gives_126(self, tmp_path: Path) -> None:
        done = run("realm", "run", "--", str(tmp_path))
        assert done.returncode == 126
        assert "Permission denied" in done.stderr

    def test_a_missing_program_of_kerberos_gives_125_and_names_the_package(
        self, tmp_path: Path
    ) -> None:
        done = run("realm", "run", "--", "true", PATH=str(tmp_path))
        assert done.returncode == 125
        assert "kinit was not found" in done.stderr
        assert "apt-get install krb5-user" in done.stderr

    def test_a_skew_that_is_too_large_gives_125(self) -> None:
        done = run("realm", "run", "--skew", "100000", "--", "true")
        assert done.returncode == 125
        assert "more than 82800 seconds" in done.stderr

    def test_a_folder_that_cannot_be_made_gives_125(self, tmp_path: Path) -> None:
        full = tmp_path / "file"
        full.touch()
        code = (
            "import sys, tempfile; from authsrv.cli.main import main;"
            "tempfile.tempdir = sys.argv[1];"
            "sys.exit(main(['realm', 'run', '--', 'true']))"
        )
        command = [sys.executable, "-c", code, str(full)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 125
        assert done.stderr == "authsrv: no realm could be made: Not a directory\n"

    def test_a_second_double_dash_belongs_to_the_program(self) -> None:
        done = run("realm", "run", "--", "echo", "--user", "--", "--help")
        assert done.stdout == "--user -- --help\n"

    def test_the_programs_input_and_output_are_ours(self) -> None:
        command = [sys.executable, "-m", "authsrv", "realm", "run", "--", "cat"]
        done = subprocess.run(
            command, input=b"through", capture_output=True, timeout=60, check=False
        )
        assert done.stdout == b"through"

    def test_nothing_is_left_behind_when_the_program_ends(self) -> None:
        with running() as (process, shown):
            assert not is_gone(shown)
            process.communicate("", timeout=30)
            assert process.returncode == 0
            assert is_gone(shown)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signals_are_passed_on_and_nothing_is_left_behind(self, number: signal.Signals) -> None:
        with running() as (process, shown):
            process.send_signal(number)
            assert process.stdout is not None
            assert process.stdout.readline() == f"{number.name}\n"
            assert process.wait(30) == 7
            assert is_gone(shown)

    def test_nothing_is_left_behind_when_it_is_killed(self) -> None:
        with running() as (process, shown):
            process.kill()
            process.wait()
            wait_until(lambda: is_gone(shown))

    def test_a_signal_during_the_start_gives_up_and_leaves_nothing(self, tmp_path: Path) -> None:
        # A kdb5_util that hangs keeps it in its start.
        programs, temporary = tmp_path / "programs", tmp_path / "temporary"
        programs.mkdir()
        temporary.mkdir()
        slow = programs / "kdb5_util"
        slow.write_text("#!/bin/sh\nexec sleep 60\n")
        slow.chmod(0o700)
        variables = {"PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": str(temporary)}
        with subprocess.Popen(
            [sys.executable, "-m", "authsrv", "realm", "run", "--", "true"],
            env={**os.environ, **variables},
            start_new_session=True,
        ) as process:
            wait_until(lambda: any(temporary.iterdir()))
            process.terminate()
            assert process.wait(30) == 128 + signal.SIGTERM
        wait_until(lambda: not any(temporary.iterdir()))

    @pytest.mark.parametrize("made", ["authsrv-guard", "authsrv-realm-", "kdb5_util", "krb5kdc"])
    def test_a_signal_at_the_worst_moment_of_the_start_leaves_nothing(
        self, made: str, tmp_path: Path
    ) -> None:
        """A folder or process is there, and the signal comes before that was written down."""
        done = subprocess.run(
            [sys.executable, "-c", _INTERRUPTED, made],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            timeout=60,
            check=False,
            start_new_session=True,
        )
        assert done.returncode == 128 + signal.SIGTERM
        wait_until(lambda: not any(tmp_path.iterdir()))
        wait_until(lambda: not processes_with(f"TMPDIR={tmp_path}"))

    def test_an_ignored_signal_stays_ignored(self) -> None:
        script = (
            "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
            "os.execv(sys.executable, [sys.executable, '-m', 'authsrv', 'realm', 'run', '--',"
            " 'sh', '-c', 'kill -HUP $PPID; kill -HUP $$; echo alive'])"
        )
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.returncode) == ("alive\n", 0)

    def test_the_terminals_interrupt_reaches_the_program_once(self) -> None:
        """Ctrl-C is sent to the whole foreground by the terminal itself."""
        code = (
            "import signal, sys, time; seen = [];"
            "signal.signal(signal.SIGINT, lambda *_: seen.append(1));"
            "print('ready', flush=True)\n"
            "while not seen: time.sleep(0.01)\n"
            "print('first', flush=True); time.sleep(0.5);"
            "print('seen', len(seen), flush=True)"
        )
        leader, follower = os.openpty()
        with subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, sys.executable, code],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        ) as process:
            os.close(follower)
            _read_until(leader, b"ready")
            # Two signals at once could be taken for one, so ours is held up.
            process.send_signal(signal.SIGSTOP)
            os.write(leader, b"\x03")
            _read_until(leader, b"first")
            process.send_signal(signal.SIGCONT)
            text = _read_until(leader, b"seen")
            assert process.wait(30) == 0
        os.close(leader)
        assert b"seen 1" in text


_INTERRUPTED = """
import os, signal, subprocess, sys, time
made = sys.argv[1]
def interrupt_after(maker):
    def make(what, *arguments, **options):
        result = maker(what, *arguments, **options)
        if made in str([what, *arguments]):
            if made == "krb5kdc":
                time.sleep(0.5)  # it runs by now, and no longer needs its folder to go on
            os.kill(os.getpid(), signal.SIGTERM)
        return result
    return make
if made == "authsrv-realm-":
    os.mkdir = interrupt_after(os.mkdir)
else:
    subprocess.Popen.__init__ = interrupt_after(subprocess.Popen.__init__)
from authsrv.cli.main import main
raise SystemExit(main(["realm", "run", "--", "true"]))
"""

_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "authsrv", "realm", "run", "--",
                          sys.argv[1], "-c", sys.argv[2]])
"""


def _read_until(terminal: int, word: bytes) -> bytes:
    text = b""
    while word not in text or not text.endswith(b"\n"):
        assert select.select([terminal], [], [], 30)[0], text
        try:
            text += os.read(terminal, 1024)
        except OSError:  # Linux's way to tell that nobody has the terminal open any more
            break
    return text
