"""The command `authsrv keys`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from authsrv.cli.main import main


def test_keys_are_made_and_rotated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "keys"
    assert main(["keys", "init", str(folder)]) == 0
    made = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in made] == [
        f"{folder}/sealing.json",
        f"{folder}/signing.json",
    ]
    assert all(": 1 key; the newest, " in line for line in made)
    assert main(["keys", "rotate", "--delay", "60", str(folder)]) == 0
    assert all(": 2 keys; the newest, " in line for line in capsys.readouterr().out.splitlines())
    secret = (folder / "sealing.json").read_text().partition('"secret": "')[2][:43]
    assert secret not in "".join(made)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["init", "{full}"], "sealing.json exists"),
        (["rotate", "{empty}"], "sealing.json: No such file"),
        (["rotate", "--delay", "-1", "{full}"], "delay_seconds must be greater than zero"),
        (["rotate", "--delay", "nan", "{full}"], "delay_seconds must be greater than zero"),
        (["init", ""], "folder must not be empty"),
    ],
)
def test_what_cannot_be_done_is_told_on_one_line(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    empty.mkdir(0o700)
    main(["keys", "init", str(full)])
    capsys.readouterr()
    filled = [each.format(full=full, empty=empty) for each in arguments]
    assert main(["keys", *filled]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("authsrv: ")
    assert expected in said.err
    assert said.err.count("\n") == 1


def test_help_loads_no_library_of_cryptography() -> None:
    code = (
        "import sys; from authsrv.cli.main import main\n"
        "try: main(['keys', 'rotate', '--help'])\n"
        "except SystemExit: print('cryptography' in sys.modules, 'authsrv.service' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "If a key was stolen" in done.stdout
    assert done.stdout.endswith("False False\n")
