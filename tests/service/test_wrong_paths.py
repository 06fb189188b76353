"""What the log says of requests at the listener of asks that are none."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_rig import Rig, ask_headers

from authsrv.service.asks.conventions import ENVOY, NGINX, Convention
from authsrv.service.asks.wrong_paths import WrongPaths


def told(caplog: pytest.LogCaptureFixture, convention: Convention, target: str) -> str:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "authsrv"):
        WrongPaths(convention, lambda: 0.0).note(target)
    (message,) = caplog.messages
    return message


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/", "/"),
        ("/ask/caddy", "/ask/caddy"),
        ("/ask/nginx/", "/ask/nginx..."),
        ("/ask/envoy/private/letter?token=secret", "/ask/envoy..."),
        ("/ask?x=secret", "/ask"),
        ("/a\x1b[2J\n\xe4", "/a\\x1b[2J\\n\\xe4"),
        ("/" + "a" * 100, "/" + "a" * 63 + "..."),
    ],
)
def test_the_path_is_told_and_what_is_expected(
    caplog: pytest.LogCaptureFixture, target: str, shown: str
) -> None:
    message = told(caplog, NGINX, target)
    assert message == f"not an ask: {shown} came, and proxy.convention nginx asks at /ask/nginx"
    assert told(caplog, ENVOY, target).endswith("proxy.convention envoy asks at /ask/envoy")


@given(st.text(max_size=200))
def test_nothing_of_a_client_breaks_a_line(target: str) -> None:
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("authsrv")
    logger.addHandler(handler)
    try:
        WrongPaths(NGINX, lambda: 0.0).note(target)
    finally:
        logger.removeHandler(handler)
    (message,) = messages
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 1_000


def test_it_is_told_once_a_minute_at_most(caplog: pytest.LogCaptureFixture) -> None:
    clock = [5.0]
    wrong = WrongPaths(NGINX, lambda: clock[0])
    for clock[0], count in ((5.0, 1), (5.1, 1), (64.9, 1), (65.0, 2), (66.0, 2)):
        wrong.note("/")
        assert len(caplog.messages) == count


def test_a_proxy_that_asks_as_another_does_is_told_of(rig: Rig) -> None:
    assert rig.send("asks", "GET", "/ask/caddy?x=hidden", ask_headers("/x")).status == 404
    log = rig.served.logged()
    assert "not an ask: /ask/caddy came, and proxy.convention nginx asks at /ask/nginx" in log
    assert "hidden" not in log
