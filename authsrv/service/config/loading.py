"""The configuration, read and checked: authsrv.toml becomes `Settings`, or a list of what is wrong.

What holds where a key is missing stands with the field of `Settings`, `Site`, `Rule` and the
others that the key fills. Relative paths start from the folder of the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.errors import ConfigError
from authsrv.http.forwarded import Host, Network, Scheme
from authsrv.service.asks.conventions import CONVENTIONS, NGINX, Convention
from authsrv.service.config.checks import check_hosts
from authsrv.service.config.document import parse_document
from authsrv.service.config.files import (
    Stamp,
    check_file,
    check_secret_folder,
    read_file,
    stamp_of,
)
from authsrv.service.config.model import Configuration, LoginTable, ProxyTable
from authsrv.service.config.problems import Findings, Level, Problem
from authsrv.service.config.services import (
    as_services,
    check_login_realm,
    check_services,
    read_principals,
)
from authsrv.service.config.settings import (
    DEFAULT_KEYS_FOLDER,
    Endpoint,
    LogFormat,
    Login,
    Settings,
    StoreKind,
    TlsFiles,
    TrustedPeers,
)
from authsrv.service.config.sites import Surroundings, as_realms, build_sites
from authsrv.service.config.tls import build_tls
from authsrv.service.sites.groups import MAX_GROUPS_FILE_BYTES, NOBODY, StaticGroups
from authsrv.service.sites.networks import LOOPBACK, parse_networks
from authsrv.service.sites.site import SiteHost, Sites

__all__ = ["MAX_CONFIG_BYTES", "Loaded", "load", "load_settings"]

MAX_CONFIG_BYTES: Final = 1024 * 1024
"""A larger configuration is refused."""

_MAX_PAGE_FILE_BYTES: Final = 1024 * 1024
_DEFAULT_ASKS: Final = "unix:/run/authsrv/asks.sock"
_DEFAULT_PAGES: Final = "unix:/run/authsrv/pages.sock"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a configuration.

    Args:
        settings: Them; None if there are errors.
        problems: What is wrong: errors, or warnings only. Errors first.
        watched: The files that it was made from, as they were just before they were read.
    """

    settings: Settings | None
    problems: tuple[Problem, ...]
    watched: Mapping[str, Stamp | None]


