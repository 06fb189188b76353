"""How each reverse proxy asks: where the client's request stands in its ask, what it understands.

The proxy that asks is trusted, but it relays what its client sent. So a convention believes the few
headers only that its example configuration overwrites, and each of them once and under its exact
name. The metadata headers of other conventions, which a client may send, are counted and otherwise
ignored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NoReturn
from urllib.parse import unquote

from authsrv.errors import BlockedRequestError, MetadataError
from authsrv.http.folding import HeaderNames, fold_name, nominated_by_connection
from authsrv.http.forwarded import (
    Address,
    AskedRequest,
    Host,
    Network,
    Scheme,
    find_client,
    lies_within,
    read_address,
    read_method,
)
from authsrv.http.paths import Target

__all__ = [
    "CADDY",
    "CONVENTIONS",
    "ENVOY",
    "HAPROXY",
    "NGINX",
    "SERVICE_PREFIX",
    "TRAEFIK",
    "Convention",
    "Passes",
    "Reading",
    "read",
    "read_page",
]

SERVICE_PREFIX: Final = "/.authsrv"
"""Below it lie the service's own pages, on every application's host. Nobody asks about them."""

_MANY: Final = 100
_FORBIDDEN: Final = 403
_SITE: Final = "X-Authsrv-Site"
_COOKIE: Final = "X-Authsrv-Cookie"
_SITE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# By these a client asks for a WebSocket or another protocol; Traefik's ask has no Upgrade then.
_UPGRADES: Final = frozenset(
    {
        b"upgrade",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    }
)
# What a proxy writes where the client came by a Unix socket.
_UNIX_SOCKETS: Final = frozenset({"unix:", "unix"})


@dataclass(frozen=True, slots=True)
class Passes:
    """How many fields of our answer a proxy hands on to the client.

    Args:
        challenges: WWW-Authenticate fields; the first ones, where we send more.
        cookies: Set-Cookie fields.
    """

    challenges: int
    cookies: int


@dataclass(frozen=True, slots=True, eq=False)
class Convention:
    """How one kind of reverse proxy asks, by the example configuration that comes for it.

    Args:
        name: The proxy's.
        path: Of the ask; where target is None, the prefix that the client's target stands behind.
        method: The header with the client's method; None where it is the ask's own.
        scheme: The header with the client's scheme.
        host: The header with the host by which the proxy routed.
        target: The header with path and query; None where they are the ask's own, behind path.
        address: The header with the client's address.
        is_address_chain: Whether that is a list to which each proxy adds the one before it.
        site: The header with the site's name, a constant in the configuration.
        cookie: The header of an acceptance with the client's Cookie field, without the service's
            own cookies; "Cookie" where the proxy cannot hand it on under another name.
        redirect_status: The status of an answer that sends the client elsewhere.
        redirect_header: The header of such an answer with the place.
        denials: The statuses that reach the client besides 200; any other becomes 403.
        on_denial: What a denial or challenge hands on.
        on_acceptance: What an acceptance hands on.
    """

    name: str
    path: str
    method: str | None
    scheme: str
    host: str
    target: str | None
    address: str
    is_address_chain: bool
    redirect_status: int
    redirect_header: str
    denials: Collection[int]
    on_denial: Passes
    on_acceptance: Passes
    site: str = _SITE
    cookie: str = _COOKIE
    metadata: tuple[str, ...] = field(init=False)
    """The names of the headers that are believed; the examples overwrite each of them."""
    _own: dict[bytes, tuple[str, bytes]] = field(init=False, repr=False, compare=False)
    """What is believed, by its folded name: its name, and the same in lower case."""

    def __post_init__(self) -> None:
        names = (self.method, self.scheme, self.host, self.target, self.address, self.site)
        object.__setattr__(self, "metadata", tuple(name for name in names if name is not None))
        own = {fold_name(name.encode()): (name, name.lower().encode()) for name in self.metadata}
        object.__setattr__(self, "_own", own)

    def is_ask(self, target: str) -> bool:
        """Whether a request with this target is an ask, or at least none with another path."""
        if not target.startswith("/"):
            return True
        if self.target is None:
            return target.startswith(f"{self.path}/")
        return target == self.path or target.startswith(f"{self.path}?")

    def status_of(self, status: int) -> int:
        """The status that tells the proxy what a denial of a status means: itself, or 403."""
        return status if status in self.denials else _FORBIDDEN


# Directives and defaults are those of ngx_http_auth_request_module. It makes 500 of what is not
# 2xx, 401 or 403; up to 1.22 it hands on the first challenge only. Cookies come by
# auth_request_set, one at most. A redirect is its error_page for 403.
NGINX: Final = Convention(
    name="nginx",
    path="/ask/nginx",
    method="X-Original-Method",
    scheme="X-Original-Scheme",
    host="X-Original-Host",
    target="X-Original-URI",
    address="X-Original-Address",
    is_address_chain=False,
    redirect_status=_FORBIDDEN,
    redirect_header="X-Authsrv-Location",
    denials=frozenset({401, _FORBIDDEN}),
    on_denial=Passes(challenges=1, cookies=1),
    on_acceptance=Passes(challenges=1, cookies=1),
)

# forward_auth sets method and URI, and reverse_proxy below it overwrites the others, the chain of
# addresses too unless trusted_proxies names its sender. The client's query stands in the ask's own
# target as well. Of a 2xx nothing reaches the client.
CADDY: Final = Convention(
    name="caddy",
    path="/ask/caddy",
    method="X-Forwarded-Method",
    scheme="X-Forwarded-Proto",
    host="X-Forwarded-Host",
    target="X-Forwarded-Uri",
    address="X-Forwarded-For",
    is_address_chain=True,
    redirect_status=303,
    redirect_header="Location",
    denials=range(300, 600),
    on_denial=Passes(challenges=_MANY, cookies=_MANY),
    on_acceptance=Passes(challenges=0, cookies=0),
)

# forwardAuth with trustForwardHeader = false, which removes the client's X-Forwarded-* and sets its
# own. A headers middleware before it sets the site. A relative Location gets the service's address
# in front, unless preserveLocationHeader is set. Cookies of a 2xx need addAuthCookiesToResponse,
# with their names. It cannot rename a header that it hands on.
TRAEFIK: Final = Convention(
    name="traefik",
    path="/ask/traefik",
    method="X-Forwarded-Method",
    scheme="X-Forwarded-Proto",
    host="X-Forwarded-Host",
    target="X-Forwarded-Uri",
    address="X-Forwarded-For",
    is_address_chain=True,
    redirect_status=303,
    redirect_header="Location",
    denials=range(300, 600),
    on_denial=Passes(challenges=_MANY, cookies=_MANY),
    on_acceptance=Passes(challenges=0, cookies=_MANY),
    cookie="Cookie",
)

# ext_authz over HTTP keeps method, host and, behind path_prefix, the target. To X-Forwarded-For of
# an ask it adds its own address, so the client's comes in a header of ours, which a header_mutation
# filter overwrites before. A 5xx is a failure of the service to it, which it may let through.
ENVOY: Final = Convention(
    name="envoy",
    path="/ask/envoy",
    method=None,
    scheme="X-Forwarded-Proto",
    host="Host",
    target=None,
    address="X-Original-Address",
    is_address_chain=False,
    redirect_status=303,
    redirect_header="Location",
    denials=range(300, 500),
    on_denial=Passes(challenges=_MANY, cookies=_MANY),
    on_acceptance=Passes(challenges=_MANY, cookies=_MANY),
    cookie="Cookie",
)

# The Lua of the example asks, and hands on what it is given.
HAPROXY: Final = Convention(
    name="haproxy",
    path="/ask/haproxy",
    method="X-Original-Method",
    scheme="X-Original-Scheme",
    host="X-Original-Host",
    target="X-Original-URI",
    address="X-Original-Address",
    is_address_chain=False,
    redirect_status=303,
    redirect_header="Location",
    denials=range(300, 600),
    on_denial=Passes(challenges=_MANY, cookies=_MANY),
    on_acceptance=Passes(challenges=_MANY, cookies=_MANY),
)

CONVENTIONS: Final = (NGINX, CADDY, TRAEFIK, ENVOY, HAPROXY)

# The Host of an ask is everybody's. The last ones are those of other services than this one.
_METADATA: Final = frozenset(
    fold_name(name.encode())
    for name in (
        *(name for convention in CONVENTIONS for name in convention.metadata if name != "Host"),
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Auth-Request-Redirect",
    )
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What an ask says.

    Args:
        asked: The client's request.
        foreign: How many headers it had that are metadata in another convention.
    """

    asked: AskedRequest
    foreign: int


