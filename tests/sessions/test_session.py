"""Sessions: their ends, their renewal, and what none can be."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logged_in import ALICE, NOW, a_session, sessions

from authsrv.core.identity import Identity
from authsrv.errors import ConfigError, SessionError, TicketExpiredError
from authsrv.sessions.session import (
    MAX_GROUP_BYTES,
    MAX_SESSION_SECONDS,
    PASSWORD,
    Session,
    SessionLengths,
    begin_session,
    continue_session,
    digest_of_groups,
    new_id,
)

HOUR = 3_600


def with_ticket(seconds: float) -> Identity:
    """Alice with a ticket that ends so many seconds from NOW."""
    at = datetime.datetime.fromtimestamp(NOW + seconds, datetime.UTC)
    return Identity("alice@EXAMPLE.ORG", "kerberos", expires_at=at)


def begun(identity: Identity = ALICE, now: float = NOW, **settings: Any) -> Session:
    return begin_session(identity, SessionLengths(), now, **settings)


class TestBeginning:
    @pytest.mark.parametrize(
        ("lengths", "ticket", "mechanism", "idle", "end"),
        [
            (SessionLengths(), 8 * HOUR, None, HOUR, 8 * HOUR),
            (SessionLengths(), 11 * HOUR, None, HOUR, 10 * HOUR),
            (SessionLengths(), None, None, HOUR, 10 * HOUR),
            (SessionLengths(), 600.9, None, 600, 600),
            (SessionLengths(60, 120, 90), None, None, 60, 120),
            (SessionLengths(60, 120, 90), None, PASSWORD, 60, 90),
            (SessionLengths(60, 120, 30), None, PASSWORD, 30, 30),
            (SessionLengths(60, 120), None, PASSWORD, 60, 120),
            (SessionLengths(HOUR, 86_400), None, PASSWORD, HOUR, 10 * HOUR),
        ],
    )
    def test_it_ends_with_idle_time_absolute_time_or_the_ticket(
        self,
        lengths: SessionLengths,
        ticket: float | None,
        mechanism: str | None,
        idle: int,
        end: int,
    ) -> None:
        client = ALICE if ticket is None else with_ticket(ticket)
        made = begin_session(client, lengths, NOW + 0.5, mechanism=mechanism)
        assert (made.authenticated_at, made.issued_at) == (NOW, NOW)
        assert (made.idle_ends_at, made.ends_at) == (NOW + idle, NOW + end)
        assert made.mechanism == (mechanism or "kerberos")

    def test_what_the_identity_says_is_told(self) -> None:
        made = begun(Identity("alice@EXAMPLE.ORG", "ntlm", channel_bound=True))
        assert (made.principal, made.mechanism) == ("alice@EXAMPLE.ORG", "ntlm")
        assert made.realm == "EXAMPLE.ORG"
        assert made.channel_bound

    @pytest.mark.parametrize("seconds", [0, 0.4, -1, -300])
    def test_no_session_begins_with_a_ticket_that_has_ended(self, seconds: float) -> None:
        with pytest.raises(TicketExpiredError):
            begun(with_ticket(seconds), NOW + 0.4)

    def test_each_has_ids_of_its_own(self) -> None:
        assert len({each for one in (begun(), begun()) for each in (one.sid, one.family)}) == 4

    def test_a_principal_that_fits_no_cookie_begins_no_session(self) -> None:
        assert begun(Identity("x" * 512, "kerberos")).principal == "x" * 512
        with pytest.raises(SessionError):
            begun(Identity("x" * 513, "kerberos"))
        with pytest.raises(SessionError):
            begun(Identity("alice", "x" * 33))


class TestContinuing:
    """The session of an application's host comes from that of the login host."""

    LOGIN = begin_session(
        ALICE, SessionLengths(HOUR, 8 * HOUR), NOW, mechanism=PASSWORD, groups=["cooks"]
    ).renewed(NOW + HOUR)

    def test_it_is_of_the_same_log_in(self) -> None:
        digest = digest_of_groups(["staff"])
        made = continue_session(
            self.LOGIN,
            SessionLengths(60, 9 * HOUR),
            NOW + HOUR + 0.5,
            groups=["staff"],
            group_digest=digest,
        )
        assert made == dataclasses.replace(
            self.LOGIN,
            sid=made.sid,
            groups=("staff",),
            issued_at=NOW + HOUR,
            idle_ends_at=NOW + HOUR + 60,
            group_digest=digest,
        )
        assert made.sid != self.LOGIN.sid

    @pytest.mark.parametrize(
        ("hours", "end"),
        [((9, 9), 8), ((3, 9), 3), ((9, 2), 2)],
        ids=["its end", "site", "password"],
    )
    def test_no_length_is_counted_anew(self, hours: tuple[int, int], end: int) -> None:
        lengths = SessionLengths(HOUR, *(each * HOUR for each in hours))
        assert continue_session(self.LOGIN, lengths, NOW + HOUR).ends_at == NOW + end * HOUR

    @pytest.mark.parametrize(
        ("now", "expected"),
        [
            (NOW + 2 * HOUR, "not used"),
            (NOW + HOUR - 61, "in the future"),
            (NOW + 1.5 * HOUR, "too long ago for the site"),
        ],
    )
    def test_what_is_over_is_not_continued(self, now: float, expected: str) -> None:
        with pytest.raises(SessionError, match=expected):
            continue_session(self.LOGIN, SessionLengths(60, 1.5 * HOUR), now)

    def test_groups_that_do_not_fit_are_cut_and_that_is_said(self) -> None:
        made = continue_session(self.LOGIN, SessionLengths(), NOW + HOUR, groups=["x" * 3_000])
        assert (made.groups, made.groups_truncated) == ((), True)

    def test_a_clock_that_is_behind_makes_no_session_before_the_log_in(self) -> None:
        login = begun()
        assert continue_session(login, SessionLengths(), NOW - 30).issued_at == NOW


