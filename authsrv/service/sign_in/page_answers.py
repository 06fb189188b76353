"""Answers of the service's own pages: pages, redirects, and what programs read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from authsrv.http.languages import choose_language
from authsrv.service.asks.fields import Fields
from authsrv.service.pages.look import Look
from authsrv.service.pages.page import Page, page_headers, render

__all__ = ["json_answer", "page_answer", "redirect"]

_NEVER_KEPT = (
    ("Cache-Control", "no-store"),
    ("Vary", "Authorization, Cookie"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


def page_answer(
    page: Page,
    fields: Fields,
    look: Look,
    *,
    cookies: Iterable[str] = (),
    headers: Iterable[tuple[str, str]] = (),
    form_targets: Iterable[str] = (),
) -> web.Response:
    """Show a page in the language that the browser asks for.

    Args:
        page: The page.
        fields: Those of the request, untrusted.
        look: Texts, stylesheets and logo.
        cookies: Set-Cookie fields.
        headers: Other fields.
        form_targets: As of `page_headers`.
    """
    wished = ", ".join(fields.texts(b"accept-language")) or None
    language = choose_language(wished, look.texts, look.default_language)
    answered: CIMultiDict[str] = CIMultiDict(
        page_headers(page, language, form_targets=tuple(form_targets))
    )
    answered.extend([*headers, *(("Set-Cookie", cookie) for cookie in cookies)])
    body = render(page, language, look)
    return web.Response(status=int(page.status), headers=answered, body=body)


def redirect(
    where: str, *, cookies: Iterable[str] = (), headers: Iterable[tuple[str, str]] = ()
) -> web.Response:
    """Send the browser elsewhere, by GET."""
    answered: CIMultiDict[str] = CIMultiDict((*_NEVER_KEPT, ("Location", where)))
    answered.extend([*headers, *(("Set-Cookie", cookie) for cookie in cookies)])
    return web.Response(status=int(HTTPStatus.SEE_OTHER), headers=answered)


def json_answer(
    content: Mapping[str, Any],
    status: HTTPStatus = HTTPStatus.OK,
    *,
    cache_seconds: int | None = None,
) -> web.Response:
    """Tell a program something; kept by nobody, unless it is public."""
    answered: CIMultiDict[str] = CIMultiDict(_NEVER_KEPT)
    if cache_seconds is not None:
        answered["Cache-Control"] = f"public, max-age={cache_seconds}"
    text = json.dumps(content) + "\n"
    return web.Response(
        status=int(status), headers=answered, text=text, content_type="application/json"
    )
