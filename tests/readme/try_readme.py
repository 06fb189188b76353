"""What the README prints is typed, as printed, into an empty environment: a newcomer's first hour.

    make test-readme

It is no part of `make test`: it installs from the package index, and listens on the ports that the
README names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
(INSTALLATION,) = (block for block in BLOCKS if "pip install" in block)
IN_A_REALM = [block for block in BLOCKS if "authsrv realm run" in block]

# Where this machine has its packages from; nothing of it is in the README's hands.
KEPT = re.compile(r"HOME|PIP_.*|.*_proxy|SSL_CERT_.*|REQUESTS_CA_BUNDLE", re.IGNORECASE)

# As root there may be no sudo, and nobody is asked whether to go on.
SUDO = '#!/bin/sh\n[ "$(id -u)" = 0 ] || exec /usr/bin/sudo "$@" -y\nexec "$@" -y\n'

Typed = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """Type something into a shell, in a clone where the README's installation was followed."""
    clone, programs = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("programs")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    sudo = programs / "sudo"
    sudo.write_text(SUDO)
    sudo.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    environment = kept | {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}

    def type_in(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", "-e"],
            input=text,
            cwd=clone,
            env={**environment, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    done = type_in(INSTALLATION)
    assert done.returncode == 0, done.stdout + done.stderr
    return lambda text: type_in(f". .venv/bin/activate\n{text}")


def test_what_was_installed_is_there(typed: Typed) -> None:
    done = typed("authsrv --version")
    assert re.fullmatch(r"authsrv \d+\.\d+\.\d+\n", done.stdout), done.stderr


def test_there_are_commands_in_a_realm() -> None:
    assert len(IN_A_REALM) == 2


@pytest.mark.parametrize(
    ("block", "shown"),
    [*zip(IN_A_REALM, [r"alice@AUTHSRV\.TEST", r"GOOD MORNING"], strict=True)],
    ids=["over HTTP", "over streams"],
)
def test_a_command_in_a_realm_shows_who_came(typed: Typed, block: str, shown: str) -> None:
    done = typed(block)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(shown, done.stdout), done.stdout + done.stderr
