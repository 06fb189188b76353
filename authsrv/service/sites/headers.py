"""What an application is told of the client: header fields, filled from what is known of it.

A field is always there, and empty where nothing is known; so the application never sees one of the
client's own. No value has a control character. What a value could be mistaken for is refused.
"""

from __future__ import annotations

import datetime
import enum
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from authsrv.core.settings import as_instance, as_member, as_number
from authsrv.errors import ConfigError, ForbiddenError, IdentityTooLargeError
from authsrv.http.folding import fold_name
from authsrv.service.sites.groups import GroupSet
from authsrv.service.sites.header_text import Encoding, encode_list, encode_text, is_plain
from authsrv.service.sites.networks import Fit
from authsrv.service.sites.people import NameList, Subject

__all__ = [
    "PRESETS",
    "Attribute",
    "Facts",
    "HeaderEvent",
    "HeaderField",
    "HeaderMap",
    "RenderedHeaders",
]

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_JOINER: Final = re.compile(r"[,;|:] ?")
_MAX_SHOWN: Final = 64
# Clients that were told of lately; they are told of in the same words.
_MOST_KEPT: Final = 1_024
_NO_NAMES: Final = NameList(())

# Fields that mean something to proxies and browsers, or by which a proxy tells of the request; by
# RFC 9110, RFC 7239 and the conventions of proxies.
_RESERVED: Final = frozenset(
    fold_name(name.encode())
    for name in """
    Accept Authorization Connection Content-Encoding Content-Length Content-Type Cookie Date
    Expect Forwarded Host Keep-Alive Location Origin Proxy-Authenticate Proxy-Authorization
    Proxy-Connection Range Referer Server Set-Cookie TE Trailer Transfer-Encoding Upgrade
    User-Agent Vary Via WWW-Authenticate X-Accel-Redirect X-Forwarded-For X-Forwarded-Host
    X-Forwarded-Method X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-Proto X-Forwarded-Server
    X-Forwarded-Uri X-HTTP-Method X-HTTP-Method-Override X-Method-Override X-Original-Address
    X-Original-Host X-Original-Method X-Original-Scheme X-Original-URI X-Original-URL X-Real-IP
    X-Rewrite-URL
    """.split()
)
_RESERVED_PREFIXES: Final = (b"xauthsrv", b"secfetch", b"accesscontrol")


class Attribute(enum.Enum):
    """What can be told of a client."""

    PRINCIPAL = "principal"
    ACCOUNT = "account"
    """The principal without its realm. Where several realms are let in, two users may share it."""
    REALM = "realm"
    NAME = "name"
    """As people write it: "Alice Example"."""
    MAIL = "mail"
    GROUPS = "groups"
    GROUPS_TRUNCATED = "groups_truncated"
    """ "true" if groups are missing, in the field of groups or already before; else "false"."""
    MECHANISM = "mechanism"
    TIME = "time"
    """When the client proved who it is, in UTC, RFC 3339."""


