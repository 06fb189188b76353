"""Every page that the service has, and a server that shows them as the service would."""

from __future__ import annotations

import contextlib
import datetime
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authsrv.http.languages import choose_language
from authsrv.service.pages.look import Look
from authsrv.service.pages.page import (
    ErrorKind,
    ErrorPage,
    InsecurePage,
    LoginNotice,
    LoginPage,
    LoopPage,
    NoSignOnPage,
    Page,
    SignedOutPage,
    SignOnTrouble,
    UnavailablePage,
    WhoamiPage,
    page_headers,
    render,
)

__all__ = ["PAGES", "page_site"]

SITE = "wiki.example.org"
REFERENCE = "7c1f-09ab"
HIDDEN = (("token", "c2VhbGVk"), ("return", "/start?x=1"))
EARLY = datetime.datetime(2026, 3, 2, 8, 1, tzinfo=datetime.UTC)
GROUPS = ("wiki-editors", "all-staff", "vpn-users")

PAGES: Mapping[str, Page] = {
    "login": LoginPage("/.authsrv/login", HIDDEN, SITE),
    "login-alone": LoginPage("/.authsrv/login", HIDDEN),
    **{
        f"login-{notice.value}": LoginPage(
            "/.authsrv/login", HIDDEN, SITE, "alice", notice, SignOnTrouble.NOT_TRIED, "/retry"
        )
        for notice in LoginNotice
    },
    **{
        f"no-sign-on-{trouble.value}": NoSignOnPage(
            trouble, SITE, REFERENCE, "/.authsrv/login", "/retry"
        )
        for trouble in SignOnTrouble
    },
    "no-sign-on-without-form": NoSignOnPage(SignOnTrouble.NTLM, SITE),
    "signed-out": SignedOutPage("/again"),
    "signed-out-bare": SignedOutPage(),
    **{f"error-{kind.text}": ErrorPage(kind, REFERENCE) for kind in ErrorKind},
    "error-somebody": ErrorPage(ErrorKind.FORBIDDEN, REFERENCE, "alice@EXAMPLE.ORG", "/again"),
    "unavailable": UnavailablePage(REFERENCE, "/again"),
    "unavailable-bare": UnavailablePage(REFERENCE),
    "insecure": InsecurePage(SITE, f"https://{SITE}/start"),
    "insecure-for-good": InsecurePage(SITE),
    "loop": LoopPage(SITE, REFERENCE, "/again"),
    "loop-bare": LoopPage(SITE, REFERENCE),
    "whoami": WhoamiPage(
        "alice@EXAMPLE.ORG",
        "kerberos",
        SITE,
        GROUPS,
        True,
        EARLY,
        EARLY + datetime.timedelta(hours=10),
        "/.authsrv/logout",
        HIDDEN,
    ),
    "whoami-password": WhoamiPage(
        "alice@EXAMPLE.ORG",
        "password",
        SITE,
        GROUPS[:1],
        False,
        EARLY,
        EARLY + datetime.timedelta(hours=1),
        "/.authsrv/logout",
    ),
    "whoami-bare": WhoamiPage(
        "alice@EXAMPLE.ORG", "ntlm", SITE, (), False, EARLY, EARLY, "/.authsrv/logout"
    ),
}
"""One of each page, and of each variant of it."""


@contextlib.contextmanager
def page_site(look: Look) -> Iterator[str]:
    """Serve the pages and their assets at "/name", with the headers that belong to them.

    The forms that are sent are kept nowhere: they are answered by their own fields, as text.

    Yields:
        The site's URL.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            asset = look.assets.get(path.removeprefix(f"{look.assets_path}/"))
            if asset is not None:
                self._send(200, asset.headers, asset.content)
            elif (page := PAGES.get(path.removeprefix("/"))) is not None:
                wish = self.headers["Accept-Language"]
                language = choose_language(wish, look.texts, look.default_language)
                headers = page_headers(page, language)
                self._send(page.status, headers, render(page, language, look))
            else:
                self._send(404, {"Content-Type": "text/plain"}, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            fields = {name: values[0] for name, values in parse_qs(body).items()}
            told = ", ".join(f"{name}={value}" for name, value in sorted(fields.items()))
            self._send(200, {"Content-Type": "text/plain; charset=utf-8"}, told.encode())

        def log_message(self, *_: Any) -> None:
            pass

        def _send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
