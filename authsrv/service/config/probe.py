"""The probe of a proxy: does it let anybody in without a credential, whatever is sent to it?

It sees what a client sees. That an application silently believes a forged name it cannot see, and
neither what nobody has thought of; so a good result is no proof.
"""

from __future__ import annotations

import enum
import re
import secrets
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from authsrv.errors import AuthsrvError, MetadataError, UnknownSiteError
from authsrv.http.folding import NO_NAMES
from authsrv.http.forwarded import AskedRequest, Host, Scheme, read_method
from authsrv.http.paths import Target
from authsrv.service.asks.conventions import SERVICE_PREFIX
from authsrv.service.config.foretell import read_url
from authsrv.service.config.probe_attempts import (
    Attempt,
    Probed,
    Sign,
    attempts_of,
    open_attempt,
    plain,
)
from authsrv.service.config.settings import Settings
from authsrv.service.sites.rule import Access, RuledRequest
from authsrv.service.sites.site import Site

__all__ = ["Finding", "Outcome", "Way", "probe", "summarize"]

_DEADLINE_S: Final = 10.0
_MAX_HEAD_BYTES: Final = 65_536
# How much of an answer's body tells whether an attempt got through.
_BODY_BYTES: Final = {Sign.PAGE: 0, Sign.TEXT: 1, Sign.NAME: 262_144}
_CHUNK: Final = 16_384
_MAX_ADDRESSES: Final = 3
_DEFAULT_PORTS: Final = {Scheme.HTTP: 80, Scheme.HTTPS: 443}
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |$)")
_LOCATION: Final = re.compile(rb"^location:[ \t]*+([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_EMPTY: Final = re.compile(rb"^content-length:[ \t]*+0[ \t]*+\r?$", re.IGNORECASE | re.MULTILINE)
_SWITCHING: Final = 101


class Outcome(enum.Enum):
    """What came of an attempt."""

    KEPT_OUT = "kept out"
    LET_IN = "LET IN"
    OPEN = "open"
    """It was let in, and by the rules it may be."""
    UNTRIED = "not tried"
    """The rules let everybody in at it, so that it would tell nothing."""
    UNCLEAR = "UNCLEAR"
    """What came is neither; nothing can be concluded from this probe."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the proxy is reached.

    Args:
        host: Its name or address.
        port: Its port.
        tls: How its certificate is verified; None for plain HTTP.
        server_name: The name that its certificate must have, and that it is told in TLS.
        deadline_s: How long one request may take, in seconds.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str
    deadline_s: float = _DEADLINE_S

    @classmethod
    def to(cls, url: str, address: str | None = None, *, is_tls_verified: bool = True) -> Way:
        """Find the way to a URL.

        Args:
            url: It.
            address: The host and port to connect to, if they are not the URL's own.
            is_tls_verified: Whether the certificate must be good.

        Raises:
            MetadataError: The URL or the address is none.
        """
        scheme, named, _ = read_url(url)
        place = named if address is None else Host.parse(address)
        tls = ssl.create_default_context() if scheme is Scheme.HTTPS else None
        if tls is not None and not is_tls_verified:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        port = place.port or _DEFAULT_PORTS[scheme]
        return cls(place.name.strip("[]"), port, tls, named.name.strip("[]"))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of an attempt.

    Args:
        attempt: It.
        outcome: What came.
        cause: The same in words: a status, or why there is none.
    """

    attempt: Attempt
    outcome: Outcome
    cause: str = ""

    def __str__(self) -> str:
        return f"{self.outcome.value:<9} {self.cause:<13} {self.attempt.what}"


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came back: a status, or None and why there is none."""

    status: int | None
    cause: str
    location: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def is_page(self) -> bool:
        return self.status is not None and (self.status // 100 == 2 or self.status == _SWITCHING)

    @property
    def is_refusal(self) -> bool:
        """Whether it says no, or leads elsewhere, as an answer to a stranger has to."""
        return self.status is not None and (self.status in (401, 403) or self.status // 100 == 3)


def probe(settings: Settings, url: str, way: Way) -> Iterator[Finding]:
    """Send the proxy what should not get through; gives what came of each request, one by one.

    First and last come requests without anything special. If these do not come out as they must,
    the rest would tell nothing: a finding is UNCLEAR then, or the first one LET_IN and the last.

    Args:
        settings: Those of the service behind the proxy.
        url: A page that strangers must not get.
        way: How the proxy is reached. The call blocks for as long as its deadline at each request.

    Raises:
        UnknownSiteError: The URL is of no site.
        MetadataError: It is no URL, or the rules let everybody in there.
    """
    probed = _look_up(settings, url)
    return _run(settings, Scheme(probed.scheme), probed, way)


def summarize(findings: Iterable[Finding]) -> tuple[bool, str]:
    """Tell whether nothing was let in, and the same in words."""
    outcomes = [each.outcome for each in findings]
    let_in, tried = outcomes.count(Outcome.LET_IN), len(outcomes) - outcomes.count(Outcome.UNTRIED)
    if let_in:
        return False, f"LET IN without a credential: {let_in} of {tried} requests"
    if Outcome.UNCLEAR in outcomes:
        return False, "it cannot be told whether the proxy keeps strangers out: see UNCLEAR above"
    return True, f"nothing was let in: {tried} requests, none with a credential"


def _run(settings: Settings, scheme: Scheme, probed: Probed, way: Way) -> Iterator[Finding]:
    for finding in _baseline(probed, way):
        yield finding
        if finding.attempt.what == plain(probed).what and finding.outcome is not Outcome.KEPT_OUT:
            return
    for attempt in attempts_of(probed):
        if attempt.sign is not Sign.NAME and _is_open(settings, scheme, attempt):
            yield Finding(attempt, Outcome.UNTRIED, "open by rule")
        else:
            yield _judge(attempt, _send(way, attempt), probed.name)
    # A proxy that has begun to refuse whatever we send keeps nothing out by what was tried here.
    yield from _baseline(probed, way)


def _baseline(probed: Probed, way: Way) -> Iterator[Finding]:
    attempt = plain(probed)
    reply = _send(way, attempt)
    if reply.is_page:
        yield Finding(attempt, Outcome.LET_IN, reply.cause)
    else:
        outcome = Outcome.KEPT_OUT if reply.is_refusal else Outcome.UNCLEAR
        yield Finding(attempt, outcome, reply.cause)
    if probed.open_path is not None:
        attempt = open_attempt(probed, probed.open_path)
        reply = _send(way, attempt)
        is_through = reply.status is not None and reply.status < 500 and not _is_ours(reply)
        yield Finding(attempt, Outcome.OPEN if is_through else Outcome.UNCLEAR, reply.cause)


def _is_ours(reply: _Reply) -> bool:
    """Whether the answer is a refusal and not the application's; that may be a 404, too."""
    return reply.status in (401, 403) or SERVICE_PREFIX in reply.location


def _judge(attempt: Attempt, reply: _Reply, name: str) -> Finding:
    if reply.status is None and reply.cause == _NO_HTTP:
        return Finding(attempt, Outcome.UNCLEAR, reply.cause)
    if attempt.sign is Sign.NAME:
        is_in = name.encode() in reply.body
        cause = f"{reply.cause}, {'shown' if is_in else 'hidden'}"
    else:
        is_empty = attempt.sign is Sign.TEXT and reply.is_page and not reply.body
        is_in = reply.is_page and not is_empty
        cause = f"{reply.cause}, empty" if is_empty else reply.cause
    return Finding(attempt, Outcome.LET_IN if is_in else Outcome.KEPT_OUT, cause)


# What the configuration says of the page and of its site.


def _look_up(settings: Settings, url: str) -> Probed:
    scheme, host, target = read_url(url)
    site = settings.sites.of_host(host, scheme)
    if site is None:
        raise UnknownSiteError(f"the URL's host {host.name} is of no site")
    if _is_open_to_all(settings, scheme, host, "GET", target.path):
        raise MetadataError(f"the rules let everybody in at {target.path}: probe another page")
    others = [each for each in settings.sites.sites if each is not site]
    hosts = (each.hosts[0] for each in others if not each.hosts[0].is_wildcard)
    return Probed(
        authority=host.name if host.port is None else f"{host.name}:{host.port}",
        scheme=scheme.value,
        target=target,
        convention=settings.convention,
        site=site.name,
        open_path=_find_open_path(settings, scheme, host, site),
        identity_names=settings.sites.identity_names,
        other_hosts=tuple(islice(map(str, hosts), _MAX_ADDRESSES)),
        other_sites=tuple(each.name for each in others[:_MAX_ADDRESSES]),
        addresses=tuple(islice(_addresses(site), _MAX_ADDRESSES)),
        name=f"probe-{secrets.token_hex(8)}",
    )


def _find_open_path(settings: Settings, scheme: Scheme, host: Host, site: Site) -> str | None:
    open_rules = (rule for rule in site.rules.rules if rule.access is Access.OPEN)
    patterns = (each.pattern for rule in open_rules for each in rule.paths)
    for pattern in (*patterns, "/"):
        path = pattern.removesuffix("**").replace("*", "x")
        if _is_open_to_all(settings, scheme, host, "GET", path):
            return path
    return None


def _addresses(site: Site) -> Iterator[str]:
    """An address of each network that a rule is about: whoever claims it may be let in by it."""
    for rule in site.rules.rules:
        for network in () if rule.networks is None else rule.networks.networks:
            is_one = network.num_addresses == 1
            yield str(network.network_address if is_one else network.network_address + 1)


def _is_open(settings: Settings, scheme: Scheme, attempt: Attempt) -> bool:
    for authority, path in attempt.meant:
        try:
            host = Host.parse(authority)
        except MetadataError:
            continue
        if _is_open_to_all(settings, scheme, host, attempt.method, path):
            return True
    return False


def _is_open_to_all(settings: Settings, scheme: Scheme, host: Host, method: str, path: str) -> bool:
    """Whether the rules let everybody in, from wherever."""
    try:
        asked = AskedRequest(read_method(method), scheme, host, Target(path), None, None, False)
        candidates = settings.sites.find(asked).rules.candidates(RuledRequest.of(asked, NO_NAMES))
    except AuthsrvError:
        return False
    return candidates.rule_on(None).is_yes


# The wire.

_NO_HTTP: Final = "no HTTP"


def _send(way: Way, attempt: Attempt) -> _Reply:
    """Send one request over a connection of its own, and read what is needed of the answer."""
    end = time.monotonic() + way.deadline_s
    try:
        with _connect(way) as connection:
            connection.settimeout(max(end - time.monotonic(), 0.001))
            connection.sendall(attempt.as_bytes())
            return _read(connection, end, _BODY_BYTES[attempt.sign])
    except ssl.SSLCertVerificationError as error:
        return _Reply(None, f"the certificate: {error.verify_message} (see --insecure-tls)")
    except TimeoutError:
        return _Reply(None, "no answer")
    except OSError as error:
        return _Reply(None, (error.strerror or "no answer").lower())


def _connect(way: Way) -> socket.socket:
    connection = socket.create_connection((way.host, way.port), way.deadline_s)
    if way.tls is None:
        return connection
    try:
        return way.tls.wrap_socket(connection, server_hostname=way.server_name)
    except BaseException:
        connection.close()
        raise


def _read(connection: socket.socket, end: float, body_bytes: int) -> _Reply:
    received = b""
    while True:
        head, found, rest = received.partition(b"\r\n\r\n")
        if not found:
            more = b"" if len(received) > _MAX_HEAD_BYTES else _receive(connection, end)
            if not more:
                return _Reply(None, _NO_HTTP if received else "closed")
            received += more
            continue
        status = _STATUS.match(head.partition(b"\r\n")[0])
        if status is None:
            return _Reply(None, _NO_HTTP)
        code = int(status[1])
        if code // 100 != 1 or code == _SWITCHING:
            break
        received = rest
    place = _LOCATION.search(head)
    location = "" if place is None else place[1].decode("latin-1")
    if _EMPTY.search(head) is None:
        rest = _read_body(connection, end, rest, body_bytes)
    return _Reply(code, str(code), location, rest)


def _read_body(connection: socket.socket, end: float, body: bytes, limit: int) -> bytes:
    """Read up to the end of the connection, the limit or the deadline, whichever is first."""
    try:
        while len(body) < limit and (more := _receive(connection, end)):
            body += more
    except OSError:
        pass
    return body


def _receive(connection: socket.socket, end: float) -> bytes:
    remaining = end - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    connection.settimeout(remaining)
    return connection.recv(_CHUNK)
