"""The conformance kit over sspi-rs."""

from __future__ import annotations

import sys

import pytest
from initiators import PyspnegoInitiator, ntlm_credential

from authsrv.core.credentials import Password
from authsrv.providers.sspi.provider import SspiProvider, SspiRsUse
from authsrv.testing.conformance import CHECKS, Case

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sspi-rs knows one user")


def case() -> Case:
    def client(password: str) -> PyspnegoInitiator:
        credential = ntlm_credential("DOMAIN\\alice", password)
        return PyspnegoInitiator(credential, protocol="ntlm")

    known = Password("alice", "Pässword 1", "DOMAIN")
    return Case(
        lambda: SspiProvider("NTLM", credential=known, sspi_rs=SspiRsUse.FOR_TESTS),
        lambda: client("Pässword 1"),
        lambda: client("Pässword 2"),
        "DOMAIN\\alice",
    )


@pytest.mark.parametrize("check", CHECKS)
def test_sspi_rs_passes(check: str) -> None:
    CHECKS[check](case())
