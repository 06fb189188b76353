"""Kerberos is the only mechanism, whatever else is installed: Debian's gss-ntlmssp, for one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import clean_environment

PROGRAM = Path(__file__).with_name("with_plugin.py")
CONFIGURATION = Path("/etc/gss/mech.d/mech.ntlmssp.conf")


@pytest.fixture(scope="module")
def configuration() -> Path:
    if not CONFIGURATION.is_file():
        pytest.fail("the plug-in for NTLM is not installed: install gss-ntlmssp", pytrace=False)
    return CONFIGURATION


def test_the_tests_have_the_mechanisms_of_mit_alone() -> None:
    assert os.environ["GSS_MECH_CONFIG"] == os.devnull


def test_a_plugin_is_offered_to_nobody_and_stands_in_for_nothing(
    configuration: Path,
    kerberos_environment: dict[str, str],
    kerberos_keytab: Path,
    tmp_path: Path,
) -> None:
    users = tmp_path / "users"
    users.write_text("REALM:alice:a password for NTLM\n")
    done = subprocess.run(
        [sys.executable, PROGRAM, kerberos_keytab],
        env={
            **clean_environment(kerberos_environment),
            "GSS_MECH_CONFIG": str(configuration),
            "NTLM_USER_FILE": str(users),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "mechanism",
        "continue with 1.2.840.113554.1.2.2",
        "keytab",
        "False",
        "no-credential",
    ]
