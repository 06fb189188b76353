"""Which requests a page of another site made, by a table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.errors import ConfigError
from authsrv.http.origins import OriginPolicy, Provenance

TRUSTED = OriginPolicy.of_setting(["https://app.example.org", "http://[::1]:8080"])
HERE = "web.example.org"


def told(
    method: str = "POST",
    *,
    site: str | tuple[str, ...] = (),
    origin: str | tuple[str, ...] = (),
    host: str | tuple[str, ...] = HERE,
    is_websocket: bool = False,
    scheme: str | None = None,
) -> Provenance:
    def fields(value: str | tuple[str, ...]) -> tuple[str, ...]:
        return (value,) if isinstance(value, str) else value

    return Provenance(method, is_websocket, fields(site), fields(origin), fields(host), scheme)


PASS: dict[str, dict[str, Any]] = {
    "no browser": {},
    "same origin": {"site": "same-origin"},
    "typed by the user": {"site": "none"},
    "same origin, odd case": {"site": " Same-Origin "},
    "by origin": {"origin": f"https://{HERE}"},
    "by origin, TLS ends before us": {"origin": f"http://{HERE}"},
    "by origin, case": {"origin": f"HTTPS://{HERE.upper()}"},
    "default port named in the origin": {"origin": f"https://{HERE}:443"},
    "default port named in the host": {"origin": f"https://{HERE}", "host": f"{HERE}:443"},
    "another port": {"origin": f"http://{HERE}:8080", "host": f"{HERE}:8080"},
    "our scheme is known": {"origin": f"https://{HERE}", "scheme": "https"},
    "our scheme is known, by http": {"origin": f"http://{HERE}:80", "scheme": "http"},
    "IPv6": {"origin": "http://[::1]:8081", "host": "[::1]:8081"},
    "trusted, by site": {"site": "cross-site", "origin": "https://app.example.org"},
    "trusted, by origin": {"origin": "https://APP.example.org:443"},
    "trusted, another port": {"origin": "http://[::1]:8080"},
    "the site wins over the origin": {"site": "same-origin", "origin": "https://evil.test"},
}
REFUSE: dict[str, dict[str, Any]] = {
    "cross-site": {"site": "cross-site"},
    "same-site": {"site": "same-site"},
    "a site to come": {"site": "nested-site"},
    "an empty site": {"site": ""},
    "two sites": {"site": ("same-origin", "same-origin")},
    "another host": {"origin": "https://evil.test"},
    "a page that came by http": {"origin": f"http://{HERE}", "scheme": "https"},
    "the same port by http": {
        "origin": f"http://{HERE}:8443",
        "host": f"{HERE}:8443",
        "scheme": "https",
    },
    "a host below ours": {"origin": f"https://a.{HERE}"},
    "a longer name": {"origin": f"https://{HERE}.evil.test"},
    "another port of our host": {"origin": f"http://{HERE}:8080"},
    "our host at another port": {"origin": f"http://{HERE}", "host": f"{HERE}:8080"},
    "http's port for https": {"origin": f"https://{HERE}:80"},
    "null": {"origin": "null"},
    "an empty origin": {"origin": ""},
    "two origins": {"origin": (f"https://{HERE}", f"https://{HERE}")},
    "two origins in one": {"origin": f"https://{HERE} https://evil.test"},
    "user information": {"origin": f"https://{HERE}@evil.test"},
    "a path": {"origin": f"https://{HERE}/"},
    "no host": {"origin": f"https://{HERE}", "host": ()},
    "two hosts": {"origin": f"https://{HERE}", "host": (HERE, HERE)},
    "a host that is none": {"origin": f"https://{HERE}", "host": f"{HERE}/"},
    "port 0": {"origin": f"http://{HERE}:0"},
    "almost trusted": {"origin": "http://app.example.org"},
    "almost trusted, another port": {"origin": "https://app.example.org:8443"},
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "get", "LOCK"])
@pytest.mark.parametrize("fields", PASS.values(), ids=PASS)
def test_what_comes_from_here_or_from_no_browser_passes(
    fields: dict[str, Any], method: str
) -> None:
    assert TRUSTED.refusal(told(method, **fields)) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "get", "LOCK"])
@pytest.mark.parametrize("fields", REFUSE.values(), ids=REFUSE)
def test_what_comes_from_elsewhere_is_refused(fields: dict[str, Any], method: str) -> None:
    error = TRUSTED.refusal(told(method, **fields))
    assert error is not None
    assert error.code == "cross-site"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("fields", REFUSE.values(), ids=REFUSE)
def test_safe_methods_pass(fields: dict[str, Any], method: str) -> None:
    assert TRUSTED.refusal(told(method, **fields)) is None


@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({}, True),
        ({"origin": f"https://{HERE}"}, True),
        ({"origin": "https://app.example.org"}, True),
        ({"origin": "https://evil.test"}, False),
        ({"origin": "https://evil.test", "site": "same-origin"}, False),
        ({"origin": "https://evil.test", "site": "none"}, False),
        ({"origin": "null"}, False),
        ({"site": "same-origin"}, True),
        ({"site": "cross-site"}, False),
        ({"site": ("same-origin", "same-origin")}, False),
        ({"origin": f"https://{HERE}", "host": ()}, False),
    ],
)
def test_a_websocket_is_told_by_its_origin(fields: dict[str, Any], passes: bool) -> None:
    error = TRUSTED.refusal(told("GET", is_websocket=True, **fields))
    assert (error is None) == passes


@pytest.mark.parametrize(
    "wrong",
    [
        "https://app.example.org",
        None,
        7,
        [7],
        [""],
        ["*"],
        ["null"],
        ["app.example.org"],
        ["https://app.example.org/"],
        ["https://*.example.org"],
        ["https://app.example.org:port"],
        ["https://user@app.example.org"],
        ["ftp://app.example.org"],
        ["ws://app.example.org"],
        ["https://app.example.org:65536"],
        ["https://app.example.org:0"],
        ["https://b\u00fccher.example"],
        ["https://app.example.org, https://other.example.org"],
        ["https://"],
    ],
)
def test_what_is_no_origin_is_no_setting(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="trusted_origins"):
        OriginPolicy.of_setting(wrong)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_sent_is_answered_and_shown_in_ascii(site: str, origin: str, host: str) -> None:
    for fields in ({"site": site}, {"origin": origin, "host": host}):
        error = TRUSTED.refusal(told(**fields))
        assert error is None or error.detail.isascii()