def load(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Loaded:
    """Read a configuration, and all files that it names. It blocks.

    Args:
        path: The file.
        environment: Where secrets may stand, as AUTHSRV_LISTEN_TLS_KEY_PASSWORD; None for that of
            the process.
    """
    name = os.fspath(path)
    findings = Findings(name)
    settings: Settings | None = None
    watched = {name: stamp_of(name)}
    content = read_file(name, findings, "", max_bytes=MAX_CONFIG_BYTES)
    if content is not None:
        document = parse_document(content, findings)
        if document is not None:
            variables = os.environ if environment is None else environment
            settings = _Loader(name, content, document, variables, findings, watched).load()
    return Loaded(None if findings.has_errors else settings, findings.problems, watched)


def load_settings(
    path: str | os.PathLike[str], environment: Mapping[str, str] | None = None
) -> tuple[Settings, tuple[Problem, ...]]:
    """Read a configuration as `load` does, and answer with its settings and warnings.

    Raises:
        ConfigError: There are errors; its detail has them all, one a line.
    """
    loaded = load(path, environment)
    if loaded.settings is None:
        errors = [str(each) for each in loaded.problems if each.level is Level.ERROR]
        raise ConfigError("\n".join(errors) or f"{os.fspath(path)} cannot be used")
    return loaded.settings, loaded.problems


class _Loader:
    """Makes the settings of one file, part by part; what is wrong goes to its findings."""

    def __init__(
        self,
        path: str,
        content: bytes,
        document: Configuration,
        environment: Mapping[str, str],
        findings: Findings,
        watched: dict[str, Stamp | None],
    ) -> None:
        self._path = os.path.abspath(path)
        self._folder = os.path.dirname(self._path)
        self._document = document
        self._environment = environment
        self._findings = findings
        self._digest = hashlib.sha256(content)
        self._watched = watched

    def load(self) -> Settings | None:
        document, findings = self._document, self._findings
        proxy = document.proxy or ProxyTable()
        peers = self._peers(proxy)
        realms = as_realms(document.realms, findings, "realms")
        services = as_services(document.spn, findings, "spn")
        groups = self._groups()
        around = Surroundings(
            self._folder, peers.networks, realms, services, groups, document.groups is not None
        )
        sites = self._sites(around)
        keytab = self._keytab(sites, services)
        endpoints = self._endpoints()
        made: dict[str, Any] = {
            "convention": _convention(proxy),
            "trusted_proxies": self._networks("proxy.trusted_proxies", proxy.trusted_proxies),
            "tls": self._tls(),
            "login": self._login(document.login or LoginTable(), sites),
            "keys_folder": self._keys_folder(),
            "limits": self._limits(),
            **self._store(),
        }
        if document.log is not None and document.log.format is not None:
            made["log_format"] = LogFormat(document.log.format)
        if document.tries is not None:
            given = document.tries.model_dump(exclude_none=True)
            made["tries"] = MappingProxyType(given)
        if findings.has_errors or keytab is None or endpoints is None or sites is None:
            return None
        return Settings(
            digest=self._digest.hexdigest(),
            keytab=keytab,
            asks=endpoints[0],
            pages=endpoints[1],
            sites=sites,
            services=services,
            realms=realms,
            peers=peers,
            groups=groups,
            **made,
        )

    def _read(self, path: str, key: str, max_bytes: int) -> bytes | None:
        """Read a file that is watched from now on."""
        self._watched[path] = stamp_of(path)
        content = read_file(path, self._findings, key, max_bytes=max_bytes)
        self._digest.update(hashlib.sha256(content or b"").digest())
        return content

    def _resolve(self, path: str) -> str:
        return os.path.join(self._folder, path)

    def _networks(self, key: str, texts: Sequence[str] | None) -> tuple[Network, ...]:
        if texts is None:
            return ()
        name = key.rpartition(".")[2]
        return self._findings.attempt(key, lambda: parse_networks(texts, name)) or ()

    def _peers(self, proxy: ProxyTable) -> TrustedPeers:
        key = "proxy.trusted_peers"
        trusts_all = bool(proxy.insecure_trust_all_peers)
        if trusts_all:
            self._findings.warn(
                "proxy.insecure_trust_all_peers",
                "whoever reaches the listener of asks can pretend to be the proxy",
                "list the proxies in trusted_peers",
            )
        if proxy.trusted_peers is None:
            return TrustedPeers(trusts_all=trusts_all)
        networks = self._networks(key, proxy.trusted_peers)
        if any(each.prefixlen == 0 for each in networks) and not trusts_all:
            self._findings.error(
                key,
                "a network of all addresses trusts everybody",
                "list the proxies, or set insecure_trust_all_peers = true",
            )
        return TrustedPeers(networks or LOOPBACK, trusts_all)

    def _groups(self) -> StaticGroups:
        table = self._document.groups
        if table is None:
            return NOBODY
        if table.file is None:
            self._findings.error("groups.file", "the key is missing", "name the file of groups")
            return NOBODY
        path = self._resolve(table.file)
        content = self._read(path, "groups.file", MAX_GROUPS_FILE_BYTES)
        if content is None:
            return NOBODY
        made = self._findings.attempt("groups.file", lambda: StaticGroups.parse(content, path))
        return made or NOBODY

    def _sites(self, around: Surroundings) -> Sites | None:
        tables = self._document.site
        if not tables:
            self._findings.error("site", "there is no site", "add [[site]] with name and hosts")
            return None
        for certificate in [table.certificate for table in tables if table.certificate]:
            path = self._resolve(certificate)
            self._watched[path] = stamp_of(path)
        made = build_sites(tables, around, self._findings)
        for site in made:
            self._digest.update(b"" if site.bindings is None else site.bindings.application_data)
        return self._findings.attempt("site", lambda: Sites(made))

    def _keytab(self, sites: Sites | None, services: tuple[str, ...]) -> str | None:
        name = self._document.keytab
        if name is None:
            self._findings.error("keytab", "the key is missing", "name the keytab of HTTP/host")
            return None
        path = self._resolve(name.removeprefix("FILE:"))
        if not check_file(path, self._findings, "keytab", is_secret=True):
            return None
        principals = read_principals(path, self._findings)
        if principals is None:
            return path
        login = self._document.login
        if login is not None and login.realm is not None:
            check_login_realm(login.realm, principals, self._findings)
        if sites is not None:
            keyed = [(f"site[{site.name}]", site) for site in sites.sites]
            check_services(keyed, principals, services, self._findings)
        return path

    def _endpoints(self) -> tuple[Endpoint, Endpoint] | None:
        table = self._document.listen
        asks_at = (table and table.asks) or _DEFAULT_ASKS
        pages_at = (table and table.pages) or _DEFAULT_PAGES
        asks = self._findings.attempt("listen.asks", lambda: Endpoint.parse(asks_at))
        pages = self._findings.attempt("listen.pages", lambda: Endpoint.parse(pages_at))
        if asks is None or pages is None:
            return None
        if asks == pages:
            self._findings.error(
                "listen.pages",
                "asks and pages are the same",
                "give each a socket of its own: browsers must not reach the asks",
            )
        if not asks.is_local:
            self._findings.warn(
                "listen.asks",
                f"other machines reach {asks}; what asks and answers say goes over the network",
                "use a Unix socket, or see to it that only the proxy reaches it",
            )
        return asks, pages

    def _tls(self) -> TlsFiles | None:
        listen = self._document.listen
        if listen is None or listen.tls is None:
            return None
        return build_tls(listen.tls, self._path, self._environment, self._findings)

    def _login(self, table: LoginTable, sites: Sites | None) -> Login:
        findings = self._findings
        scheme = Scheme(table.scheme or "https")
        host = self._login_host(table.host, scheme)
        files = {name: self._page_file(name, getattr(table, name)) for name in _PAGE_FILES}
        if sites is not None:
            check_hosts(sites, host, findings)
        return Login(
            host=host,
            scheme=scheme,
            realm=table.realm,
            netbios_names=tuple(table.netbios_names or ()),
            upn_suffixes=tuple(table.upn_suffixes or ()),
            language=table.language or "en",
            **files,
        )

    def _login_host(self, text: str | None, scheme: Scheme) -> Host | None:
        if text is None:
            return None
        found = self._findings.attempt("login.host", lambda: SiteHost.parse(text, scheme))
        if found is None:
            return None
        if found.is_wildcard:
            self._findings.error("login.host", "it must be one host, not a wildcard")
        if scheme is Scheme.HTTP and not found.is_loopback:
            self._findings.error(
                "login.scheme", "no password may be typed over plain http", "serve it by https"
            )
        return found.host

    def _page_file(self, name: str, value: str | None) -> str | None:
        if value is None:
            return None
        path = self._resolve(value)
        self._read(path, f"login.{name}", _MAX_PAGE_FILE_BYTES)
        return path

    def _keys_folder(self) -> str:
        table = self._document.keys
        given = None if table is None else table.folder
        path = DEFAULT_KEYS_FOLDER if given is None else self._resolve(given)
        # Where it is not there yet, the service does not start: see `make_service`.
        if os.path.exists(path):
            check_secret_folder(path, self._findings, "keys.folder")
        return path

    def _store(self) -> dict[str, Any]:
        table = self._document.store
        if table is None:
            return {}
        made: dict[str, Any] = {}
        if table.kind is not None:
            made["store_kind"] = StoreKind(table.kind)
        if table.path is not None:
            made["store_path"] = self._resolve(table.path)
            if made.get("store_kind") is StoreKind.MEMORY:
                self._findings.error("store.path", 'a store of kind "memory" has no path')
        return made

    def _limits(self) -> Limits:
        table = self._document.limits
        if table is None:
            return DEFAULT_LIMITS
        given = table.model_dump(exclude_none=True)
        return self._findings.attempt("limits", lambda: Limits(**given)) or DEFAULT_LIMITS


_PAGE_FILES: Final = ("texts", "css", "logo")


def _convention(proxy: ProxyTable) -> Convention:
    return next((each for each in CONVENTIONS if each.name == proxy.convention), NGINX)
