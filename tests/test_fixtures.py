"""The pytest plugin, used as a project does that has authsrv installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = 'pytest_plugins = ["authsrv.testing.fixtures"]\n'

USE = """
import os
from pathlib import Path
import subprocess

def test_alice_is_logged_in(kerberos_environment):
    listed = subprocess.run(["klist"], capture_output=True, text=True, check=True).stdout
    assert "Default principal: alice@AUTHSRV.TEST" in listed
    assert "HTTP/localhost" not in listed
    subprocess.run(["kvno", "HTTP/localhost"], check=True)
    Path("config").write_text(os.environ["KRB5_CONFIG"])

def test_the_cache_is_fresh_and_the_realm_is_the_same(kerberos_environment):
    listed = subprocess.run(["klist"], capture_output=True, text=True, check=True).stdout
    assert "HTTP/localhost" not in listed
    assert Path("config").read_text() == kerberos_environment["KRB5_CONFIG"]

def test_the_environment_is_restored(kerberos_realm):
    assert "KRB5_CONFIG" not in os.environ
    assert "KRB5CCNAME" not in os.environ

def test_the_keytab_has_the_service(kerberos_keytab):
    command = ["klist", "-k", str(kerberos_keytab)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "HTTP/localhost@AUTHSRV.TEST" in listed
"""

SHOW = """
import os, pathlib, pytest, time

@pytest.mark.parametrize("number", range(8))
def test_show(kerberos_realm, number):
    pathlib.Path(os.environ["SHOW"], str(os.getpid())).write_text(str(kerberos_realm.keytab))
    time.sleep(0.05)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in ("KRB5_CONFIG", "KRB5CCNAME", "KRB5_KTNAME"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest(PLUGIN)
    return pytester


def test_the_fixtures_give_a_realm_an_environment_and_a_keytab(project: pytest.Pytester) -> None:
    project.makepyfile(USE)
    project.runpytest_subprocess(
        "-p", "no:xdist", "-p", "no:asyncio", "-W", "error"
    ).assert_outcomes(passed=4)
    config = Path(project.path, "config").read_text()
    assert not Path(config).parent.exists()


def test_each_xdist_worker_has_a_realm_of_its_own(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = project.mkdir("shown")
    monkeypatch.setenv("SHOW", str(shown))
    project.makepyfile(SHOW)
    project.runpytest_subprocess("-n", "2").assert_outcomes(passed=8)
    keytabs = {path.read_text() for path in shown.iterdir()}
    assert len(keytabs) == len(list(shown.iterdir())) == 2
    assert not any(Path(keytab).exists() for keytab in keytabs)


def test_a_missing_program_fails_the_test_and_names_the_package(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile("def test_it(kerberos_realm): pass")
    monkeypatch.setenv("PATH", str(project.mkdir("empty")))
    result = project.runpytest_subprocess("-p", "no:xdist")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*kinit was not found*apt-get install krb5-user*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_testing_package_does_not_need_pytest() -> None:
    code = "import sys, authsrv.testing; print('pytest' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
