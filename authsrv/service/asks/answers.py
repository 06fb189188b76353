"""What the service answers to an ask, and how each proxy is told it.

There is one Admitted, and one function makes it (`authsrv.service.asks.asks`); everything else
keeps the request out. A proxy understands certain statuses only, and hands on certain fields only.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web
from multidict import CIMultiDict

from authsrv.errors import AuthsrvError
from authsrv.http.reply import answer_for, build_error_response
from authsrv.service.asks.acceptance import Acceptance
from authsrv.service.asks.conventions import Convention

__all__ = [
    "ADMITTED",
    "REFERENCE_HEADER",
    "VERDICT_HEADER",
    "Admitted",
    "Answer",
    "Denied",
    "SignIn",
    "render",
]

VERDICT_HEADER = "X-Authsrv-Verdict"
"""Of an acceptance. Without it the examples let nobody in, whatever the status says: something else
than the service may answer at its address."""
ADMITTED = "admitted"
"""The value of that header; no other answer has it."""
REFERENCE_HEADER = "X-Authsrv-Reference"
"""Of a denial: its reference, for proxies that show the client a text of their own."""

_FIXED = (
    ("Cache-Control", "no-store"),
    ("Vary", "Authorization, Cookie"),
    ("X-Content-Type-Options", "nosniff"),
)
# Some proxies show the client what we say with a denial.
_SHOWN = (
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
_FIXED_FIELDS = tuple((name.encode(), value.encode()) for name, value in _FIXED)
_VERDICT_FIELD = (VERDICT_HEADER.encode(), ADMITTED.encode())
_REQUIRED = "Authentication is required.\n"
_GOING_ON = """\
<!DOCTYPE html>
<meta http-equiv="refresh" content="0; url={where}">
<title>401</title>
<p><a href="{where}">Authentication is required.</a></p>
"""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The request goes on to the application.

    Args:
        headers: What the application is told, each of the site's identity headers once.
        cookie: The Cookie field that the application is to see, byte for byte.
        challenge: The WWW-Authenticate field by which the server proves itself, if it does.
        set_cookie: A cookie for the client, if there is one.
    """

    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    cookie: bytes = field(repr=False)
    challenge: str | None = field(default=None, repr=False)
    set_cookie: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SignIn:
    """The client has to say who it is.

    Args:
        challenge: The WWW-Authenticate field; None where no ticket is asked for.
        location: Where the client is sent; with a challenge, where it goes on without a ticket.
            None where it is sent nowhere.
        set_cookie: A cookie for the client, if there is one.
    """

    challenge: str | None = None
    location: str | None = None
    set_cookie: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """The request does not go on. The client is told a fixed text and the reference.

    Args:
        error: The cause, for the log.
        reference: Stands in the answer and in the log.
        status: The status that HTTP has for it, before the proxy's convention is looked at.
        text: What the client reads.
        challenge: The WWW-Authenticate field, where a program may try again with a ticket.
    """

    error: AuthsrvError
    reference: str
    status: int
    text: str
    challenge: str | None = field(default=None, repr=False)

    @classmethod
    def because(cls, error: AuthsrvError) -> Denied:
        """Make it of an error. What is 401 elsewhere is so here: but nothing is asked for."""
        reply = build_error_response(error)
        return cls(error, reply.reference, int(answer_for(error).status), reply.text)


Answer = Admitted | SignIn | Denied
"""One of three; only one of them lets anybody in."""


def render(answer: Answer, convention: Convention) -> web.Response:
    """Make the answer that a proxy understands."""
    match answer:
        case Admitted():
            return _acceptance(answer, convention)
        case SignIn(challenge=None, location=str()):
            return _redirect(answer, convention)
        case SignIn():
            return _challenge(answer, convention)
        case Denied():
            return _denial(answer, convention)


def _acceptance(answer: Admitted, convention: Convention) -> web.Response:
    passes = convention.on_acceptance
    fields = [
        *_FIXED_FIELDS,
        *answer.headers,
        (convention.cookie.encode(), answer.cookie),
        _VERDICT_FIELD,
    ]
    if answer.challenge is not None and passes.challenges:
        fields.append((b"WWW-Authenticate", answer.challenge.encode()))
    if answer.set_cookie is not None and passes.cookies:
        fields.append((b"Set-Cookie", answer.set_cookie.encode()))
    return Acceptance(fields)


def _challenge(answer: SignIn, convention: Convention) -> web.Response:
    headers = list(_cookies(answer, convention))
    if answer.challenge is not None:
        headers.append(("WWW-Authenticate", answer.challenge))
    if answer.location is None:
        return _answer(HTTPStatus.UNAUTHORIZED, headers, _REQUIRED)
    if convention.redirect_header != "Location":
        headers.append((convention.redirect_header, answer.location))
    # A browser without a ticket shows this page, and goes on to where there is a form.
    page = _GOING_ON.format(where=html.escape(answer.location))
    return _answer(HTTPStatus.UNAUTHORIZED, headers, page, content_type="text/html")


def _redirect(answer: SignIn, convention: Convention) -> web.Response:
    assert answer.location is not None
    headers = [(convention.redirect_header, answer.location), *_cookies(answer, convention)]
    return _answer(convention.redirect_status, headers, _REQUIRED)


def _denial(answer: Denied, convention: Convention) -> web.Response:
    headers = [(REFERENCE_HEADER, answer.reference)]
    if answer.challenge is not None:
        headers.append(("WWW-Authenticate", answer.challenge))
    return _answer(convention.status_of(answer.status), headers, answer.text)


def _cookies(answer: SignIn, convention: Convention) -> Iterable[tuple[str, str]]:
    if answer.set_cookie is not None and convention.on_denial.cookies:
        yield "Set-Cookie", answer.set_cookie


def _answer(
    status: int,
    headers: Iterable[tuple[str, str]] = (),
    text: str = "",
    *,
    content_type: str = "text/plain",
) -> web.Response:
    fields = CIMultiDict((*_FIXED, *_SHOWN, *headers))
    return web.Response(status=int(status), headers=fields, text=text, content_type=content_type)
