"""A test that needs a program which is not there fails, and says what to install."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from programs import find_program, require_file

TESTS = Path(__file__).parent

# Skips, and what may be their reason: the system or the version of Python, or a row of a table
# that a test has no meaning for.
SKIP = re.compile(r"\b(?:pytest\.skip\(|mark\.skip(?:if)?\(|importorskip\()(?:[^()]|\([^()]*\))*\)")
# What only root may do; CI is root.
ROOTS = (
    "os.geteuid() != 0",
    "cannot be mounted here",
    "only root can give a file",
    "root writes everywhere",
)
ALLOWED = ("sys.platform", "sys.version_info", "those of this system", "wait for nobody", *ROOTS)


def test_a_program_that_is_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    python = Path(sys.executable)
    monkeypatch.setenv("PATH", str(python.parent))
    assert find_program(python.name, package="python3") == str(python)


def test_a_missing_program_fails_the_test_and_names_the_debian_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.fail.Exception) as failure:
        find_program("chromium", package="chromium")
    assert "'chromium' is missing: install the Debian package 'chromium'" in str(failure.value)
    assert "make test" in str(failure.value)


def test_a_program_beside_an_ordinary_path_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert find_program("apache2", package="apache2-bin") == "/usr/sbin/apache2"


def test_a_missing_file_fails_the_test_and_names_the_debian_package(tmp_path: Path) -> None:
    require_file(tmp_path, package="none")
    with pytest.raises(pytest.fail.Exception) as failure:
        require_file(tmp_path / "mod.so", package="libapache2-mod")
    assert "mod.so is missing: install the Debian package 'libapache2-mod'" in str(failure.value)


@pytest.mark.parametrize("module", ["krb5", "gssapi", "sspilib", "uvloop"])
def test_the_libraries_that_tests_are_about_are_installed(module: str) -> None:
    assert importlib.util.find_spec(module), f"`make test` installs {module}"


def test_no_test_is_skipped_for_want_of_a_program_or_a_library() -> None:
    found = [
        (str(path.relative_to(TESTS)), reason)
        for path in sorted(TESTS.rglob("*.py"))
        if "windows" not in path.parts
        for reason in SKIP.findall(path.read_text(encoding="utf-8"))
        if not any(allowed in reason for allowed in ALLOWED)
    ]
    assert found == []
