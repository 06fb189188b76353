"""Cookies that a 401 sets: aiohttp takes those of the last response alone, which a 401 is not here.

A server that keeps a handshake, or spreads its clients over several machines, knows its client by
such a cookie.
"""

from __future__ import annotations

from aiohttp import ClientRequest, ClientResponse, hdrs

__all__ = ["take_cookies"]


def take_cookies(request: ClientRequest, response: ClientResponse) -> None:
    """Put a response's cookies into the session's jar, and into the request that is repeated.

    Cookies that were given to the request alone stay.

    Args:
        request: The request that is sent again.
        response: From the server, untrusted; the jar decides which of its cookies are taken, and
            for whom.
    """
    fields = response.headers.getall(hdrs.SET_COOKIE, ())
    if not fields:
        return
    jar = request.session.cookie_jar
    before = jar.filter_cookies(request.url)
    jar.update_cookies_from_headers(fields, response.url)
    after = jar.filter_cookies(request.url)
    sent = _split(request.headers.get(hdrs.COOKIE, ""))
    for name in before.keys() - after.keys():
        sent.pop(name, None)
    for name, cookie in after.items():
        if name not in before or before[name].coded_value != cookie.coded_value:
            sent[name] = f"{name}={cookie.coded_value}"
    request.headers.pop(hdrs.COOKIE, None)
    if sent:
        request.headers[hdrs.COOKIE] = "; ".join(sent.values())


def _split(field: str) -> dict[str, str]:
    pairs = filter(None, map(str.strip, field.split(";")))
    return {pair.partition("=")[0].strip(): pair for pair in pairs}