class HeaderEvent(enum.Enum):
    """What was left out of the fields, for log and metrics."""

    GROUPS_OVER_BUDGET = "groups-over-budget"
    """Groups that did not fit any more."""
    GROUP_UNFIT = "group-unfit"
    """A group whose name has the joiner, a control or a blank at an end, or looks like another."""
    VALUE_UNFIT = "value-unfit"
    """A value with a control, or a blank at an end."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a client that is let in.

    Args:
        subject: Who it is.
        authenticated_at: When it proved that, in Unix seconds.
        name: As people write it; None if it is not known.
        mail: Its mail address; None if it is not known.
    """

    subject: Subject
    authenticated_at: float
    name: str | None = None
    mail: str | None = None


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A field, and what fills it.

    Args:
        name: Its name: letters, digits and dashes, so that no server takes it for another.
        attribute: What it tells.
        encoding: How what is not ASCII is written.
        joiner: What stands between groups: one of ``,`` ``;`` ``|`` ``:``, perhaps with a blank.

    Raises:
        ConfigError: The name is another field's that has a meaning of its own, or is none; or the
            joiner is another.
    """

    name: str
    attribute: Attribute
    encoding: Encoding = Encoding.UTF_8
    joiner: str = ","

    def __post_init__(self) -> None:
        name = as_instance(str, self.name, "a header's name")
        object.__setattr__(self, "attribute", as_member(Attribute, self.attribute, "attribute"))
        object.__setattr__(self, "encoding", as_member(Encoding, self.encoding, "encoding"))
        if _NAME.fullmatch(name) is None:
            raise ConfigError(
                f"{name[:_MAX_SHOWN]!r} is no header's name of letters, digits and dashes"
            )
        folded = fold_name(name.encode())
        if folded in _RESERVED or folded.startswith(_RESERVED_PREFIXES):
            raise ConfigError(f"the header {name} has another meaning; choose another name")
        if _JOINER.fullmatch(as_instance(str, self.joiner, "joiner")) is None:
            raise ConfigError('joiner must be one of "," ";" "|" ":", perhaps with a blank behind')


@dataclass(frozen=True, slots=True)
class RenderedHeaders:
    """The fields for one answer.

    Args:
        fields: Names and values, one each of the map's, in its order.
        events: What was left out, in which field, and how often; in the order of the fields.
    """

    fields: tuple[tuple[str, bytes], ...] = field(repr=False)
    events: tuple[tuple[HeaderEvent, str, int], ...] = ()
    encoded: tuple[tuple[bytes, bytes], ...] = field(init=False, repr=False, compare=False)
    """The fields with their names as bytes, too."""

    def __post_init__(self) -> None:
        encoded = tuple((name.encode(), value) for name, value in self.fields)
        object.__setattr__(self, "encoded", encoded)


class _Told(NamedTuple):
    """All that fields are filled from."""

    principal: str
    mechanism: str
    groups: GroupSet
    authenticated_at: float
    name: str | None
    mail: str | None


@dataclass(frozen=True, slots=True)
class HeaderMap:
    """The fields of a site.

    Args:
        fields: Them.
        group_bytes: How long a field of groups may be; what does not fit is left out.
        total_bytes: How long all may be together, names and values, and four bytes for each.
        known_names: Users and groups that the configuration names. What differs from one of these
            in nothing but case or compatibility forms is not told, since an application may take
            it for that one.

    Raises:
        ConfigError: Two names are the same once folded, or a limit is none.
    """

    fields: tuple[HeaderField, ...] = ()
    group_bytes: int = 2_048
    total_bytes: int = 4_096
    known_names: NameList = _NO_NAMES
    _filled: Callable[[_Told], RenderedHeaders] = field(init=False, repr=False, compare=False)
    _tells_time: bool = field(init=False, repr=False, compare=False)
    _nobody: RenderedHeaders = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tells_time = any(each.attribute is Attribute.TIME for each in self.fields)
        object.__setattr__(self, "_tells_time", tells_time)
        nobody = RenderedHeaders(tuple((name, b"") for name in self.names))
        object.__setattr__(self, "_nobody", nobody)
        object.__setattr__(self, "_filled", functools.lru_cache(_MOST_KEPT)(self._fill))
        for limit in ("group_bytes", "total_bytes"):
            as_number(as_instance(int, getattr(self, limit), limit), limit)
        folded = [fold_name(each.name.encode()) for each in self.fields]
        for each, folded_name in zip(self.fields, folded, strict=True):
            if folded.count(folded_name) > 1:
                raise ConfigError(f"the header {each.name} stands in the map twice, once folded")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields: no client may send one of them."""
        return tuple(each.name for each in self.fields)

    @property
    def tells_groups(self) -> bool:
        """Whether the application is told the groups."""
        return any(each.attribute is Attribute.GROUPS for each in self.fields)

    def render(self, facts: Facts) -> RenderedHeaders:
        """Fill the fields for a client.

        Raises:
            ForbiddenError: Its name cannot be told, or could be taken for a known one.
            IdentityTooLargeError: Together the fields are longer than they may be.
        """
        subject = facts.subject
        authenticated_at = facts.authenticated_at if self._tells_time else 0
        return self._filled(
            _Told(
                subject.principal,
                subject.mechanism,
                subject.groups,
                authenticated_at,
                facts.name,
                facts.mail,
            )
        )

    def _fill(self, told: _Told) -> RenderedHeaders:
        subject = Subject(told.principal, told.mechanism, groups=told.groups)
        facts = Facts(subject, told.authenticated_at, told.name, told.mail)
        self._check_names(subject)
        events: list[tuple[HeaderEvent, str, int]] = []
        values: dict[str, bytes] = {}
        is_truncated = facts.subject.groups.is_truncated
        for each in self.fields:
            if each.attribute is Attribute.GROUPS:
                value, found = self._groups(each, facts.subject.groups.names)
                is_truncated = is_truncated or bool(found)
            elif each.attribute is not Attribute.GROUPS_TRUNCATED:
                value, found = _single(each, facts)
            else:
                continue
            values[each.name] = value
            events += [(event, each.name, count) for event, count in found]
        truncated = b"true" if is_truncated else b"false"
        fields = tuple((name, values.get(name, truncated)) for name in self.names)
        self._check_size(fields)
        return RenderedHeaders(fields, tuple(events))

    def render_nobody(self) -> RenderedHeaders:
        """The same fields, all empty: for a request that is let in without an identity."""
        return self._nobody

    def _check_names(self, subject: Subject) -> None:
        for text in (subject.principal, subject.account):
            if not is_plain(text):
                raise ForbiddenError("the client's name has a control, or a blank at an end")
            if self._is_lookalike(text):
                raise ForbiddenError(
                    f"the client's name {text[:_MAX_SHOWN]!r} differs from a configured one in "
                    "case or compatibility forms only"
                )

    def _is_lookalike(self, text: str) -> bool:
        return self.known_names.fit(text) is Fit.MAYBE

    def _groups(
        self, each: HeaderField, groups: Iterable[str]
    ) -> tuple[bytes, Sequence[tuple[HeaderEvent, int]]]:
        distinct = [name for name in sorted(groups) if not self._is_lookalike(name)]
        lookalikes = len(frozenset(groups)) - len(distinct)
        value, unfit, over = encode_list(distinct, each.encoding, each.joiner, self.group_bytes)
        found = {
            HeaderEvent.GROUP_UNFIT: unfit + lookalikes,
            HeaderEvent.GROUPS_OVER_BUDGET: over,
        }
        return value, [(event, count) for event, count in found.items() if count]

    def _check_size(self, fields: Iterable[tuple[str, bytes]]) -> None:
        # A colon, a blank, and the end of the line.
        size = sum(len(name) + len(value) + 4 for name, value in fields)
        if size > self.total_bytes:
            raise IdentityTooLargeError(
                f"the header fields have {size} bytes, and may have {self.total_bytes}"
            )


