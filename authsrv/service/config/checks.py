"""Checks across all hosts of a configuration."""

from __future__ import annotations

from authsrv.http.forwarded import Host
from authsrv.service.config.problems import Findings
from authsrv.service.sites.site import SiteHost, Sites

__all__ = ["check_hosts"]


def check_hosts(sites: Sites, login: Host | None, findings: Findings) -> None:
    """Look at the hosts of the sites, and at the login host among them.

    Args:
        sites: The sites.
        login: The login host; None where there is none.
        findings: Where problems go.
    """
    for site in sites.sites:
        for host in site.hosts:
            if login is not None and _covers_name(host, login):
                findings.error(
                    f"site[{site.name}].hosts",
                    f"{host} is the login host, or covers it",
                    "an application there could read the passwords; give the login a host of "
                    "its own",
                )
    _warn_of_ports(sites, findings)


def _covers_name(host: SiteHost, login: Host) -> bool:
    # Cookies and service workers of one name are those of all its ports, or near enough.
    return SiteHost(Host(host.host.name), host.is_wildcard).covers(Host(login.name))


def _warn_of_ports(sites: Sites, findings: Findings) -> None:
    seen: dict[tuple[str, bool], str] = {}
    for site in sites.sites:
        for host in site.hosts:
            key = (host.host.name, host.is_wildcard)
            if key in seen:
                findings.warn(
                    f"site[{site.name}].hosts",
                    f"{host} and {seen[key]} share their cookies, as they differ in the port only",
                    "give each a name of its own",
                )
            seen[key] = str(host)
