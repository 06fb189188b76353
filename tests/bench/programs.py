"""The bench's own programs in C: compiled here, kept under build/bench."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from faults import MissingPeerError

__all__ = ["Programs", "compile_programs"]

_SOURCES = Path(__file__).parent / "native"


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the compiled programs are.

    Args:
        tokens: Makes AP-REQ tokens in advance.
        accept_loop: The loop around gss_accept_sec_context.
        load: The load generator.
    """

    tokens: Path
    accept_loop: Path
    load: Path


def compile_programs(folder: Path) -> Programs:
    """Compile all programs into a folder.

    Args:
        folder: Made if it is not there.

    Returns:
        The paths of the programs.

    Raises:
        MissingPeerError: There is no C compiler, or the headers of MIT Kerberos are missing.
        subprocess.CalledProcessError: A program does not compile.
    """
    for tool, package in (("gcc", "gcc"), ("krb5-config", "libkrb5-dev")):
        if shutil.which(tool) is None:
            raise MissingPeerError(f"{tool} is missing (Debian package {package})")
    folder.mkdir(parents=True, exist_ok=True)
    return Programs(*(_compile(name, folder) for name in ("tokens", "accept_loop", "load")))


def _compile(name: str, folder: Path) -> Path:
    program = folder / name
    source = _SOURCES / f"{name}.c"
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    flags = [_krb5_flags("--cflags"), _krb5_flags("--libs")]
    command = ["gcc", "-O2", "-Wall", "-Wextra", *flags[0], "-o", str(program), str(source)]
    subprocess.run([*command, *flags[1]], check=True, timeout=120)
    return program


def _krb5_flags(kind: str) -> list[str]:
    command = ["krb5-config", kind, "gssapi"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
