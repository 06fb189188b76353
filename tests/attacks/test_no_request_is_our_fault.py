"""Whatever the content of one request, a healthy server does not say that it is broken."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from initiators import INTEGRITY, MUTUAL, kerberos_token
from mutations import Mutations, ask, is_our_fault, lists_and_frames, told

from authsrv.providers.base import SecurityPackage
from authsrv.providers.gssapi.acceptor import GssapiPackage
from authsrv.providers.kerberos.keytab import KeytabFile
from authsrv.providers.pyspnego import PyspnegoPackage
from authsrv.providers.replay import ProcessReplayCache

MUTATIONS = 10_000
SEED = 8

PACKAGES: dict[str, Callable[[Path], SecurityPackage]] = {
    "MIT's cache": GssapiPackage,
    "cache in the process": lambda keytab: GssapiPackage(keytab, replay=ProcessReplayCache()),
    "pyspnego": lambda keytab: PyspnegoPackage(),
}


@pytest.fixture(params=PACKAGES.values(), ids=PACKAGES)
def package(
    request: pytest.FixtureRequest, kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> SecurityPackage:
    made: SecurityPackage = request.param(kerberos_keytab)
    return made


@pytest.mark.parametrize("flags", [[MUTUAL], [INTEGRITY]], ids=["mutual", "not mutual"])
def test_every_list_of_mechanisms_with_every_frame(
    package: SecurityPackage, flags: list[object]
) -> None:
    outcomes: Counter[str] = Counter()
    for about, token in lists_and_frames(kerberos_token(flags=flags)):
        result = ask(package, (token,))
        assert not is_our_fault(result), (about, result)
        outcomes[told(result)] += 1
    assert {"Established", "replay", "mechanism", "bad-token"} <= set(outcomes)


def test_ten_thousand_mutations_of_good_tokens(
    package: SecurityPackage, kerberos_keytab: Path
) -> None:
    outcomes: Counter[str] = Counter()
    handshakes = Mutations(KeytabFile(kerberos_keytab).snapshot(), SEED)
    for number, tokens in enumerate(itertools.islice(handshakes, MUTATIONS // len(PACKAGES) + 1)):
        result = ask(package, tokens)
        assert not is_our_fault(result), (number, result, [token.hex() for token in tokens])
        outcomes[told(result)] += 1
    # They get far enough to be worth something.
    assert outcomes["Established"] > 100
    assert {"replay", "logon-denied", "encryption-type", "unknown"} <= set(outcomes)
