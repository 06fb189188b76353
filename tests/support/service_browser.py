"""A browser at a service of the tests, behind a proxy that does as the nginx example does."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from service_rig import LOGIN_HOST, WIKI_HOST, Answer, Rig

__all__ = ["Browser", "hidden_fields"]

MAX_STEPS = 20
PAGE = (("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')

Tickets = Callable[[str, str], tuple[str, str]]
"""Gives the Authorization field of a user for a host."""


def hidden_fields(answer: Answer) -> dict[str, str]:
    """The hidden fields of a form."""
    return {name: html.unescape(value) for name, value in HIDDEN.findall(answer.text)}


@dataclass
class Browser:
    """Keeps cookies by host and follows where it is led.

    Args:
        rig: The service.
        user: Whose tickets it has; None for none.
        tickets: Where it has them from.
        site_of: The name of the site of each host.
    """

    rig: Rig
    user: str | None = None
    tickets: Tickets | None = None
    site_of: dict[str, str] = field(default_factory=lambda: {WIKI_HOST: "wiki"})
    jar: dict[str, dict[str, str]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    """Where it was since the last visit began, such as "wiki.example.org/secret 403"."""
    seen: list[Answer] = field(default_factory=list)
    """All that it was ever answered."""

    def visit(self, path: str, host: str = WIKI_HOST) -> Answer:
        """Open a page, and follow where it leads, until something is shown."""
        self.steps.clear()
        for _ in range(MAX_STEPS):
            answer = self.open(path, host)
            if "www-authenticate" in answer.fields and self.user and answer.status == 401:
                assert self.tickets is not None
                answer = self.open(path, host, self.tickets(self.user, host))
            where = _next(answer)
            if where is None:
                return answer
            split = urlsplit(where)
            host = split.netloc or host
            path = split.path + (f"?{split.query}" if split.query else "")
        raise AssertionError(f"it is led in circles: {self.steps}")

    def open(
        self,
        path: str,
        host: str = WIKI_HOST,
        *headers: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        """Send one request as the browser, and keep the cookies of its answer."""
        own = (*PAGE, *headers, *self.cookie_header(host))
        site = self.site_of.get(host, "login")
        if host == LOGIN_HOST or path.startswith("/.authsrv/"):
            answer = self.rig.page(path, *own, method=method, host=host, site=site, body=body)
        else:
            answer = self.rig.ask(path, *own, method=method, host=host, site=site)
        self.steps.append(f"{host}{path.partition('?')[0]} {answer.status}")
        self.seen.append(answer)
        self.keep(answer, host)
        return answer

    def cookie_header(self, host: str = WIKI_HOST) -> tuple[tuple[str, str], ...]:
        """The Cookie field for a host; none where there are no cookies."""
        kept = self.jar.get(host, {})
        return (("Cookie", "; ".join(f"{k}={v}" for k, v in kept.items())),) if kept else ()

    def keep(self, answer: Answer, host: str = WIKI_HOST) -> None:
        """Keep the cookies of an answer."""
        kept = self.jar.setdefault(host, {})
        for cookie in answer.fields.get("set-cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            if value:
                kept[name] = value
            else:
                kept.pop(name, None)

    def type_password(self, form: Answer, user: str, password: str) -> Answer:
        """Fill in the form of the login host; the answer to that."""
        fields = {**hidden_fields(form), "username": user, "password": password}
        return self.open(
            "/.authsrv/sign-in",
            LOGIN_HOST,
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", f"https://{LOGIN_HOST}"),
            ("Sec-Fetch-Site", "same-origin"),
            method="POST",
            body=urlencode(fields).encode(),
        )

    def log_in(self, user: str, path: str = "/secret", host: str = WIKI_HOST) -> Answer:
        """Open a page, type the user's password, and come to the page."""
        form = self.visit(path, host)
        answer = self.type_password(form, user, self.rig.realm.password(user))
        where = urlsplit(answer.field("Location") or "")
        assert where.netloc == host, (answer.status, self.steps)
        return self.visit(f"{where.path}?{where.query}", host)

    def sign_out(self, host: str = WIKI_HOST, *headers: tuple[str, str]) -> Answer:
        """Press the button that signs out."""
        origin = headers or (("Origin", f"https://{host}"), ("Sec-Fetch-Site", "same-origin"))
        return self.open("/.authsrv/sign-out", host, *origin, method="POST", body=b"")


def _next(answer: Answer) -> str | None:
    """Where a browser without a ticket goes on by itself."""
    for name in ("Location", "X-Authsrv-Location"):
        if where := answer.field(name):
            return where
    refresh = answer.field("Refresh")
    return None if refresh is None else refresh.partition("url=")[2]
