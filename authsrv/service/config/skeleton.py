"""The files that a new installation begins with: authsrv.toml and the proxy's configuration.

The proxy's are those of the repository's examples, with other names in them.
"""

from __future__ import annotations

import importlib.resources
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authsrv.core.settings import as_path
from authsrv.errors import ConfigError
from authsrv.http.forwarded import Scheme
from authsrv.service.config.settings import Endpoint
from authsrv.service.sites.site import LOGIN_SITE, SiteHost

__all__ = ["Skeleton", "known_proxies", "write_folder", "write_new"]

_SNIPPETS: Final = importlib.resources.files("authsrv.service.config") / "snippets"
_PLACE: Final = re.compile(r"@([A-Z_]+)@")
_REALM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOGIN_HOST: Final = "login.example.org"
# Traefik asks by TCP only.
_PORTS: Final = {"asks": "127.0.0.1:9180", "pages": "127.0.0.1:9181"}


def known_proxies() -> tuple[str, ...]:
    """The proxies that there are configurations for."""
    return tuple(sorted(each.name for each in _SNIPPETS.iterdir() if each.is_dir()))


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What the files are made from.

    Args:
        host: The application's host, perhaps with a port.
        keytab: The path of the keytab.
        proxy: One of `known_proxies`.
        login_host: The host of the password form; None for none.
        realm: The realm that is let in; None for those of the keytab.
        sockets: The folder of the service's sockets.

    Raises:
        ConfigError: One of them is not what it should be.
    """

    host: str
    keytab: str
    proxy: str
    login_host: str | None = None
    realm: str | None = None
    sockets: str = "/run/authsrv"

    def __post_init__(self) -> None:
        for host in filter(None, (self.host, self.login_host)):
            if SiteHost.parse(host, Scheme.HTTPS).is_wildcard:
                raise ConfigError(f"{host!r} is a wildcard; begin with one host")
        if not as_path(self.keytab, "keytab").isprintable():
            raise ConfigError("the path of the keytab has characters that no file should have")
        if self.proxy not in known_proxies():
            raise ConfigError(f"proxy must be one of {', '.join(known_proxies())}")
        if self.realm is not None and _REALM.fullmatch(self.realm) is None:
            raise ConfigError(f"{self.realm[:64]!r} is no realm")
        if not self.sockets.isprintable() or set(self.sockets) & set(";{}\"' "):
            raise ConfigError("the folder of the sockets has characters that no proxy would read")
        for name in ("asks", "pages"):
            Endpoint.parse(self._endpoint(name))

    @property
    def site(self) -> str:
        """The site's name: the first label of its host."""
        found = re.sub(r"[^a-z0-9-]", "", self.host.partition(".")[0].partition(":")[0])
        name = found.strip("-")
        return "site" if name in ("", LOGIN_SITE) else name

    def configuration(self) -> str:
        """The text of authsrv.toml."""
        login = f"host = {_quoted(self.login_host or _LOGIN_HOST)}"
        realms = f"realms = [{_quoted(self.realm or 'EXAMPLE.ORG')}]"
        return _filled(
            "authsrv.toml",
            KEYTAB=_quoted(os.path.abspath(self.keytab)),
            REALMS=realms if self.realm else f"# {realms}",
            ASKS=_quoted(self._endpoint("asks")),
            PAGES=_quoted(self._endpoint("pages")),
            PROXY=_quoted(self.proxy),
            LOGIN_HOST=login if self.login_host else f"# {login}",
            SITE=_quoted(self.site),
            HOST=_quoted(self.host),
        )

    def proxy_files(self) -> dict[str, str]:
        """The texts of the proxy's configuration, by the names of its files."""
        return {
            each.name: _filled(
                f"{self.proxy}/{each.name}",
                HOST=self.host.partition(":")[0],
                LOGIN_HOST=(self.login_host or _LOGIN_HOST).partition(":")[0],
                SITE=self.site,
                SOCKETS=self.sockets,
            )
            for each in (_SNIPPETS / self.proxy).iterdir()
        }

    def _endpoint(self, name: str) -> str:
        if self.proxy == "traefik":
            return _PORTS[name]
        return f"unix:{self.sockets}/{name}.sock"


def write_folder(folder: Path, texts: Mapping[str, str]) -> None:
    """Make a folder with files in it.

    Raises:
        ConfigError: It is there already, or cannot be made.
    """
    try:
        folder.mkdir()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigError(f"{folder} cannot be made: {reason}") from None
    for name, text in texts.items():
        write_new(folder / name, text, 0o644)


def write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that is not there yet.

    Raises:
        ConfigError: There is one, or a link; or it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already, and stays as it is") from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise ConfigError(f"{path} cannot be written: {reason}") from None


def _quoted(text: str) -> str:
    """A basic string of TOML; the text is printable."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _filled(name: str, **values: str) -> str:
    template = (_SNIPPETS / name).read_text(encoding="utf-8")
    return _PLACE.sub(lambda found: values[found[1]], template)
