"""Which code a refusal is told by, and which refusal a code means."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import authsrv.errors
from authsrv.core.role import Role
from authsrv.core.status import SecurityStatus, WindowsCode
from authsrv.errors import (
    AttributesError,
    AuthsrvError,
    DeniedError,
    InvalidTokenError,
    LogonDeniedError,
    MutualAuthenticationError,
    PeerError,
    UnavailableError,
)
from authsrv.streams.refusals import ERROR_TRUST_FAILURE, code_of, refusal_of

KINDS = [
    kind
    for _, kind in inspect.getmembers(authsrv.errors, inspect.isclass)
    if issubclass(kind, AuthsrvError) and kind is not AttributesError
]

each_role = pytest.mark.parametrize("role", Role)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_an_error_is_told_by_its_status(kind: type[AuthsrvError]) -> None:
    assert code_of(kind("why")) == kind.status.value >= 0x80000000


def test_a_context_that_lacks_something_is_told_by_the_code_of_the_specification() -> None:
    assert code_of(AttributesError("why")) == ERROR_TRUST_FAILURE == 0x6FE


def test_no_refusal_is_told_by_a_code_of_success() -> None:
    for status in (SecurityStatus.SEC_E_OK, SecurityStatus.SEC_I_CONTINUE_NEEDED):
        assert code_of(DeniedError("why", status=status)) == SecurityStatus.SEC_E_INTERNAL_ERROR


@pytest.mark.parametrize(
    "kind",
    [AttributesError, InvalidTokenError, LogonDeniedError, MutualAuthenticationError],
    ids=lambda kind: kind.code,
)
def test_a_client_learns_the_server_s_own_error(kind: type[AuthsrvError]) -> None:
    code = code_of(kind("why"))
    error = refusal_of(code, Role.INITIATOR)
    assert type(error) is kind
    assert (error.status, error.native) == (kind.status, WindowsCode(code))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (SecurityStatus.SEC_E_CONTEXT_EXPIRED, DeniedError),
        (SecurityStatus.SEC_E_OUT_OF_SEQUENCE, PeerError),
        (SecurityStatus.SEC_E_INSUFFICIENT_MEMORY, UnavailableError),
        (SecurityStatus.SEC_E_INTERNAL_ERROR, UnavailableError),
    ],
)
def test_a_client_learns_whose_fault_it_is_where_the_code_says_no_more(
    status: SecurityStatus, kind: type[AuthsrvError]
) -> None:
    error = refusal_of(status, Role.INITIATOR)
    assert type(error) is kind
    assert error.status is status


def test_a_server_whose_client_does_not_want_to_is_denied_and_knows_the_code() -> None:
    error = refusal_of(SecurityStatus.SEC_E_NO_CREDENTIALS, Role.ACCEPTOR)
    assert type(error) is DeniedError
    assert error.status is SecurityStatus.SEC_E_NO_CREDENTIALS
    assert error.detail == "the client ended the handshake with SEC_E_NO_CREDENTIALS (0x8009030E)"


@each_role
@pytest.mark.parametrize("code", [0, 0x90312, 1790 + 1, 0x7FFFFFFF])
def test_a_code_of_success_is_a_refusal_all_the_same(code: int, role: Role) -> None:
    error = refusal_of(code, role)
    assert error.status is SecurityStatus.SEC_E_INTERNAL_ERROR
    assert error.native == WindowsCode(code)


@each_role
@pytest.mark.parametrize("status", SecurityStatus)
def test_every_status_is_an_error_with_that_code(status: SecurityStatus, role: Role) -> None:
    error = refusal_of(status, role)
    assert error.native == WindowsCode(status)
    assert error.status is (status if status & 0x80000000 else SecurityStatus.SEC_E_INTERNAL_ERROR)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(Role))
def test_any_code_of_32_bits_is_an_error(code: int, role: Role) -> None:
    error = refusal_of(code, role)
    assert error.native == WindowsCode(code)
    assert error.status & 0x80000000


@each_role
def test_a_code_of_more_than_32_bits_is_no_code(role: Role) -> None:
    with pytest.raises(ValueError, match="32"):
        refusal_of(2**32, role)
