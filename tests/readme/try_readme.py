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
(INSTALLATION,) = (block for block in BLOCKS if "pip install '.[kerberos" in block)
(SERVICE,) = (block for block in BLOCKS if "pip install '.[service]'" in block)
(FIRST_SITE,) = (block for block in BLOCKS if "authsrv init" in block)
IN_A_REALM = [block for block in BLOCKS if "authsrv realm run" in block]
# What changes the machine, and is not typed: packages are there, and nobody is added.
UNTYPED = ("apt install", "adduser")

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


def typed_by_an_operator(block: str, folder: Path) -> str:
    """The commands of a block, as whoever tests it, in folders of the test's own."""
    lines = [line for line in block.splitlines() if not any(each in line for each in UNTYPED)]
    text = "\n".join(lines).replace("sudo -u authsrv ", "").replace("sudo ", "")
    text = text.replace("-o authsrv -g authsrv ", "")
    for place in ("/opt", "/etc", "/var/lib", "/run", "/usr/local/bin"):
        text = text.replace(f"{place}/", f"{folder}{place}/")
    return text + "\n"


def test_an_operator_comes_to_a_service_that_listens(typed: Typed, tmp_path: Path) -> None:
    for place in ("opt", "etc", "var/lib", "run", "usr/local/bin"):
        (tmp_path / place).mkdir(parents=True)
    path = f'export PATH="{tmp_path}/usr/local/bin:$PATH"\n'
    done = typed(path + typed_by_an_operator(SERVICE, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    # Folders that the configuration has by default are the machine's.
    there = tmp_path / "etc/authsrv/authsrv.toml"
    moved = f"sed -i 's#/run/authsrv#{tmp_path}/run/authsrv#' {there}\n"
    moved += f"printf '\\n[keys]\\nfolder = \"{tmp_path}/var/lib/authsrv/keys\"\\n' >>{there}\n"
    init, rest = typed_by_an_operator(FIRST_SITE, tmp_path).split("authsrv keys", 1)
    # Until it says that it listens.
    rest = rest.replace("authsrv serve", "timeout -s INT 5 authsrv serve") + "true\n"
    script = tmp_path / "operator.sh"
    keytab = f'install -m 0600 "${{KRB5_KTNAME#FILE:}}" {tmp_path}/etc/authsrv/http.keytab\n'
    script.write_text(
        f"set -e\n{path}{keytab}{init}{moved}authsrv keys{rest}".replace(
            "timeout -s INT", "set +e; timeout -s INT"
        )
    )
    services = "--service HTTP/wiki.example.org --service HTTP/login.example.org"
    done = typed(f"{path}authsrv realm run {services} -- bash {script}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is good" in done.stdout
    assert "listening: asks at unix:" in done.stdout, done.stdout + done.stderr