def read(
    convention: Convention,
    method: str,
    target: str,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    names: HeaderNames | None = None,
    trusted_proxies: Collection[Network] = (),
) -> Reading:
    """Read the client's request out of an ask.

    Args:
        convention: That of the proxy that asks, which is trusted.
        method: The ask's own.
        target: The ask's own, as in its request line.
        headers: All header fields of the ask in their order, names and values as they came; the
            proxy's own and the client's.
        names: Their names, where somebody has looked at them already.
        trusted_proxies: Those in front of the proxy that asks. None of them is ever the client.

    Raises:
        MetadataError: The ask has a body, or metadata is missing, empty, doubled, malformed, under
            an alias, or nominated by Connection; or what it tells of is not let through.
        BlockedRequestError: The ask, or what it is about, is below the service's own prefix.
    """
    names = names or HeaderNames.of(headers)
    _refuse_bodies(names, headers)
    found, foreign = _collect(convention, headers, names)
    _demand(found, convention.metadata)
    if convention.target is None:
        own = Target.parse(target)
        asked = _target_behind(convention, own)
        _refuse_own_pages(own)
    else:
        if target != convention.path:
            _refuse_own_pages(Target.parse(target))
        asked = Target.parse(found[convention.target])
    _refuse_own_pages(asked)
    scheme = found[convention.scheme]
    request = AskedRequest(
        read_method(method if convention.method is None else found[convention.method]),
        Scheme.parse(scheme),
        Host.parse(found[convention.host]),
        asked,
        _client_of(convention, found[convention.address], trusted_proxies),
        _read_site(found[convention.site]),
        is_websocket=scheme in ("ws", "wss") or not _UPGRADES.isdisjoint(names.by_name),
    )
    return Reading(request, foreign)


