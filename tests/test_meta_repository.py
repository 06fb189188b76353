"""The repository around the package: commands, extras, the tables of the README, and its files."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_sources import ROOT, SOURCES
from packaging.requirements import Requirement
from programs import find_program

import authsrv
from authsrv.aiohttp import setup
from authsrv.errors import (
    AuthsrvError,
    DeniedError,
    MutualAuthenticationError,
    NoCredentialError,
    PeerError,
    UnavailableError,
)
from authsrv.http.reply import answer_for

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

TARGETS = [
    "help",
    "demo",
    "test",
    "test-debian",
    "test-windows",
    "test-clients",
    "test-pages",
    "test-readme",
    "check",
    "docs",
    "bench",
    "requirements",
    "clean",
]

MADE = {"build", "dist", "__pycache__", ".venv", ".hypothesis", ".mypy_cache", ".ruff_cache"}

# Written so that this file does not hold what it looks for.
MACHINE = re.compile(
    r"(?<![\w.])/(?:[w]ork|[r]oot|[h]ome|[o]pt/(?:wheels|pypi))/"
    r"|[p]ypi\.org|[p]ythonhosted|[e]xtra-index|[i]ndex-url|[f]ind-links"
)
EXTRA = re.compile(r"(?:authsrv|'\.|\"\.)\[([a-z]+(?:,[a-z]+)*)\]")
LINK = re.compile(r"\]\(([^)]+)\)")


def tracked_files() -> list[Path]:
    """The files that are in the repository; outside of one, all that is not made by a command."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        paths = (path for path in ROOT.rglob("*") if not (MADE | {".git"}) & set(path.parts))
    else:
        paths = (ROOT / name for name in listed.split("\0") if name)
    return sorted(path for path in paths if path.is_file())


def texts() -> Iterator[tuple[Path, str]]:
    """The tracked files, as text."""
    for path in tracked_files():
        yield path.relative_to(ROOT), path.read_text(encoding="utf-8", errors="replace")


def leaves(kind: type[AuthsrvError]) -> Iterator[type[AuthsrvError]]:
    """The classes of the package below one that have none below themselves."""
    below = [child for child in kind.__subclasses__() if child.__module__ == "authsrv.errors"]
    for child in below:
        yield from leaves(child)
    if not below:
        yield kind


def help_lines(text: str) -> dict[str, str]:
    """The targets of a Makefile that say what they do, and what they say."""
    return dict(re.findall(r"^([a-z-]+):.*?## (.+)$", text, re.MULTILINE))


def without_make() -> dict[str, str]:
    """The environment without what `make test` hands down to a make inside of it."""
    ours = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def test_every_target_has_a_line_of_help() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for_people = {name for name in targets if not name.startswith("system-")}
    assert for_people == set(TARGETS)
    assert help_lines(MAKEFILE).keys() == for_people


