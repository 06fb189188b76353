"""How a client is led to an identity: may it be asked for a ticket, and may it be sent elsewhere?

A browser answers a Negotiate challenge by itself, whoever wrote the page that the request comes
from, and pops up a window for a password where it has no ticket. A script that fetches data can
follow neither a redirect to a login page nor show one. So it counts what kind of request it is, by
what the browser says of it (W3C Fetch Metadata); programs say nothing.
"""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import NamedTuple

from authsrv.http.forwarded import AskedRequest
from authsrv.http.origins import OriginPolicy, Provenance
from authsrv.service.asks.fields import Fields

__all__ = ["Visit", "provenance_of", "visit_of"]

_OWN_PAGES_ONLY = OriginPolicy()
_OWN_SITES = frozenset({b"same-origin", b"none"})
_PAGE_METHODS = frozenset({"GET", "HEAD"})


class Visit(enum.Enum):
    """What kind of request it is, as far as leading its client is concerned."""

    PAGE = "page"
    """A person opens a page: it may be redirected, shown a page, and asked for a ticket."""
    PROGRAM = "program"
    """No browser, or a script of the site itself: it may be asked for a ticket."""
    FOREIGN = "foreign"
    """A page of another site makes it in the user's name: it is led nowhere."""


class _Fetch(NamedTuple):
    """What the browser says of a request; empty where it says nothing."""

    site: bytes
    mode: bytes
    destination: bytes


def visit_of(asked: AskedRequest, fields: Fields) -> Visit:
    """Tell what kind a request is, by fields of the client, untrusted.

    Who lies about them leads nobody but himself: they decide what is offered, never who is let in.
    """
    fetch = _Fetch(
        fields.joined(b"sec-fetch-site"),
        fields.joined(b"sec-fetch-mode"),
        fields.joined(b"sec-fetch-dest"),
    )
    if not _is_own(fetch, asked, fields):
        is_page = _is_navigation(fetch) and asked.method in _PAGE_METHODS
        return Visit.PAGE if is_page and not asked.is_websocket else Visit.FOREIGN
    if asked.is_websocket:
        return Visit.PROGRAM
    if fetch.mode or fetch.site:
        is_page = _is_navigation(fetch) and asked.method in _PAGE_METHODS
        return Visit.PAGE if is_page else Visit.PROGRAM
    wants_page = asked.method == "GET" and b"text/html" in fields.joined(b"accept").lower()
    return Visit.PAGE if wants_page else Visit.PROGRAM


def _is_navigation(fetch: _Fetch) -> bool:
    return fetch.mode == b"navigate" and fetch.destination in (b"", b"document")


def _is_own(fetch: _Fetch, asked: AskedRequest, fields: Fields) -> bool:
    """Whether no page of another site makes the request, as far as the browser tells.

    Of a WebSocket, and over plain http, browsers tell the origin alone.
    """
    if not fields.has(b"origin") or (fetch.site and not asked.is_websocket):
        return fetch.site in (b"", *_OWN_SITES)
    # As of a WebSocket, so that safe methods are looked at, too.
    provenance = replace(provenance_of(asked, fields), is_websocket=True)
    return _OWN_PAGES_ONLY.refusal(provenance) is None


def provenance_of(asked: AskedRequest, fields: Fields) -> Provenance:
    """What a request says of where it comes from, for the rule on other sites' pages."""
    return Provenance(
        method=asked.method,
        is_websocket=asked.is_websocket,
        fetch_site=fields.texts(b"sec-fetch-site"),
        origin=fields.texts(b"origin"),
        host=[str(asked.host)],
        scheme=asked.scheme.value,
    )
