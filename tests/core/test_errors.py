"""The tree of errors: as its docstring draws it, each with a code and a code of its own."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator

import pytest

import authsrv.errors
from authsrv.core.outcome import Outcome, outcome_of
from authsrv.core.status import GSSCode, SecurityStatus
from authsrv.errors import AuthsrvError, LogonDeniedError, StateError

ALL: list[type[AuthsrvError]] = [getattr(authsrv.errors, name) for name in authsrv.errors.__all__]


def drawn_tree() -> Iterator[tuple[str, str | None]]:
    """The tree of the module's docstring: each class, and the one it hangs on."""
    above: list[tuple[int, str]] = []
    for line in (authsrv.errors.__doc__ or "").splitlines():
        found = re.match(r"( {4,})(\w+Error)\b", line)
        if found is None:
            continue
        depth, name = len(found[1]), found[2]
        above = [entry for entry in above if entry[0] < depth]
        yield name, above[-1][1] if above else None
        above.append((depth, name))


def test_the_tree_of_the_docstring_is_the_tree_of_the_classes() -> None:
    actual = {kind.__name__: kind.__mro__[1].__name__ for kind in ALL}
    actual["AuthsrvError"] = "None"
    assert {name: str(parent) for name, parent in drawn_tree()} == actual


def test_every_class_of_the_module_is_exported() -> None:
    defined = {
        name
        for name, kind in inspect.getmembers(authsrv.errors, inspect.isclass)
        if kind.__module__ == authsrv.errors.__name__
    }
    assert defined == set(authsrv.errors.__all__)
    assert list(authsrv.errors.__all__) == sorted(authsrv.errors.__all__)


def test_no_two_classes_share_a_slug() -> None:
    slugs = [kind.code for kind in ALL]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in slugs)


def test_every_class_has_a_code_that_lets_nobody_in() -> None:
    for kind in ALL:
        assert isinstance(kind.status, SecurityStatus)
        assert outcome_of(kind.status) in {
            Outcome.PROTOCOL_ERROR,
            Outcome.DENIED,
            Outcome.UNAVAILABLE,
            Outcome.INTERNAL_ERROR,
        }


@pytest.mark.parametrize("kind", ALL)
def test_an_error_carries_its_cause_and_the_code_of_its_class(kind: type[AuthsrvError]) -> None:
    error = kind("what went wrong")
    assert str(error) == error.detail == "what went wrong"
    assert error.status is kind.status
    assert error.native is None


def test_an_error_keeps_the_codes_it_is_given() -> None:
    native = GSSCode(major=1, minor=2)
    error = LogonDeniedError("no", status=SecurityStatus.SEC_E_TIME_SKEW, native=native)
    assert error.status is SecurityStatus.SEC_E_TIME_SKEW
    assert error.native is native
    assert LogonDeniedError.status is SecurityStatus.SEC_E_LOGON_DENIED


def test_an_error_can_go_to_another_process_and_back() -> None:
    error = StateError("no", status=SecurityStatus.SEC_E_NO_CONTEXT)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is StateError
    assert (back.detail, back.status) == (error.detail, error.status)