class TestGroups:
    def test_what_fits_is_told_whole(self) -> None:
        groups = ("x" * (MAX_GROUP_BYTES - 8), "Köche")
        made = begun(groups=(*groups, "Köche"))
        assert (made.groups, made.groups_truncated) == (groups, False)

    def test_groups_that_do_not_fit_are_cut_and_that_is_said(self) -> None:
        made = begun(groups=[f"group {n}" for n in range(1_000)])
        assert made.groups_truncated
        assert made.groups == tuple(f"group {n}" for n in range(len(made.groups)))
        assert 200 < len(made.groups) < 300

    def test_nothing_behind_the_first_that_does_not_fit_is_told(self) -> None:
        made = begun(groups=["x" * MAX_GROUP_BYTES, "admins"])
        assert (made.groups, made.groups_truncated) == ((), True)

    @pytest.mark.parametrize("group", ["", "a\nb", "a\0b", "a\u202eb", "\udc80"])
    def test_a_group_that_cannot_be_told_is_left_out_and_that_is_said(self, group: str) -> None:
        made = begun(groups=["staff", group, "cooks"])
        assert (made.groups, made.groups_truncated) == (("staff", "cooks"), True)

    def test_sets_of_groups_have_different_digests(self) -> None:
        sets = [[], ["a"], ["b"], ["a", "b"], ["ab"], ["a1:b"], ["a", "1:b"], ["\udc80"], [""]]
        digests = [digest_of_groups(names) for names in sets]
        assert len(set(digests)) == len(sets)
        assert digest_of_groups(["b", "a", "b"]) == digest_of_groups(["a", "b"])
        assert all(begun(group_digest=digest).group_digest == digest for digest in digests)


