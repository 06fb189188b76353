"""What a probe of the proxy tries: requests by which a badly configured one lets strangers in.

Each is one request without any credential. What an attacker would have to know of a site, the
names of its headers and an open page, is taken from its configuration.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from authsrv.http.paths import Target
from authsrv.service.asks.conventions import CONVENTIONS, SERVICE_PREFIX, Convention

__all__ = ["Attempt", "Probed", "Sign", "attempts_of", "open_attempt", "other_writings", "plain"]

_OWN_PAGE: Final = f"{SERVICE_PREFIX}/sign-in"
# Believed by other services, frameworks and proxies than these conventions.
_MORE_TARGETS: Final = (
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Forwarded-Path",
    "X-Auth-Request-Redirect",
)
_MORE_HOSTS: Final = ("X-Host", "X-Forwarded-Server")
_MORE_METHODS: Final = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
_MORE_ADDRESSES: Final = ("X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP")
_FOREIGN_HOST: Final = "probe.invalid"
_LOOPBACK: Final = "127.0.0.1"
# Where no password is asked for, it is for addresses such as these.
_TRUSTED: Final = (_LOOPBACK, "::1", "10.0.0.1", "192.168.0.1")
_FORM: Final = "probe=1"
# RFC 6455 section 1.3.
_SOCKET_KEY: Final = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")

_Fields = tuple[tuple[str, str], ...]


class Sign(enum.Enum):
    """By what it shows that an attempt got through."""

    PAGE = "page"
    """The answer is the page: its status is 2xx, or 101."""
    TEXT = "text"
    """The answer is a page, and has something in it. Hosts that are not its own a proxy may answer
    itself by an empty 200, as Caddy does."""
    NAME = "name"
    """The answer has the forged name in it. The page itself is open to everybody."""


@dataclass(frozen=True, slots=True)
class Probed:
    """The page that strangers must not get, and what is known of its site.

    Args:
        authority: The page's host, and its port if that is not the scheme's own.
        scheme: "https" or "http".
        target: Its path and query.
        convention: How the proxy asks.
        site: The site's name.
        open_path: A page of the site that is open to everybody; None where there is none.
        identity_names: The headers by which applications are told of clients.
        other_hosts: Hosts of other sites.
        other_sites: The names of other sites.
        addresses: Client addresses that rules of the site name.
        name: The forged name of a user; is found in no page by chance.
    """

    authority: str
    scheme: str
    target: Target
    convention: Convention
    site: str
    open_path: str | None
    identity_names: tuple[str, ...]
    other_hosts: tuple[str, ...]
    other_sites: tuple[str, ...]
    addresses: tuple[str, ...]
    name: str

    @property
    def whole(self) -> str:
        """Path and query as they stand in a request."""
        return _whole(self.target.path, self.target.query)

    @property
    def claimed(self) -> str:
        """What a request pretends to be for: the open page, or one that often is."""
        return self.open_path or "/public/"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request, and what it is about.

    Args:
        topic: What it is one of, for a heading.
        what: It in words.
        target: As in the request line, one character a byte.
        hosts: The values of its Host fields.
        fields: Its other fields.
        method: Its method.
        body: What stands behind the header section.
        version: That of the request line.
        connection: The value of its Connection field.
        sign: By what it shows that it got through.
    """

    topic: str
    what: str
    target: str
    hosts: tuple[str, ...]
    fields: _Fields = ()
    method: str = "GET"
    body: str = ""
    version: str = "HTTP/1.1"
    connection: str = "close"
    sign: Sign = Sign.PAGE

    def as_bytes(self) -> bytes:
        """The whole request."""
        lines = [
            f"{self.method} {self.target} {self.version}",
            *(f"Host: {host}" for host in self.hosts),
            "User-Agent: authsrv-probe",
            "Accept: */*",
            f"Connection: {self.connection}",
            *(f"{name}: {value}" for name, value in self.fields),
        ]
        return "\r\n".join([*lines, "", self.body]).encode("latin-1")

    @property
    def meant(self) -> tuple[tuple[str, str], ...]:
        """The pages that a proxy may take it for, each by host and path."""
        if self.target.startswith("/"):
            return tuple((host, self.target.partition("?")[0]) for host in self.hosts)
        # RFC 9112 section 3.2.2: the host of the absolute form counts, but not everybody knows.
        authority, _, rest = self.target.partition("://")[2].partition("/")
        path = "/" + rest.partition("?")[0]
        return tuple((host, path) for host in (authority, *self.hosts))


