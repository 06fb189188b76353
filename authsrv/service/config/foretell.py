"""What would happen to a request, in words: for operators, from the settings alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from authsrv.core.identity import Identity
from authsrv.core.realms import RealmPolicy
from authsrv.errors import MetadataError
from authsrv.http.folding import NO_NAMES
from authsrv.http.forwarded import AskedRequest, Host, Scheme, read_address, read_method
from authsrv.http.paths import Target
from authsrv.service.config.explain import explain
from authsrv.service.config.services import realms_of_keytab
from authsrv.service.config.settings import Settings
from authsrv.service.sites.headers import Facts
from authsrv.service.sites.people import Subject
from authsrv.service.sites.rule import RuledRequest
from authsrv.service.sites.rules import Verdict
from authsrv.service.sites.site import Site

__all__ = ["ForetoldRequest", "foretell", "read_url"]


@dataclass(frozen=True, slots=True)
class ForetoldRequest:
    """A request that nobody has made.

    Args:
        url: Its address, with scheme and host.
        method: Its method.
        user: The principal; None for somebody whose identity is not known.
        mechanism: How the user proved it.
        address: The client's IP address; None if it is not known.
        is_channel_bound: Whether the proof was bound to the channel.
    """

    url: str
    method: str = "GET"
    user: str | None = None
    mechanism: str = "kerberos"
    address: str | None = None
    is_channel_bound: bool = False


def foretell(settings: Settings, request: ForetoldRequest) -> str:
    """Tell what would happen, by which rule, and what the application would be told.

    Raises:
        AuthsrvError: It would be refused before a rule is looked at, or afterwards, as its cause
            says; or the request is none.
    """
    asked = _asked(request)
    site = settings.sites.find(asked)
    subject = _subject(settings, site, request)
    explanation = explain(site.rules, RuledRequest.of(asked, NO_NAMES), subject)
    lines = [f"site {site.name}, by {_who(request, subject)}:", str(explanation)]
    if explanation.ruling.is_yes:
        lines += ["the application is told:", *_headers(site, subject)]
    elif explanation.ruling.verdict is Verdict.IDENTITY_NEEDED:
        lines.append("the client has to say who it is; --user tells what comes then")
    return "\n".join(lines)


def _who(request: ForetoldRequest, subject: Subject | None) -> str:
    if subject is None:
        return "nobody known"
    groups = ", ".join(sorted(subject.groups.names)) or "none"
    return f"{request.user}, proved by {request.mechanism}, known groups: {groups}"


def read_url(url: str) -> tuple[Scheme, Host, Target]:
    """Read an address that an operator gives.

    Raises:
        MetadataError: It has no scheme, its host is none, or its path is not percent-encoded.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise MetadataError("the URL has no scheme: write it as https://wiki.example.org/")
    authority, _, target = rest.partition("/")
    if not target.isascii() or not target.isprintable() or " " in target:
        raise MetadataError("the URL's path has characters that must be percent-encoded")
    return Scheme.parse(scheme), Host.parse(authority), Target.parse(f"/{target}")


def _asked(request: ForetoldRequest) -> AskedRequest:
    scheme, host, target = read_url(request.url)
    return AskedRequest(
        method=read_method(request.method),
        scheme=scheme,
        host=host,
        target=target,
        address=None if request.address is None else read_address(request.address),
        site=None,
        is_websocket=False,
    )


def _subject(settings: Settings, site: Site, request: ForetoldRequest) -> Subject | None:
    if request.user is None:
        return None
    identity = Identity(request.user, request.mechanism, channel_bound=request.is_channel_bound)
    RealmPolicy(site.realms, lambda: realms_of_keytab(settings.keytab)).check(identity)
    groups = site.groups_that_matter(settings.groups.groups_of(identity))
    return Subject.of_identity(identity, groups)


def _headers(site: Site, subject: Subject | None) -> Iterator[str]:
    headers = site.headers
    if subject is None:
        rendered = headers.render_nobody()
    else:
        rendered = headers.render(Facts(subject, time.time()))
    for name, value in rendered.fields:
        yield f"  {name}: {value.decode('utf-8', 'replace')}".rstrip()
    for event, name, count in rendered.events:
        yield f"  {event.value}: {count} left out of {name}"
