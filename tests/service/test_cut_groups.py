"""A source that does not tell all groups of a client: its session says so, however it began."""

from __future__ import annotations

import dataclasses
import ipaddress
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from keytabs import VERSION_2, record
from service_rig import WIKI_HOST, write_configuration

from authsrv.audit.records import SignInWay
from authsrv.core.identity import Identity
from authsrv.http.forwarded import AskedRequest, Host, Scheme
from authsrv.http.paths import Target
from authsrv.service.asks.fields import Fields
from authsrv.service.asks.leading import Visit
from authsrv.service.asks.served import Ask
from authsrv.service.config.loading import load_settings
from authsrv.service.server import Service
from authsrv.service.sign_in.session_cookies import SessionCookies
from authsrv.service.sites.groups import GroupSet
from authsrv.service.trail import Trail
from authsrv.sessions.sealed import open_session
from authsrv.sessions.session import SessionLengths, begin_session

ALICE = Identity("alice@R.TEST", "kerberos")


class Source:
    """Knows some groups of everybody."""

    def __init__(self, is_truncated: bool) -> None:
        self.is_truncated = is_truncated

    def groups_of(self, identity: Identity) -> GroupSet:
        return GroupSet(frozenset({"staff"}), self.is_truncated)


def by_ticket(cookies: SessionCookies, ask: Ask) -> str:
    return cookies.begin(ask, ALICE, SignInWay.TICKET)


def by_hand_over(cookies: SessionCookies, ask: Ask) -> str:
    return cookies.take_over(ask, begin_session(ALICE, SessionLengths(), ask.now))


@pytest.mark.parametrize("is_truncated", [True, False])
@pytest.mark.parametrize("begin", [by_ticket, by_hand_over])
def test_a_session_tells_that_groups_are_missing(
    tmp_path: Path, begin: Callable[[SessionCookies, Ask], str], is_truncated: bool
) -> None:
    keytab = tmp_path / "http.keytab"
    keytab.write_bytes(VERSION_2 + record(WIKI_HOST))
    keytab.chmod(0o600)
    settings, _ = load_settings(write_configuration(tmp_path, keytab), {})
    served = Service(settings).current().served["wiki"]
    asked = AskedRequest(
        "GET",
        Scheme.HTTPS,
        Host(WIKI_HOST),
        Target("/"),
        ipaddress.ip_address("192.0.2.7"),
        "wiki",
        is_websocket=False,
    )
    ask = Ask(
        dataclasses.replace(served, groups=Source(is_truncated)),
        asked,
        Fields(()),
        Visit.PAGE,
        time.time(),
    )
    told = begin(SessionCookies(Trail(lambda _: None)), ask)
    value = told.partition("=")[2].partition(";")[0]
    session = open_session(served.sealer, value, ask.audience, ask.now)
    assert (session.groups, session.groups_truncated) == (("staff",), is_truncated)
