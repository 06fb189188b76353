"""The shape of authsrv.toml: which keys there are, and the type of each.

Nothing here has a default but None: what holds where a key is missing is said where the settings
are made. So a file with a mistake in one key can be looked at without that key, and all that is
wrong is told at once.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from authsrv.core.limits import Limits

__all__ = [
    "Configuration",
    "FieldTable",
    "FolderTable",
    "GroupsTable",
    "HeadersTable",
    "LimitsTable",
    "ListenTable",
    "LogTable",
    "LoginTable",
    "NegotiateTable",
    "ProxyTable",
    "RuleTable",
    "SiteTable",
    "StoreTable",
    "Table",
    "TlsTable",
    "TriesTable",
]

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)

# A line without controls; TOML itself takes any.
_Text = Annotated[str, Field(min_length=1, max_length=4_096, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Texts = Annotated[list[_Text], Field(min_length=1, max_length=10_000)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_entries(value: object) -> object:
    return [{"at": value}] if isinstance(value, str) else value


def _as_field(value: object) -> object:
    return {"attribute": value} if isinstance(value, str) else value


# "x" stands for ["x"].
_OneOrMore = Annotated[_Texts, BeforeValidator(_as_list)]
# Up to a week: so long a sealing key must open.
_Seconds = Annotated[float, Field(ge=1, le=7 * 86_400, allow_inf_nan=False)]
_Bytes = Annotated[int, Field(ge=256, le=65_536)]
_Negotiate = Literal["ask", "login", "both", "never"]


class Table(BaseModel):
    """A table of the file."""

    model_config = _STRICT


class TlsTable(Table):
    """[listen.tls]: where the service ends TLS itself."""

    certificate: _Text | None = None
    key: _Text | None = None
    key_password: _Text | None = None
    key_password_file: _Text | None = None


class ListenTable(Table):
    """[listen]: the two listeners."""

    asks: _Text | None = None
    pages: _Text | None = None
    tls: TlsTable | None = None


class ProxyTable(Table):
    """[proxy]: who asks."""

    convention: Literal["nginx", "caddy", "traefik", "envoy", "haproxy"] | None = None
    trusted_peers: _Texts | None = None
    trusted_proxies: _Texts | None = None
    insecure_trust_all_peers: bool | None = None


class LoginTable(Table):
    """[login]: the login host and its pages."""

    host: _Text | None = None
    scheme: Literal["https", "http"] | None = None
    realm: _Text | None = None
    netbios_names: _Texts | None = None
    upn_suffixes: _Texts | None = None
    language: Literal["en", "de"] | None = None
    texts: _Text | None = None
    css: _Text | None = None
    logo: _Text | None = None


class StoreTable(Table):
    """[store]: where is remembered what must be."""

    kind: Literal["machine", "memory"] | None = None
    path: _Text | None = None


class FolderTable(Table):
    """[keys]: the folder of the sealing and signing keys."""

    folder: _Text | None = None


class GroupsTable(Table):
    """[groups]: the file of groups."""

    file: _Text | None = None


class LogTable(Table):
    """[log]: how is logged."""

    format: Literal["text", "json"] | None = None


class NegotiateTable(Table):
    """An entry of [[site.negotiate]]."""

    at: _Negotiate | None = None
    networks: _Texts | None = None


_AttributeName = Literal[
    "principal",
    "account",
    "realm",
    "name",
    "mail",
    "groups",
    "groups_truncated",
    "mechanism",
    "time",
]
_EncodingName = Literal["utf-8", "rfc2047", "percent"]


class FieldTable(Table):
    """An entry of [site.headers.fields] with more than its attribute."""

    attribute: _AttributeName | None = None
    encoding: _EncodingName | None = None
    joiner: _Text | None = None


class HeadersTable(Table):
    """[site.headers]: what the application is told."""

    preset: Literal["authelia", "oauth2-proxy", "grafana", "gitea", "jenkins"] | None = None
    encoding: _EncodingName | None = None
    joiner: _Text | None = None
    group_bytes: _Bytes | None = None
    total_bytes: _Bytes | None = None
    # "mail" stands for { attribute = "mail" }.
    fields: dict[str, Annotated[FieldTable, BeforeValidator(_as_field)]] | None = None


class RuleTable(Table):
    """[[site.rule]]: a rule; see `authsrv.service.sites.rules`."""

    name: _Text | None = None
    access: Literal["allow", "deny", "open"] | None = None
    paths: _Texts | None = None
    methods: _Texts | None = None
    networks: _Texts | None = None
    realms: _Texts | None = None
    users: _Texts | None = None
    groups: _Texts | None = None
    mechanisms: list[Literal["kerberos", "ntlm", "password"]] | None = Field(None, min_length=1)
    attributes: (
        list[
            Literal[
                "confidentiality",
                "delegate",
                "integrity",
                "mutual_auth",
                "replay_detect",
                "sequence_detect",
            ]
        ]
        | None
    ) = Field(None, min_length=1)
    channel_bound: bool | None = None
    max_age_seconds: _Seconds | None = None


class SiteTable(Table):
    """[[site]]: a site."""

    name: _Text | None = None
    hosts: _Texts | None = None
    scheme: Literal["https", "http"] | None = None
    spn: _OneOrMore | None = None
    realms: _Texts | None = None
    # "both" stands for [{ at = "both" }].
    negotiate: Annotated[list[NegotiateTable], BeforeValidator(_as_entries)] | None = None
    headers: HeadersTable | None = None
    rule: list[RuleTable] | None = Field(None, max_length=1_000)
    ambiguous: Literal["deny", "strictest"] | None = None
    case_insensitive: bool | None = None
    extended_protection: Literal["off", "allow", "require"] | None = None
    certificate: _Text | None = None
    sessions: bool | None = None
    idle_seconds: _Seconds | None = None
    session_seconds: _Seconds | None = None
    password_session_seconds: _Seconds | None = None
    token_header: bool | None = None
    token_path: bool | None = None


_BOUNDS: dict[str, Any] = {
    bound.name: (Annotated[type(bound.default), Field(gt=0)] | None, None)
    for bound in fields(Limits)
}
# [limits]: the bounds of a handshake, under the names that they have there.
LimitsTable: Any = create_model("LimitsTable", __base__=Table, **_BOUNDS)

_Count = Annotated[int, Field(ge=1, le=1_000_000)]


class TriesTable(Table):
    """[tries]: how many passwords are asked of the KDC."""

    window_seconds: _Seconds | None = None
    max_tries_per_window: _Count | None = None
    max_tries_per_pair: _Count | None = None
    max_tries_per_device: _Count | None = None
    max_tries_per_address: _Count | None = None
    max_tries_in_all: _Count | None = None


class Configuration(Table):
    """All of the file."""

    keytab: _Text | None = None
    spn: _OneOrMore | None = None
    realms: _Texts | None = None
    listen: ListenTable | None = None
    proxy: ProxyTable | None = None
    login: LoginTable | None = None
    store: StoreTable | None = None
    keys: FolderTable | None = None
    groups: GroupsTable | None = None
    limits: LimitsTable | None = None
    tries: TriesTable | None = None
    log: LogTable | None = None
    site: list[SiteTable] | None = Field(None, max_length=1_000)