def read_page(
    convention: Convention,
    method: str,
    target: str,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    trusted_proxies: Collection[Network] = (),
) -> Reading:
    """Read a request for a page of the service, which the proxy passes on as it is.

    Method and target are the request's own, and it may have a body; the rest is as of `read`.

    Raises:
        MetadataError: As `read`, where it is not about the body.
    """
    needed = (convention.scheme, convention.host, convention.address, convention.site)
    found, foreign = _collect(convention, headers, HeaderNames.of(headers))
    _demand(found, needed)
    request = AskedRequest(
        method=read_method(method),
        scheme=Scheme.parse(found[convention.scheme]),
        host=Host.parse(found[convention.host]),
        target=Target.parse(target),
        address=_client_of(convention, found[convention.address], trusted_proxies),
        site=_read_site(found[convention.site]),
        is_websocket=False,
    )
    return Reading(request, foreign)


def _refuse_bodies(names: HeaderNames, headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse what announces a body: where it is not read, it becomes the next user's request."""
    if b"transfer-encoding" in names.by_name:
        raise MetadataError("the ask has a Transfer-Encoding")
    places = names.by_name.get(b"content-length")
    if places is not None and [headers[place][1] for place in places] != [b"0"]:
        raise MetadataError("the ask has a Content-Length other than 0")


def _collect(
    convention: Convention,
    headers: Sequence[tuple[bytes, bytes]],
    names: HeaderNames,
) -> tuple[dict[str, str], int]:
    """Take each metadata header of a convention once, and count those of others."""
    if not convention._own.keys().isdisjoint(nominated_by_connection(headers, names)):
        raise MetadataError("the Connection header nominates metadata of the proxy")
    layout = names.notes.get(convention)
    if layout is None:
        layout = names.notes[convention] = _lay_out(convention, names)
    found = {
        meant: headers[place][1].decode("latin-1").strip(" \t") for meant, place in layout.places
    }
    return found, layout.foreign


class _Layout(NamedTuple):
    """Where the metadata of a convention stand in a request.

    Args:
        places: The names of headers, and their places.
        foreign: How many headers are metadata in another convention.
    """

    places: tuple[tuple[str, int], ...]
    foreign: int


def _lay_out(convention: Convention, names: HeaderNames) -> _Layout:
    found = []
    for folded, (meant, exact) in convention._own.items():
        places = names.by_fold.get(folded, ())
        if len(places) > 1 or (places and exact not in names.by_name):
            _refuse_metadata(meant, exact, [names.names[place] for place in places])
        found += [(meant, place) for place in places]
    foreign = _METADATA - convention._own.keys()
    return _Layout(tuple(found), sum(len(names.by_fold[each]) for each in foreign & names.folds))


def _demand(found: Mapping[str, str], needed: Collection[str]) -> None:
    if len(found) == len(needed) and all(found.values()):
        return
    for name in needed:
        if not found.get(name):
            raise MetadataError(f"the header {name} is missing or empty")


def _refuse_metadata(meant: str, exact: bytes, names: Sequence[bytes]) -> NoReturn:
    if any(name.lower() != exact for name in names):
        raise MetadataError(f"a header may be taken for {meant}")
    raise MetadataError(f"the header {meant} is doubled")


def _target_behind(convention: Convention, own: Target) -> Target:
    if not own.path.startswith(f"{convention.path}/"):
        raise MetadataError(f"the ask's path is not behind {convention.path}")
    return Target(own.path.removeprefix(convention.path), own.query)


def _refuse_own_pages(target: Target) -> None:
    path = unquote(target.path) if "%" in target.path else target.path
    if SERVICE_PREFIX in path.lower():
        raise BlockedRequestError("the ask is about a page of the service itself")


def _client_of(convention: Convention, text: str, trusted: Collection[Network]) -> Address | None:
    if text in _UNIX_SOCKETS:
        return None
    if convention.is_address_chain:
        return find_client(text, trusted)
    address = read_address(text)
    return None if trusted and lies_within(address, trusted) else address


def _read_site(text: str) -> str:
    if _SITE_NAME.fullmatch(text) is None:
        raise MetadataError("the name of the site has characters that no site's name has")
    return text
