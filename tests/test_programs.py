"""A test that needs a program which is not there fails, and says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import find_program


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
