"""The table from a fault to an answer: total over the tree of errors, and it tells no cause."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

# Every module with errors of its own, so that the walk over the tree meets them all.
import authsrv.aiohttp
import authsrv.devrealm.errors
import authsrv.providers.pyspnego
from authsrv.core.limits import Limits
from authsrv.core.outcome import OUTCOMES, Outcome, outcome_of
from authsrv.core.status import GSSCode, SecurityStatus
from authsrv.errors import (
    AuthsrvError,
    BlockedRequestError,
    ClockSkewError,
    ConfigError,
    DeniedError,
    ForbiddenError,
    InvalidHeaderError,
    InvalidTokenError,
    LocalError,
    LogonDeniedError,
    OverloadedError,
    PeerError,
    ProviderFaultError,
    ReplayError,
    TokenTooLargeError,
    UnavailableError,
)
from authsrv.http.reply import (
    EXCEPTIONS,
    RESPONSE_RULES,
    ResponseRule,
    answer_for,
    build_error_response,
    challenge,
)

if sys.platform != "win32":
    import authsrv.providers.gssapi.acceptor  # noqa: F401

CAUSE = "principal alice, key version 7, SECRET"

# The contract by hand, the most special family first.
FAMILIES: tuple[tuple[type[AuthsrvError], int], ...] = (
    (TokenTooLargeError, 431),
    (InvalidHeaderError, 400),
    (ForbiddenError, 403),
    (BlockedRequestError, 403),
    (PeerError, 401),
    (DeniedError, 401),
    (UnavailableError, 503),
    (LocalError, 500),
    (AuthsrvError, 500),
)


def tree(kind: type[AuthsrvError]) -> Iterator[type[AuthsrvError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def error_of(kind: type[AuthsrvError]) -> AuthsrvError:
    """An error of any class; those of the development realm have arguments of their own."""
    error = kind.__new__(kind)
    AuthsrvError.__init__(error, CAUSE, native=GSSCode(major=851968, minor=2529639093))
    return error


def family_status(kind: type[AuthsrvError]) -> int:
    return next(status for family, status in FAMILIES if issubclass(kind, family))


GOOD = {
    Outcome.ESTABLISHED,
    Outcome.CONTINUE,
    Outcome.COMPLETE,
    Outcome.COMPLETE_AND_CONTINUE,
    Outcome.INCOMPLETE,
}

ALL = sorted(set(tree(AuthsrvError)), key=lambda kind: kind.__qualname__)


def test_the_walk_meets_the_whole_tree() -> None:
    assert len(ALL) >= 28
    assert {OverloadedError, ClockSkewError, ConfigError} <= set(ALL)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_has_the_answer_of_its_family(kind: type[AuthsrvError]) -> None:
    reply = build_error_response(error_of(kind))
    fields = dict(reply.headers)
    expected = family_status(kind)
    assert reply.status == answer_for(error_of(kind)).status == expected
    assert ("WWW-Authenticate" in fields) == (expected == 401)
    assert ("Retry-After" in fields) == (expected == 503)
    assert fields["Cache-Control"] == "no-store"


@pytest.mark.parametrize("kind", ALL)
def test_no_answer_tells_the_cause_or_the_name_of_the_error(kind: type[AuthsrvError]) -> None:
    error = error_of(kind)
    reply = build_error_response(error, token=b"error token")
    told = f"{reply.text} {reply.headers}"
    for secret in ("alice", "SECRET", "version", kind.__name__, error.code, "851968", "2529639093"):
        if secret != "error":  # the code of the root is a word like any other
            assert secret not in told
    assert reply.text == f"{answer_for(error).text}\nReference: {reply.reference}\n"


def test_an_error_that_comes_later_has_the_row_of_its_nearest_ancestor() -> None:
    class LaterError(ReplayError):
        """An error of a version to come."""

    class LaterForbiddenError(ForbiddenError):
        """Another one."""

    assert answer_for(LaterError("x")) is RESPONSE_RULES[Outcome.DENIED]
    assert answer_for(LaterForbiddenError("x")) is EXCEPTIONS[ForbiddenError]


FAULTS = {
    PeerError: Outcome.PROTOCOL_ERROR,
    DeniedError: Outcome.DENIED,
    UnavailableError: Outcome.UNAVAILABLE,
    LocalError: Outcome.INTERNAL_ERROR,
}


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not AuthsrvError])
def test_the_status_of_an_error_tells_the_fault_of_its_family(kind: type[AuthsrvError]) -> None:
    family = next(family for family in FAULTS if issubclass(kind, family))
    assert outcome_of(kind.status) is FAULTS[family]


def test_every_status_that_ends_a_handshake_badly_has_an_answer() -> None:
    for row in set(OUTCOMES.values()) - GOOD:
        assert RESPONSE_RULES[row].status >= 400
    assert RESPONSE_RULES.keys() & GOOD == set()


def test_a_status_that_one_error_was_given_changes_no_answer() -> None:
    error = ProviderFaultError("x", status=SecurityStatus.SEC_E_LOGON_DENIED)
    assert answer_for(error).status == 500
    assert answer_for(ProviderFaultError("x", status=SecurityStatus.SEC_E_OK)).status == 500


def test_the_answers_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        RESPONSE_RULES[Outcome.DENIED] = RESPONSE_RULES[Outcome.INTERNAL_ERROR]  # type: ignore[index]
    with pytest.raises(TypeError):
        EXCEPTIONS[DeniedError] = EXCEPTIONS[ForbiddenError]  # type: ignore[index]


@pytest.mark.parametrize("answer", [*RESPONSE_RULES.values(), *EXCEPTIONS.values()])
def test_a_text_is_one_plain_sentence_or_two(answer: ResponseRule) -> None:
    assert answer.text.isascii()
    assert answer.text.isprintable()
    assert answer.text.endswith(".")


def test_an_unavailable_server_says_when_to_come_back() -> None:
    reply = build_error_response(OverloadedError("x"), limits=Limits(retry_after_seconds=7))
    assert dict(reply.headers)["Retry-After"] == "7"


def test_an_error_token_goes_out_with_a_401_and_with_nothing_else() -> None:
    denied = build_error_response(LogonDeniedError("x"), token=b"why")
    assert dict(denied.headers)["WWW-Authenticate"] == "Negotiate d2h5"
    broken = build_error_response(InvalidTokenError("x"), token=b"why")
    assert dict(broken.headers)["WWW-Authenticate"] == "Negotiate d2h5"
    for error in (ForbiddenError("x"), InvalidHeaderError("x"), OverloadedError("x")):
        assert "WWW-Authenticate" not in dict(build_error_response(error, token=b"why").headers)


def test_a_denial_without_error_token_carries_a_fresh_challenge() -> None:
    assert dict(build_error_response(ReplayError("x")).headers)["WWW-Authenticate"] == "Negotiate"


def test_references_are_unique_and_opaque() -> None:
    error = LogonDeniedError("x")
    references = {build_error_response(error).reference for _ in range(1_000)}
    assert len(references) == 1_000
    assert {len(reference) for reference in references} == {12}


def test_a_challenge_asks_for_a_token_and_needs_no_reference() -> None:
    reply = challenge()
    assert reply.status == 401
    assert reply.headers == (("Cache-Control", "no-store"), ("WWW-Authenticate", "Negotiate"))
    assert reply.text == "Authentication is required.\n"
    assert reply.reference == ""


def test_a_challenge_carries_the_next_token_of_a_handshake() -> None:
    assert dict(challenge(b"next").headers)["WWW-Authenticate"] == "Negotiate bmV4dA=="
