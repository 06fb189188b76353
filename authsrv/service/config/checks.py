"""Checks across all hosts of a configuration."""

from __future__ import annotations

from authsrv.http.forwarded import Host
from authsrv.service.config.problems import Findings
from authsrv.service.sites.site import SiteHost, Sites

__all__ = ["check_hosts"]


def check_hosts(
    sites: Sites, login: Host | None, *, has_form_on_app_host: bool, findings: Findings
) -> None:
    """Look at the hosts of the sites, and at the login host among them.

    Args:
        sites: The sites.
        login: The login host; None where there is none.
        has_form_on_app_host: Whether the password form stands on the application's host.
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
    if has_form_on_app_host:
        _check_form(sites, login, findings)


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


def _check_form(sites: Sites, login: Host | None, findings: Findings) -> None:
    key = "login.form_on_app_host"
    if len(sites.sites) > 1:
        findings.error(
            key,
            "with more than one site, each application could read what is typed for the others",
            "set login.host to a host that serves no application",
        )
    elif login is not None:
        findings.error(key, "there is a login host, too", "leave out one of both")
    else:
        findings.warn(
            key,
            "the application can read every password that is typed on its host",
            "set login.host to a host that serves no application",
        )
