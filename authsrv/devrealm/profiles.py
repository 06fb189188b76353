"""The files of a realm: where each one is, and the text of those that configure MIT krb5."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layout", "client_profile", "kdc_profile", "write_profiles"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files of a realm are."""

    folder: Path

    @property
    def keytab(self) -> Path:
        """The services' keytab."""
        return self.folder / "keytab"

    @property
    def nothing(self) -> Path:
        """A file that never exists, for defaults that must not be those of the machine."""
        return self.folder / "nothing"

    @property
    def additions(self) -> Path:
        """What was added to krb5.conf; it stands before all else there, and so wins."""
        return self.folder / "additions.conf"

    @property
    def replay_caches(self) -> Path:
        """The folder of the acceptors' replay caches."""
        return self.folder / "replay"

    def credential_cache(self, user: str) -> Path:
        """Name a user's credential cache, which exists once the user has logged in."""
        return self.folder / f"ccache.{user.replace('/', '+')}"


def client_profile(name: str, port: int, hosts: Iterable[str], layout: Layout) -> str:
    """The text of a realm's krb5.conf. Its clients and its acceptors ask neither DNS nor /etc.

    The KDC listens on 127.0.0.1; `hosts` are those whose services belong to the realm.
    """
    belonging = "\n".join(f" {host} = {name}" for host in sorted({"localhost", *hosts}))
    additions = layout.additions.read_text(encoding="utf-8") if layout.additions.exists() else ""
    return f"""\
{additions}
[libdefaults]
 default_realm = {name}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 qualify_shortname = ""
 kdc_timesync = 1
 default_ccache_name = FILE:{layout.nothing}
 default_keytab_name = FILE:{layout.keytab}
 default_client_keytab_name = FILE:{layout.nothing}
[realms]
 {name} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
{belonging}
"""


def kdc_profile(name: str, port: int, layout: Layout) -> str:
    """The text of a realm's kdc.conf; the KDC listens on 127.0.0.1, UDP and TCP."""
    return f"""\
[realms]
 {name} = {{
  database_name = {layout.folder}/principal
  key_stash_file = {layout.folder}/stash
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
  max_life = 1d
 }}
[logging]
 kdc = STDERR
"""


def write_profiles(
    layout: Layout, folder: Path, name: str, port: int, services: Iterable[str]
) -> Mapping[str, str]:
    """Write krb5.conf and kdc.conf.

    Args:
        layout: Where the realm's files are.
        folder: Where the two files go: that of the realm, or one for another KDC.
        name: The realm's.
        port: The KDC's, on 127.0.0.1.
        services: The realm's, as "class/host".

    Returns:
        The variables that make MIT krb5 read these files.
    """
    hosts = [service.partition("/")[2] for service in services]
    client, kdc = folder / "krb5.conf", folder / "kdc.conf"
    _replace(client, client_profile(name, port, hosts, layout))
    _replace(kdc, kdc_profile(name, port, layout))
    return {"KRB5_CONFIG": str(client), "KRB5_KDC_PROFILE": str(kdc)}


def _replace(file: Path, text: str) -> None:
    # Renamed into place: some client may be reading the file.
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, file)