class TestTimes:
    @pytest.mark.parametrize(
        ("now", "expected"),
        [
            (NOW, None),
            (NOW - 60, None),
            (NOW - 60.5, "issued in the future"),
            (0, "issued in the future"),
            (NOW + HOUR - 0.1, None),
            (NOW + HOUR, "not used for too long"),
            (NOW + 10 * HOUR, "its time or its ticket ended"),
            (float("inf"), "ended"),
        ],
    )
    def test_it_counts_between_its_beginning_and_its_ends(
        self, now: float, expected: str | None
    ) -> None:
        if expected is None:
            a_session().check_times(now)
        else:
            with pytest.raises(SessionError, match=expected):
                a_session().check_times(now)

    def test_renewal_moves_the_idle_end_alone(self) -> None:
        before = a_session()
        after = before.renewed(NOW + 600.7)
        assert (after.issued_at, after.idle_ends_at) == (NOW + 600, NOW + 600 + HOUR)
        assert (after.sid, after.family, after.ends_at) == (
            before.sid,
            before.family,
            before.ends_at,
        )
        assert after.authenticated_at == NOW

    def test_however_often_it_is_renewed_it_ends(self) -> None:
        now, session = NOW + 0.0, a_session()
        while session.idle_ends_at < session.ends_at:
            now += HOUR - 1
            session.check_times(now)
            session = session.renewed(now)
        assert session.renewed(now) == session
        with pytest.raises(SessionError, match="its time or its ticket ended"):
            session.check_times(NOW + 10 * HOUR)

    def test_a_clock_that_is_behind_makes_no_session_of_the_past(self) -> None:
        session = a_session()
        assert session.renewed(NOW - 30) == session

    @pytest.mark.parametrize(
        ("seconds", "is_due"), [(-30, False), (0, False), (359, False), (360, True), (3_599, True)]
    )
    def test_renewal_is_due_after_a_tenth_of_the_idle_time(
        self, seconds: int, is_due: bool
    ) -> None:
        assert a_session().is_renewal_due(NOW + seconds) is is_due

    def test_renewal_is_not_due_where_it_would_move_nothing(self) -> None:
        assert not a_session(idle_ends_at=NOW + 10 * HOUR).is_renewal_due(NOW + 9 * HOUR)

    @given(sessions(), st.integers(0, 2**32 - 1))
    def test_renewal_never_lengthens(self, session: Session, now: int) -> None:
        after = session.renewed(min(now, session.ends_at))
        assert session.issued_at <= after.issued_at <= after.idle_ends_at <= after.ends_at
        assert after.ends_at == session.ends_at
        assert after.idle_ends_at >= session.idle_ends_at


class TestMaking:
    @pytest.mark.parametrize(
        "changes",
        [
            {"sid": ""},
            {"sid": "A" * 21},
            {"sid": "A" * 23},
            {"sid": "A" * 22 + "\n"},
            {"sid": "A" * 21 + "B"},
            {"sid": "A" * 20 + "+A"},
            {"family": "x"},
            {"group_digest": "x"},
            {"principal": ""},
            {"principal": " "},
            {"principal": "alice\0"},
            {"principal": "ä" * 257},
            {"mechanism": ""},
            {"mechanism": "ker\nberos"},
            {"mechanism": "x" * 33},
            {"groups": ("",)},
            {"groups": ("a", "b\0c")},
            {"groups": ("ä" * 1_024,)},
            {"authenticated_at": -1},
            {"authenticated_at": NOW + 1},
            {"issued_at": NOW + 3_601},
            {"idle_ends_at": NOW + 36_001},
            {"ends_at": 2**32},
        ],
    )
    def test_what_no_session_can_be_is_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(SessionError):
            a_session(**changes)

    def test_ids_are_good_ones(self) -> None:
        ids = {new_id() for _ in range(200)}
        assert len(ids) == 200
        assert all(a_session(sid=each).sid == each for each in ids)


class TestLengths:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"idle_seconds": 0},
            {"idle_seconds": 0.5},
            {"idle_seconds": "60"},
            {"idle_seconds": float("nan")},
            {"idle_seconds": 36_001},
            {"absolute_seconds": MAX_SESSION_SECONDS + 1},
            {"absolute_seconds": None},
            {"password_absolute_seconds": True},
            {"password_absolute_seconds": -1},
        ],
    )
    def test_lengths_that_make_no_sense_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            SessionLengths(**wrong)

    def test_the_longest_session_is_a_week(self) -> None:
        week = SessionLengths(MAX_SESSION_SECONDS, MAX_SESSION_SECONDS, MAX_SESSION_SECONDS)
        assert begin_session(ALICE, week, NOW).ends_at == NOW + 7 * 86_400
