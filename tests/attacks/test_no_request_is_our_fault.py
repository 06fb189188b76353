"""Whatever the content of one request, a healthy server does not say that it is broken."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from initiators import INTEGRITY, MUTUAL, kerberos_token
from mutations import Mutations, ask, is_our_fault, lists_and_frames, told

from authsrv.providers.base import SecurityProvider
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos.keytab import KeytabFile
from authsrv.providers.pyspnego import PyspnegoProvider
from authsrv.providers.replay import MITReplayCache
from authsrv.stores.memory import MemoryStore

MUTATIONS = 10_000
SEED = 8

PACKAGES: dict[str, Callable[[Path], SecurityProvider]] = {
    "store": GssapiProvider,
    "store in the process": lambda keytab: GssapiProvider(keytab, replay=MemoryStore()),
    "MIT's cache": lambda keytab: GssapiProvider(keytab, replay=MITReplayCache()),
    "pyspnego": lambda keytab: PyspnegoProvider(),
}


@pytest.fixture(params=PACKAGES.values(), ids=PACKAGES)
def provider(
    request: pytest.FixtureRequest, kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> SecurityProvider:
    made: SecurityProvider = request.param(kerberos_keytab)
    return made


@pytest.mark.parametrize("flags", [[MUTUAL], [INTEGRITY]], ids=["mutual", "not mutual"])
def test_every_list_of_mechanisms_with_every_frame(
    provider: SecurityProvider, flags: list[object]
) -> None:
    outcomes: Counter[str] = Counter()
    for about, token in lists_and_frames(kerberos_token(flags=flags)):
        result = ask(provider, (token,))
        assert not is_our_fault(result), (about, result)
        outcomes[told(result)] += 1
    assert {"Established", "replay", "mechanism", "bad-token"} <= set(outcomes)


def test_ten_thousand_mutations_of_good_tokens(
    provider: SecurityProvider, kerberos_keytab: Path
) -> None:
    outcomes: Counter[str] = Counter()
    handshakes = Mutations(KeytabFile(kerberos_keytab).snapshot(), SEED)
    for number, tokens in enumerate(itertools.islice(handshakes, MUTATIONS // len(PACKAGES) + 1)):
        result = ask(provider, tokens)
        assert not is_our_fault(result), (number, result, [token.hex() for token in tokens])
        outcomes[told(result)] += 1
    # They get far enough to be worth something.
    assert outcomes["Established"] > 100
    assert {"replay", "logon-denied", "encryption-type", "unknown"} <= set(outcomes)