def plain(probed: Probed) -> Attempt:
    """The page itself, without anything special."""
    return Attempt("baseline", "the page, plainly", probed.whole, (probed.authority,))


def open_attempt(probed: Probed, open_path: str) -> Attempt:
    """A page that is open to everybody."""
    return Attempt("baseline", f"the open page {open_path}", open_path, (probed.authority,))


def attempts_of(probed: Probed) -> Iterator[Attempt]:
    """All that is tried at a site, in the order of a report."""
    yield from _forged_targets(probed)
    yield from _forged_rest(probed)
    yield from _whole_conventions(probed)
    yield from _own_metadata(probed)
    yield from _identities(probed)
    yield from _nominations(probed)
    yield from _absolute_forms(probed)
    yield from _paths(probed)
    yield from _hosts(probed)
    yield from _methods(probed)
    yield from _bodies(probed)
    yield from _asks(probed)


def other_writings(path: str, open_path: str) -> tuple[str, ...]:
    """Write a path in ways in which some servers take it for itself; none of them is itself.

    Args:
        path: The one that is protected.
        open_path: One that is open.
    """
    rest = path[1:]
    first = f"%{ord(rest[0]):02x}" if rest else ""
    outside = open_path.rstrip("/")
    found = [
        f"/{first}{rest[1:]}",
        f"/{first.replace('%', '%25')}{rest[1:]}",
        *(f"/{between}{rest}" for between in ("/", "./", "x/../", "x/..;/", ";x/", "\\")),
        *(f"/{between}{rest}" for between in ("%2f", "x/%2e%2e/", "x/..%2f", "x%2f..%2f")),
        *(f"{path}{end}" for end in (";x", "%00", "%20", "%ff", "/.", "%2f", "#/x", "%3fx")),
        *(f"{path}{end}" for end in ("/", ".css", "/x.css", "/favicon.ico", ";x.css", "?x.css")),
        *(
            f"{before}{between}{rest}"
            for before in (outside, SERVICE_PREFIX)
            for between in ("/../", "/..;/", "/%2e%2e/", "/..%2f", "%2f..%2f")
        ),
        f"{path}#{open_path}",
        f"{path}?{open_path}",
        path.upper(),
    ]
    return tuple(dict.fromkeys(each for each in found if each != path))


def _at(probed: Probed, topic: str, what: str, *fields: tuple[str, str]) -> Attempt:
    return Attempt(topic, what, probed.whole, (probed.authority,), fields)


def _with(probed: Probed, topic: str, name: str, value: str) -> Attempt:
    return _at(probed, topic, f"{name}: {value}", (name, value))


def _forged_targets(probed: Probed) -> Iterator[Attempt]:
    conventions = (each.target for each in (probed.convention, *CONVENTIONS))
    for name in _distinct(*conventions, *_MORE_TARGETS):
        for claimed in (probed.claimed, _OWN_PAGE):
            yield _with(probed, "another page by a header", name, claimed)
    absolute = f"{probed.scheme}://{probed.authority}{probed.claimed}"
    yield _with(probed, "another page by a header", "X-Original-URL", absolute)


