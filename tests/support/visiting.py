"""A browser as far as cookies, redirects and forms go, in front of a service behind nginx.

It has no ticket and no script. What it opens is asked about as nginx asks, or fetched as a page,
by the path; cookies are kept a host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

from service_rig import Answer, Rig, ask_headers

__all__ = ["NAVIGATION", "SITE_NAMES", "Form", "Visitor", "form_of", "location_of"]

SITE_NAMES = {
    "wiki.example.org": "wiki",
    "git.example.org": "git",
    "forms.example.org": "forms",
    "pages.example.org": "pages",
    "asks.example.org": "asks",
    "networks.example.org": "networks",
    "grafana.example.org": "grafana",
    "gitea.example.org": "gitea",
    "jenkins.example.org": "jenkins",
    "login.example.org": "login",
}
"""The sites' names, which nginx sends as constants."""

NAVIGATION = (
    ("Accept", "text/html"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Site", "none"),
)
"""What Chromium says of a page that a person opens."""

_MAX_REDIRECTS = 12
_REDIRECTS = (302, 303)
_REFRESH = re.compile(r"0; url=(.*)")


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a page: where it goes, and what stands in its hidden fields."""

    action: str
    hidden: dict[str, str]


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.actions: list[str] = []
        self.hidden: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.actions.append(told["action"])
        elif tag == "input" and told.get("type") == "hidden":
            self.hidden[told["name"]] = told["value"]


def form_of(answer: Answer) -> Form:
    """The one form of a page."""
    reader = _FormReader()
    reader.feed(answer.text)
    assert len(reader.actions) == 1, answer.text
    return Form(reader.actions[0], reader.hidden)


def location_of(answer: Answer) -> str | None:
    """Where an answer sends a browser, by redirect or by refresh; None for nowhere."""
    if answer.status in _REDIRECTS:
        return answer.field("Location")
    # The example configuration makes a redirect, or a refresh beside a challenge, of the field.
    where = answer.field("X-Authsrv-Location")
    if where is not None:
        return where
    found = _REFRESH.fullmatch(answer.field("Refresh") or "")
    return None if found is None else found[1]


@dataclass(slots=True)
class Visitor:
    """A browser and where it is.

    Args:
        rig: The service.
        address: The browser's.
        cookies: By host, by name.
        seen: The URLs that it opened, in their order.
    """

    rig: Rig
    address: str = "192.0.2.7"
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it is."""
        return self.seen[-1]

    def open(self, url: str, *headers: tuple[str, str]) -> Answer:
        """Open one URL as a person does, and go nowhere from there."""
        return self.send("GET", url, (*NAVIGATION, *headers))

    def follow(self, url: str, *headers: tuple[str, str]) -> Answer:
        """Open a URL, and go on to wherever that leads."""
        return self._follow(self.open(url, *headers))

    def submit(self, answer: Answer, *headers: tuple[str, str], **fields: str) -> Answer:
        """Fill the form of the page where it is, and go on to wherever that leads."""
        return self._follow(self.post(answer, *headers, **fields))

    def post(self, answer: Answer, *headers: tuple[str, str], **fields: str) -> Answer:
        """Fill the form of the page where it is, and go nowhere from there."""
        form = form_of(answer)
        host = urlsplit(self.url).netloc
        told = (
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", f"https://{host}"),
            ("Sec-Fetch-Site", "same-origin"),
            *NAVIGATION[:3],
        )
        body = urlencode({**form.hidden, **fields}).encode()
        where = urljoin(self.url, form.action)
        return self.send("POST", where, (*told, *headers), body=body)

    def send(
        self,
        method: str,
        url: str,
        headers: tuple[tuple[str, str], ...],
        *,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request with the cookies of its host, and keep those that come back."""
        parts = urlsplit(url)
        host, target = parts.netloc, parts.path + (f"?{parts.query}" if parts.query else "")
        self.seen.append(url)
        kept = self.cookies.setdefault(host, {})
        cookie = "; ".join(f"{name}={value}" for name, value in kept.items())
        sent = (*headers, ("Cookie", cookie)) if cookie else headers
        told = ask_headers(
            target, method=method, host=host, address=self.address, site=SITE_NAMES[host]
        )
        if host == "login.example.org" or parts.path.startswith("/.authsrv/"):
            answer = self.rig.send("pages", method, target, (*told, *sent), body=body)
        else:
            answer = self.rig.send("asks", "GET", "/ask/nginx", (*told, *sent))
        self.keep(host, answer)
        return answer

    def keep(self, host: str, answer: Answer) -> None:
        """Keep the cookies of an answer of a host."""
        kept = self.cookies.setdefault(host, {})
        for cookie in answer.fields.get("set-cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            if "Max-Age=0" in cookie:
                kept.pop(name, None)
            else:
                kept[name] = value

    def _follow(self, answer: Answer) -> Answer:
        for _ in range(_MAX_REDIRECTS):
            where = location_of(answer)
            if where is None:
                return answer
            answer = self.open(urljoin(self.url, where))
        raise AssertionError(f"it goes round for ever: {self.seen[-4:]}")
