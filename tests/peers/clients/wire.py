"""One connection to a server, and requests with tokens on it, for clients that only make tokens."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

__all__ = ["exchange", "open_connection"]

LIMIT_S = 30


def open_connection(url: str, certificate: str) -> http.client.HTTPConnection:
    """Connect to the server of a URL."""
    place = urlsplit(url)
    assert place.hostname is not None
    if place.scheme == "http":
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=LIMIT_S)
    else:
        trust = ssl.create_default_context(cafile=certificate)
        connection = http.client.HTTPSConnection(
            place.hostname, place.port, timeout=LIMIT_S, context=trust
        )
    connection.connect()
    return connection


def exchange(
    connection: http.client.HTTPConnection, step: Callable[[bytes | None], bytes | None]
) -> str:
    """Ask for "/" with the tokens of an initiator until it has none; the last status and page."""
    token = step(None)
    said = ""
    while token:
        value = f"Negotiate {base64.b64encode(token).decode()}"
        connection.request("GET", "/", headers={"Authorization": value})
        answer = connection.getresponse()
        said = f"{answer.status} {answer.read().decode()}"
        _, _, given = (answer.getheader("WWW-Authenticate") or "").partition(" ")
        token = step(base64.b64decode(given)) if given else None
    return said
