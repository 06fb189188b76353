"""Whatever the content of one request, a healthy server does not say that it is broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from initiators import INTEGRITY, MUTUAL, kerberos_token
from mutations import ask, lists_and_frames, mutations

from authsrv.errors import DeniedError, PeerError
from authsrv.packages.gssapi import GssapiPackage
from authsrv.packages.replay import MITReplayCache, ProcessReplayCache, ReplayProtection
from authsrv.results import Refused, Result

MUTATIONS = 10_000
SEED = 8


def demand_no_fault_of_ours(result: Result, about: object) -> None:
    if isinstance(result, Refused):
        assert isinstance(result.error, PeerError | DeniedError), (about, result.error)


@pytest.fixture(params=[MITReplayCache, ProcessReplayCache])
def package(
    request: pytest.FixtureRequest, kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> GssapiPackage:
    replay: ReplayProtection = request.param()
    return GssapiPackage(kerberos_keytab, replay=replay)


@pytest.mark.parametrize("flags", [[MUTUAL], [INTEGRITY]], ids=["mutual", "not mutual"])
def test_every_list_of_mechanisms_with_every_frame(
    package: GssapiPackage, flags: list[object]
) -> None:
    accepted = 0
    for about, token in lists_and_frames(kerberos_token(flags=flags)):
        result = ask(package, token)
        accepted += not isinstance(result, Refused)
        demand_no_fault_of_ours(result, about)
    assert accepted


def test_ten_thousand_mutations_of_good_tokens(package: GssapiPackage) -> None:
    for number, token in enumerate(mutations(MUTATIONS // 2, SEED)):
        demand_no_fault_of_ours(ask(package, token), (number, token.hex()))
