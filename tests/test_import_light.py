"""What an import brings along: the core installs without a compiler and loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ["gssapi", "krb5", "spnego", "cryptography", "uvloop", "lmdb", "pydantic", "jinja2"]
KERBEROS = ["gssapi", "krb5"]

# None in sys.modules makes an import fail as if the library were not installed.
WITHOUT = f"import sys\nfor name in {KERBEROS}: sys.modules[name] = None\n"

SETUP = """
from aiohttp import web
from authsrv.aiohttp import setup
from authsrv.errors import ConfigError
try:
    setup(web.Application(), {arguments})
except ConfigError as error:
    print(error)
"""

SCRIPTED = """
from aiohttp import web
from authsrv.aiohttp import setup
from authsrv.providers.scripted import ScriptedProvider
print(setup(web.Application(), provider=ScriptedProvider({})))
"""


def run_python(code: str) -> str:
    """Run code in a fresh interpreter and answer what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by(module: str) -> set[str]:
    """The libraries that are loaded once a module has been imported."""
    code = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    return {name.partition(".")[0] for name in json.loads(run_python(code))}


@pytest.mark.parametrize("module", ["authsrv", "authsrv.aiohttp", "authsrv.cli.main"])
def test_an_import_loads_no_heavy_library(module: str) -> None:
    assert loaded_by(module) & set(HEAVY) == set()


def test_the_pages_load_their_templates_when_one_is_shown() -> None:
    assert "jinja2" not in loaded_by("authsrv.service.pages.page, authsrv.service.pages.look")


def test_the_core_does_not_load_aiohttp() -> None:
    assert "aiohttp" not in loaded_by("authsrv")


def test_the_list_of_heavy_libraries_is_of_libraries_that_can_be_loaded() -> None:
    assert set(HEAVY) <= loaded_by(f"{', '.join(HEAVY)}")


@pytest.mark.parametrize("module", ["authsrv", "authsrv.aiohttp"])
def test_an_import_works_without_the_kerberos_libraries(module: str) -> None:
    assert run_python(f"{WITHOUT}import {module}; print('imported')") == "imported"


@pytest.mark.parametrize("missing", KERBEROS)
def test_a_keytab_without_the_kerberos_libraries_names_the_extra_to_install(missing: str) -> None:
    without = f"import sys\nsys.modules[{missing!r}] = None\n"
    said = run_python(without + SETUP.format(arguments="keytab='http.keytab'"))
    assert "authsrv[kerberos]" in said
    assert missing in said


def test_another_package_can_be_set_up_without_the_kerberos_libraries() -> None:
    assert "NegotiateAuth" in run_python(WITHOUT + SCRIPTED)