def _forged_rest(probed: Probed) -> Iterator[Attempt]:
    every = (probed.convention, *CONVENTIONS)
    hosts = [each.host for each in every if each.host != "Host"]
    for name in _distinct(*hosts, *_MORE_HOSTS):
        for host in (*probed.other_hosts, _FOREIGN_HOST):
            yield _with(probed, "another host by a header", name, host)
    for name in _distinct(*(each.method for each in every), *_MORE_METHODS):
        yield _with(probed, "another method by a header", name, "OPTIONS")
    for name in _distinct(*(each.scheme for each in every)):
        yield _with(probed, "another scheme by a header", name, "http")
    for name in _distinct(*(each.address for each in every), *_MORE_ADDRESSES):
        for address in _distinct(*_TRUSTED, *probed.addresses):
            yield _with(probed, "another client's address by a header", name, address)
    forwarded = f'for={_LOOPBACK};host="{_FOREIGN_HOST}";proto=http'
    yield _with(probed, "another client's address by a header", "Forwarded", forwarded)
    for site in (*probed.other_sites, "probe"):
        yield _with(probed, "another site by a header", probed.convention.site, site)


def _whole_conventions(probed: Probed) -> Iterator[Attempt]:
    """All metadata at once, as a proxy would tell them of the open page."""
    topic = "all that a proxy tells, by headers"
    for fields, names in _conventions(probed):
        yield _at(probed, topic, f"{names}, of {probed.claimed}", *fields)


def _conventions(probed: Probed) -> Iterator[tuple[_Fields, str]]:
    distinct: dict[_Fields, list[str]] = {}
    for convention in CONVENTIONS:
        distinct.setdefault(_metadata(probed, convention), []).append(convention.name)
    for fields, names in distinct.items():
        yield fields, " and ".join(names)


def _metadata(probed: Probed, convention: Convention) -> _Fields:
    told = (
        (convention.method, "GET"),
        (convention.scheme, probed.scheme),
        (None if convention.host == "Host" else convention.host, probed.authority),
        (convention.target, probed.claimed),
        (convention.address, _LOOPBACK),
        (convention.site, probed.site),
    )
    return tuple((name, value) for name, value in told if name is not None)


def _own_metadata(probed: Probed) -> Iterator[Attempt]:
    """The one header that decides, under other names and twice."""
    topic = "the proxy's own headers under other names"
    name = probed.convention.target or probed.convention.host
    value = probed.claimed if probed.convention.target else _FOREIGN_HOST
    for other in (*_aliases(name), name.upper(), f"{name} ", f" {name}"):
        yield _at(probed, topic, f"{other!r}: {value}", (other, value))
    yield _at(probed, topic, f"{name} twice", (name, value), (name, probed.whole))
    yield _at(probed, topic, f"{name}, empty", (name, ""))


def _identities(probed: Probed) -> Iterator[Attempt]:
    for name in _distinct("Remote-User", *probed.identity_names):
        for each in (name, *_aliases(name)):
            yield _with(probed, "a name by a header", each, probed.name)
    if probed.open_path is None:
        return
    for name in _distinct("Remote-User", *probed.identity_names):
        for each in (name, *_aliases(name), f"{name} "):
            yield replace(
                _with(probed, f"the same at {probed.open_path}", each, probed.name),
                target=probed.open_path,
                sign=Sign.NAME,
            )


def _nominations(probed: Probed) -> Iterator[Attempt]:
    """RFC 9110 section 7.6.1: a proxy removes the fields that Connection names."""
    topic = "headers named in Connection"
    convention = probed.convention
    names = [name for name in convention.metadata if name != "Host"]
    for listed in (*([name] for name in names), names, ["Host"], list(probed.identity_names)):
        nominated = ", ".join(("close", *listed))
        attempt = _at(probed, topic, f"Connection: {nominated}", *_metadata(probed, convention))
        yield replace(attempt, connection=nominated)
        yield replace(attempt, connection=nominated, fields=(), what=f"{attempt.what}, alone")


def _absolute_forms(probed: Probed) -> Iterator[Attempt]:
    """RFC 9112 section 3.2.2."""
    topic = "targets in absolute form"
    for host, field in (
        (probed.authority, probed.authority),
        (probed.authority, _FOREIGN_HOST),
        *((other, probed.authority) for other in (*probed.other_hosts, _FOREIGN_HOST)),
    ):
        for scheme in ("https", "http"):
            target = f"{scheme}://{host}{probed.whole}"
            what = f"{target}, Host: {field}"
            yield Attempt(topic, what, target, (field,), sign=Sign.TEXT)


