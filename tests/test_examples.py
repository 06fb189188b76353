"""The examples and the README's code: they compile, they are programs, and the first one works."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from people import Person, appear
from programs import find_program
from serving import serve, server_environment

from authsrv.devrealm import Realm

pytestmark = pytest.mark.xdist_group("interop")

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
README = ROOT / "README.md"

CODE_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

WITH_OPTIONS = [path for path in EXAMPLES if "argparse" in path.read_text(encoding="utf-8")]

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)


def code_blocks() -> list[str]:
    """The Python code of the README, block by block."""
    return CODE_BLOCK.findall(README.read_text(encoding="utf-8"))


def first_application() -> str:
    """The README's first whole application: what a newcomer copies."""
    blocks = [block for block in code_blocks() if "setup(" in block]
    assert blocks, "the README has no python block with setup(...)"
    return blocks[0]


def fitted(application: str, keytab: Path) -> str:
    """The application with this realm's keytab, and on loopback, on any port that is free."""
    text, keytabs = re.subn(r"keytab=(['\"]).*?\1", f"keytab={str(keytab)!r}", application)
    assert keytabs == 1, "the README's application names no keytab"
    text = re.sub(r"\b(host|port)=[^,)]+,?\s*", "", text)
    text, runs = re.subn(r"\brun_app\((\w+),?\s*", r'run_app(\1, host="127.0.0.1", port=0, ', text)
    assert runs == 1, "the README's application is not started by run_app(app)"
    return text


@pytest.fixture(scope="module")
def person(kerberos_realm: Realm) -> Person:
    """Somebody who has logged in."""
    somebody = appear(kerberos_realm, "erna")
    kerberos_realm.login("erna")
    return somebody


def test_there_are_examples() -> None:
    assert EXAMPLES


@each_example
def test_an_example_compiles_and_says_what_it_is(example: Path) -> None:
    tree = ast.parse(example.read_text(encoding="utf-8"), str(example))
    compile(tree, str(example), "exec")
    assert ast.get_docstring(tree)


@each_example
def test_an_example_runs_as_a_program_and_not_when_it_is_imported(example: Path) -> None:
    tree = ast.parse(example.read_text(encoding="utf-8"))
    guards = [node for node in tree.body if isinstance(node, ast.If)]
    assert any(ast.unparse(node.test) == "__name__ == '__main__'" for node in guards)
    plain = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.If)
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert [node.lineno for node in tree.body if not isinstance(node, (*plain, *named))] == []


@pytest.mark.parametrize("example", WITH_OPTIONS, ids=lambda path: path.name)
def test_an_example_explains_its_options(example: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "usage:" in done.stdout


def test_all_python_code_in_the_readme_compiles() -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for number, block in enumerate(code_blocks()):
        compile(block, f"README.md, python block {number}", "exec", flags=flags)


def test_the_application_in_the_readme_greets_somebody_with_a_ticket(
    kerberos_realm: Realm, person: Person, tmp_path: Path
) -> None:
    program = tmp_path / "application.py"
    program.write_text(fitted(first_application(), kerberos_realm.keytab), encoding="utf-8")
    curl = find_program("curl", package="curl")
    command = [sys.executable, str(program)]
    with serve(command, server_environment(kerberos_realm)) as served:
        done = subprocess.run(
            [curl, "--disable", "--silent", "--fail", "--negotiate", "--user", ":", served.url],
            env=person.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, served.logged()
        assert person.principal in done.stdout
