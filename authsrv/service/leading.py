"""How a client is led to an identity: may it be asked for a ticket, and may it be sent elsewhere?

A browser answers a Negotiate challenge by itself, whoever wrote the page that the request comes
from, and pops up a window for a password where it has no ticket. A script that fetches data can
follow neither a redirect to a login page nor show one. So it counts what kind of request it is, by
what the browser says of it (W3C Fetch Metadata); programs say nothing.
"""

from __future__ import annotations

import enum

from authsrv.service.fields import Fields

__all__ = ["Visit", "visit_of"]

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


def visit_of(method: str, fields: Fields) -> Visit:
    """Tell what kind a request is, by fields of the client, untrusted.

    Who lies about them leads nobody but himself: they decide what is offered, never who is let in.
    """
    site, mode = fields.joined(b"sec-fetch-site"), fields.joined(b"sec-fetch-mode")
    if fields.has(b"upgrade"):
        return _of_site(site)
    if mode == b"navigate" and fields.joined(b"sec-fetch-dest") in (b"", b"document"):
        return Visit.PAGE if method in _PAGE_METHODS else _of_site(site)
    if mode or site:
        return _of_site(site)
    wants_page = method == "GET" and b"text/html" in fields.joined(b"accept").lower()
    return Visit.PAGE if wants_page else Visit.PROGRAM


def _of_site(site: bytes) -> Visit:
    return Visit.PROGRAM if not site or site in _OWN_SITES else Visit.FOREIGN
