"""Every row of the client's table of refusals, by every way out: the same error, the same words."""

from __future__ import annotations

import re

import pytest
from client_refusals import CLIENT_REFUSALS, ClientRefusal
from client_strategies import CLIENT_STRATEGIES, Answer, ClientWay, what_it_says
from recipes import Ground

from authsrv.core.results import Continue
from authsrv.providers.base import InitiatorRequest
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider, InitiatorMechanism
from authsrv.testing.leaks import find_leak

pytestmark = pytest.mark.usefixtures("kerberos_environment")


def nobody(token: bytes) -> bytes:
    raise AssertionError("there was to be no token")


@pytest.mark.parametrize("refusal", CLIENT_REFUSALS.values(), ids=CLIENT_REFUSALS)
@pytest.mark.parametrize("mechanism", InitiatorMechanism)
@pytest.mark.parametrize("way", CLIENT_STRATEGIES.values(), ids=CLIENT_STRATEGIES)
def test_it_is_told_alike_by_every_way_out(
    ground: Ground, refusal: ClientRefusal, mechanism: InitiatorMechanism, way: ClientWay
) -> None:
    meeting = refusal.make(ground, mechanism)
    provider = GssapiInitiatorProvider(meeting.credential, mechanism=mechanism)
    tokens: list[bytes] = []
    answer = nobody if meeting.answer is None else noting(tokens, meeting.answer)
    told = what_it_says(way, provider, meeting.target, answer)
    says = "{code}: {detail}" if meeting.answer is None else way.says
    before, after = says.split("{detail}")
    words = re.escape(before.format(code=refusal.error.code, target=meeting.target))
    assert re.fullmatch(words + meeting.detail + after, told), told
    assert find_leak(told, b"".join(tokens)) is None
    if meeting.mend is not None:
        meeting.mend()
        context = provider.create_initiator(InitiatorRequest(meeting.target))
        assert isinstance(context.step(b""), Continue)
        context.delete()


def noting(tokens: list[bytes], answer: Answer) -> Answer:
    """The same answers; both sides' tokens are kept."""

    def note(token: bytes) -> bytes:
        tokens.append(token)
        tokens.append(answer(token))
        return tokens[-1]

    return note