def _paths(probed: Probed) -> Iterator[Attempt]:
    for path in other_writings(probed.target.path, probed.claimed):
        target = _whole(path, probed.target.query)
        yield Attempt("the path in other words", target, target, (probed.authority,))


def _hosts(probed: Probed) -> Iterator[Attempt]:
    topic, own = "other hosts", probed.authority
    name = own.partition(":")[0] if not own.startswith("[") else own
    singles = (_FOREIGN_HOST, "localhost", _LOOPBACK, f"{name}.", f"{name}:9", f"x@{own}", "")
    for host in (*probed.other_hosts, *singles, own.upper()):
        yield Attempt(topic, f"Host: {host}", probed.whole, (host,), sign=Sign.TEXT)
    other = next(iter(probed.other_hosts), _FOREIGN_HOST)
    for hosts in ((own, other), (other, own), (own, own)):
        what = f"two Host fields: {', '.join(hosts)}"
        yield Attempt(topic, what, probed.whole, hosts, sign=Sign.TEXT)
    none = Attempt(topic, "no Host", probed.whole, (), sign=Sign.TEXT)
    yield none
    yield replace(none, version="HTTP/1.0", what="no Host, HTTP/1.0")


def _methods(probed: Probed) -> Iterator[Attempt]:
    topic = "other methods"
    page = _at(probed, topic, "")
    for method in ("HEAD", "OPTIONS", "PROPFIND", "TRACE", "PROBE", "get"):
        yield replace(page, method=method, what=method)
    preflight = (("Origin", "https://probe.invalid"), ("Access-Control-Request-Method", "GET"))
    yield replace(page, method="OPTIONS", fields=preflight, what="OPTIONS, a CORS preflight")
    socket = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), _SOCKET_KEY)
    yield replace(page, connection="Upgrade", fields=socket, what="a WebSocket")
    # RFC 7540 section 3.2; RFC 9113 has dropped it, but not every proxy did.
    clear = (("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__"))
    what = "Upgrade: h2c"
    yield replace(page, connection="Upgrade, HTTP2-Settings", fields=clear, what=what)


def _bodies(probed: Probed) -> Iterator[Attempt]:
    page = _at(probed, "bodies", "")
    length, chunked = ("Content-Length", str(len(_FORM))), ("Transfer-Encoding", "chunked")
    in_chunks = f"{len(_FORM):x}\r\n{_FORM}\r\n0\r\n\r\n"
    for method in ("POST", "GET"):
        sent = replace(page, method=method)
        what = f"{method} with Content-Length and a body"
        yield replace(sent, fields=(length,), body=_FORM, what=what)
        yield replace(sent, fields=(chunked,), body=in_chunks, what=f"{method} with a chunked body")
    both = (("Content-Length", str(len(in_chunks))), chunked)
    what = "POST with Content-Length and Transfer-Encoding"
    yield replace(page, method="POST", fields=both, body=in_chunks, what=what)


def _asks(probed: Probed) -> Iterator[Attempt]:
    """The path at which the proxy itself asks, with all that it would tell."""
    topic = "the paths of the ask"
    paths = {each.path: each for each in CONVENTIONS}
    asked = [("/authsrv-ask", probed.convention), ("/authsrv/ask", probed.convention)]
    for path, convention in (*paths.items(), *asked):
        whole = path + (probed.claimed if convention.target is None else "")
        yield Attempt(topic, whole, whole, (probed.authority,), _metadata(probed, convention))


def _aliases(name: str) -> tuple[str, str]:
    """Names that CGI and its heirs take for it."""
    return name.replace("-", "_"), name.replace("-", ".")


def _whole(path: str, query: str) -> str:
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{query}"


def _distinct(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))