def test_make_alone_lists_the_targets() -> None:
    done = subprocess.run(
        [find_program("make", package="make"), "-C", str(ROOT), "--no-print-directory"],
        env=without_make(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.findall(r"^ *make (\S+) +\S", done.stdout, re.MULTILINE) == TARGETS


def test_ci_runs_the_checks_and_the_commands_of_the_readme() -> None:
    path = ROOT / ".ci" / "run"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert os.access(path, os.X_OK)
    assert lines[0].startswith("#!")
    assert "set -euo pipefail" in lines
    assert {"make check", "make demo", "make test", "make test-clients", "make test-readme"} <= set(
        lines
    )


@pytest.mark.parametrize("target", ["demo", "test", "test-clients", "check", "bench"])
def test_the_readme_names_the_command(target: str) -> None:
    assert re.search(rf"\bmake {target}\b", README)


def test_the_readme_explains_every_argument_of_setup() -> None:
    arguments = inspect.signature(setup).parameters
    named = [name for name in arguments if name != "app"]
    assert [name for name in named if f"\n| `{name}` |" not in README] == []


# What only a client meets; no server answers it over HTTP.
CLIENT_SIDE = {NoCredentialError, MutualAuthenticationError}


def test_the_readme_explains_every_cause_in_the_row_of_its_answer() -> None:
    rows = re.findall(r"^\| (\d{3})\b.*$", README, re.MULTILINE)
    table = dict.fromkeys(rows, "")
    for line in README.splitlines():
        if match := re.match(r"\| (\d{3})\b", line):
            table[match[1]] += line
    missing = [
        kind.code
        for family in (UnavailableError, PeerError, DeniedError)
        for kind in leaves(family)
        if kind not in CLIENT_SIDE
        and f"`{kind.code}`" not in table.get(str(int(answer_for(kind("")).status)), "")
    ]
    assert missing == []


def test_the_readme_places_every_room_in_a_layer() -> None:
    top = {source.module.split(".")[1] for source in SOURCES if "." in source.module}
    table = README.partition("**The rooms.**")[2].partition("\n## ")[0]
    named = {name.rstrip("/") for name in re.findall(r"`([a-z]+/?)`", table)}
    assert top - named == set()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {"#" + heading.lower().replace(" ", "-") for heading in headings}
    local = [link for link in LINK.findall(README) if "://" not in link]
    lost = [link for link in local if link not in anchors and not (ROOT / link).is_file()]
    assert lost == []


def test_nothing_in_the_readme_waits_to_be_filled_in() -> None:
    assert re.findall(r"@@\w*@@|\bTODO\b|\bTBD\b", README) == []


def requirements(name: str) -> list[str]:
    """The requirements of a file, each with its hashes on one line."""
    text = (ROOT / f"requirements-{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]


@pytest.mark.parametrize("name", ["build", "dev"])
def test_what_development_needs_is_pinned_with_hashes_and_names_no_host(name: str) -> None:
    hashed = re.compile(r"[a-z0-9-]+==\S+ (?: *; [^;]+?)?(?: +--hash=sha256:[0-9a-f]{64})+")
    assert requirements(name)
    assert [line for line in requirements(name) if not hashed.fullmatch(line.rstrip())] == []


def test_the_pins_are_within_what_the_project_asks_for() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    asked = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
    asked += [need for extra in extras.values() for need in extra]
    asked += PROJECT["build-system"]["requires"]
    lines = requirements("build") + requirements("dev")
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", "\n".join(lines), re.MULTILINE))
    wrong = []
    for need in map(Requirement, asked):
        pinned = pins.get(need.name.lower())
        if need.name != "authsrv" and (pinned is None or pinned not in need.specifier):
            wrong.append((str(need), pinned))
    assert wrong == []


def test_the_makefile_installs_nothing_for_development_without_hashes() -> None:
    recipe = MAKEFILE.partition("\n$(STAMP):")[2].partition("\n\n")[0]
    installs = [line for line in recipe.splitlines() if "install" in line or "$(PIP)" in line]
    assert len(installs) == 3
    assert [
        line for line in installs if "--require-hashes" not in line and "--no-deps" not in line
    ] == []
    assert ["--no-build-isolation" in line for line in installs] == [False, True, True]


def test_the_changes_tell_of_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {authsrv.__version__}" in changes


def test_the_licence_is_the_one_that_the_package_names() -> None:
    assert PROJECT["project"]["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_the_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == authsrv.__version__


def test_the_core_depends_on_nothing_that_needs_a_compiler() -> None:
    names = [re.split(r"[<>=~\[; ]", need)[0] for need in PROJECT["project"]["dependencies"]]
    assert sorted(names) == ["aiohttp", "pyspnego"]


def test_every_extra_that_is_named_anywhere_exists() -> None:
    extras = PROJECT["project"]["optional-dependencies"].keys()
    assert {"dev", "kerberos", "test", "uvloop"} <= extras
    named = {
        (str(path), extra)
        for path, text in texts()
        for group in EXTRA.findall(text)
        for extra in group.split(",")
    }
    assert {extra for _, extra in named} >= {"kerberos", "uvloop"}
    assert {(path, extra) for path, extra in named if extra not in extras} == set()


def test_the_console_script_can_be_called() -> None:
    module, _, name = PROJECT["project"]["scripts"]["authsrv"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (ROOT / "authsrv" / "py.typed").is_file()
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["authsrv"]


def test_no_file_knows_the_machine_that_it_was_written_on() -> None:
    found = [
        f"{path}:{number}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert found == []


def test_what_is_made_by_a_command_is_not_tracked() -> None:
    tracked = [path.relative_to(ROOT) for path in tracked_files()]
    assert [str(path) for path in tracked if MADE & set(path.parts)] == []