def _single(each: HeaderField, facts: Facts) -> tuple[bytes, Sequence[tuple[HeaderEvent, int]]]:
    text = _TELLERS[each.attribute](facts) or ""
    if not is_plain(text):
        return b"", [(HeaderEvent.VALUE_UNFIT, 1)]
    return encode_text(text, each.encoding), ()


def _time_of(facts: Facts) -> str:
    moment = datetime.datetime.fromtimestamp(int(facts.authenticated_at), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_TELLERS: Final[dict[Attribute, Callable[[Facts], str | None]]] = {
    Attribute.PRINCIPAL: lambda facts: facts.subject.principal,
    Attribute.ACCOUNT: lambda facts: facts.subject.account,
    Attribute.REALM: lambda facts: facts.subject.realm,
    Attribute.NAME: lambda facts: facts.name,
    Attribute.MAIL: lambda facts: facts.mail,
    Attribute.MECHANISM: lambda facts: facts.subject.mechanism,
    Attribute.TIME: _time_of,
}


def _preset(joiner: str = ",", **fields: str) -> tuple[HeaderField, ...]:
    return tuple(
        HeaderField(name, Attribute(attribute), joiner=joiner) for attribute, name in fields.items()
    )


PRESETS: Final = {
    "authelia": _preset(
        account="Remote-User",
        name="Remote-Name",
        mail="Remote-Email",
        groups="Remote-Groups",
        groups_truncated="Remote-Groups-Truncated",
    ),
    "oauth2-proxy": _preset(
        principal="X-Auth-Request-User",
        account="X-Auth-Request-Preferred-Username",
        mail="X-Auth-Request-Email",
        groups="X-Auth-Request-Groups",
        groups_truncated="X-Auth-Request-Groups-Truncated",
    ),
    "grafana": _preset(
        account="X-WEBAUTH-USER",
        name="X-WEBAUTH-NAME",
        mail="X-WEBAUTH-EMAIL",
        groups="X-WEBAUTH-GROUPS",
        groups_truncated="X-WEBAUTH-GROUPS-TRUNCATED",
    ),
    "gitea": _preset(account="X-WEBAUTH-USER", mail="X-WEBAUTH-EMAIL", name="X-WEBAUTH-FULLNAME"),
    "jenkins": _preset(
        joiner="|",
        account="X-Forwarded-User",
        name="X-Forwarded-DisplayName",
        mail="X-Forwarded-Mail",
        groups="X-Forwarded-Groups",
        groups_truncated="X-Forwarded-Groups-Truncated",
    ),
}
"""The fields that some applications expect, by their documentation."""
