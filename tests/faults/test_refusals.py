"""Every row of the table of refusals, by every way in: the same error, the same words, no leak."""

from __future__ import annotations

import asyncio
import re

import pytest
from leak_monitor import LeakMonitor, serve
from recipes import Attempt, Ground
from refusals import REFUSALS, Refusal
from strategies import STRATEGIES, Way, outcome_of

pytestmark = pytest.mark.usefixtures("kerberos_environment")

each_refusal = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
ALICE = "alice@AUTHSRV.TEST"


@pytest.fixture
def attempt(refusal: Refusal, ground: Ground) -> Attempt:
    return refusal.make(ground)


@each_refusal
@pytest.mark.parametrize("way", STRATEGIES.values(), ids=STRATEGIES)
def test_it_is_told_alike_by_every_way_in(
    witness: LeakMonitor, refusal: Refusal, attempt: Attempt, way: Way
) -> None:
    witness.tokens.append(attempt.token)
    witness.lines.append(refusal.error.code)
    if attempt.before is not None:
        assert outcome_of(way, attempt.provider, attempt.before) == ALICE
    for _ in range(attempt.times):
        told = outcome_of(way, attempt.provider, attempt.token)
        witness.lines.append(told)
        code, _, detail = told.partition(": ")
        assert code == refusal.error.code
        found = re.fullmatch(attempt.detail, detail)
        assert found, detail
        assert attempt.check(found), detail
    if attempt.after is not None:
        assert outcome_of(way, attempt.provider, attempt.after) == ALICE


@each_refusal
def test_over_http_the_client_hears_little_and_the_log_all(
    witness: LeakMonitor, refusal: Refusal, attempt: Attempt
) -> None:
    async def ask() -> None:
        async with serve(witness, provider=attempt.provider) as server:
            if attempt.before is not None:
                await server.must_let_in(attempt.before)
            answer = await server.ask(attempt.token)
            record = witness.expect(answer, refusal.status, refusal.error.code, attempt.detail)
            assert re.search(attempt.line, record.getMessage())
            if attempt.after is not None:
                await server.must_let_in(attempt.after)

    asyncio.run(ask())
