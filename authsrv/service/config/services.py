"""The service principal names of sites, and whether the keytab has their keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from authsrv.core.realms import realm_of
from authsrv.errors import KeytabError
from authsrv.providers.kerberos.service_names import ServiceNames
from authsrv.service.config.problems import Findings
from authsrv.service.sites.site import Site

__all__ = [
    "as_services",
    "check_login_realm",
    "check_services",
    "read_principals",
    "realms_of_keytab",
]


def as_services(names: Sequence[str] | None, findings: Findings, key: str) -> tuple[str, ...]:
    """Take the value of a key `spn`; none where it is missing or has an error."""
    if not names:
        return ()
    made = findings.attempt(key, lambda: ServiceNames.of_setting(tuple(names)))
    return () if made is None else made.names


def read_principals(path: str, findings: Findings) -> tuple[str, ...] | None:
    """Read which services have keys; None where the keytab cannot be used at all."""
    try:
        # It needs the extra authsrv[kerberos].
        from authsrv.providers.kerberos.keytab import KeytabFile

        # What is being written may be read: it is looked at once, here.
        principals = KeytabFile(path, settle_seconds=0).snapshot().principals
    except ImportError as error:
        findings.error("keytab", f"{error.name} is missing", "install authsrv[kerberos]")
        return None
    except KeytabError as error:
        findings.error("keytab", error.detail, "ktadd or ktpass makes one")
        return None
    found = tuple(name for name in principals if name.casefold().startswith("http/"))
    if not found:
        findings.error(
            "keytab",
            f"the keytab {path} has no key of a service HTTP/..., which browsers ask tickets for",
            "add that of HTTP/ and the host's name",
        )
        return None
    return found


def realms_of_keytab(path: str) -> frozenset[str]:
    """The realms that a keytab has keys of. It blocks.

    Raises:
        KeytabError: It cannot be used.
    """
    from authsrv.providers.kerberos.keytab import KeytabFile

    return KeytabFile(path, settle_seconds=0).snapshot().realms


def check_login_realm(realm: str, principals: tuple[str, ...], findings: Findings) -> None:
    """Look whether passwords of a realm can be checked: with a ticket for a service of it."""
    realms = sorted(filter(None, map(realm_of, principals)))
    if realm not in realms:
        findings.error(
            "login.realm",
            f"the keytab has no key of a service HTTP/... in the realm {realm}",
            f"it has keys of: {', '.join(dict.fromkeys(realms))}",
        )


def check_services(
    sites: Iterable[tuple[str, Site]],
    principals: tuple[str, ...],
    everywhere: tuple[str, ...],
    findings: Findings,
) -> None:
    """Compare the names that sites give with the keys that there are.

    Args:
        sites: The key and the site, each.
        principals: The services that have keys, with their realms.
        everywhere: The names that hold where a site gives none.
        findings: Where problems go.
    """
    _demand_keys("spn", everywhere, principals, findings)
    for key, site in sites:
        if site.services != everywhere:
            _demand_keys(f"{key}.spn", site.services, principals, findings)
        if site.services:
            continue
        for host in site.hosts:
            name = f"HTTP/{host.host.name}"
            if not host.is_wildcard and not ServiceNames((name,)).of(principals):
                findings.warn(
                    f"{key}.hosts",
                    f"the keytab has no key of {name}",
                    "right if that is an alias of an account whose key it has",
                )


def _demand_keys(
    key: str, names: tuple[str, ...], principals: tuple[str, ...], findings: Findings
) -> None:
    for name in names:
        if not ServiceNames((name,)).of(principals):
            findings.error(
                key, f"the keytab has no key of {name}", f"it has: {', '.join(principals[:4])}"
            )
