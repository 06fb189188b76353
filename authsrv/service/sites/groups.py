"""Which groups a client is in: the interface of their sources, and the first, a file.

The file is TOML::

    [groups]
    admins = ["alice@EXAMPLE.ORG", "bob@EXAMPLE.ORG"]
    "Domain Users" = ["alice@EXAMPLE.ORG"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from authsrv.core.identity import Identity, split_principal
from authsrv.errors import ConfigError

__all__ = [
    "MAX_GROUPS_FILE_BYTES",
    "NOBODY",
    "NO_GROUPS",
    "GroupSet",
    "GroupSource",
    "StaticGroups",
]

MAX_GROUPS_FILE_BYTES: Final = 4 * 1024 * 1024
"""A larger file is refused."""

_MAX_NAME: Final = 256


@dataclass(frozen=True, slots=True)
class GroupSet:
    """The groups of a client.

    Args:
        names: The groups that are known.
        is_truncated: Whether there may be more: then "not in it" is not known of any group.
    """

    names: frozenset[str] = frozenset()
    is_truncated: bool = False


NO_GROUPS: Final = GroupSet()
"""Nobody's groups."""


class GroupSource(Protocol):
    """Knows the groups of clients. It does not block: what has to be fetched is fetched before."""

    def groups_of(self, identity: Identity) -> GroupSet:
        """The groups of a client, or what is known of them; an unknown client has none."""
        ...


@dataclass(frozen=True, slots=True)
class StaticGroups:
    """The groups of a file, as it was when it was read.

    Args:
        by_principal: The groups of each principal that has any.
    """

    by_principal: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def groups_of(self, identity: Identity) -> GroupSet:
        """The groups that the file gives to exactly this principal."""
        return GroupSet(self.by_principal.get(identity.principal, frozenset()))

    @property
    def names(self) -> frozenset[str]:
        """All groups that somebody is in."""
        return frozenset().union(*self.by_principal.values())

    @classmethod
    def parse(cls, content: bytes, name: str) -> StaticGroups:
        """Read a file of groups.

        Args:
            content: All of the file.
            name: Its name, for the error.

        Raises:
            ConfigError: It is too large, no TOML, or anything in it is no group of principals.
        """
        if len(content) > MAX_GROUPS_FILE_BYTES:
            raise ConfigError(f"{name} is larger than {MAX_GROUPS_FILE_BYTES} bytes")
        groups = _parse_toml(content, name)
        found: dict[str, set[str]] = {}
        for group, members in groups.items():
            for principal in _checked_members(group, members, name):
                found.setdefault(principal, set()).add(group)
        return cls({principal: frozenset(names) for principal, names in found.items()})


NOBODY: Final = StaticGroups()
"""A file in which nobody is in any group."""


def _parse_toml(content: bytes, name: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not TOML: {str(error)[:_MAX_NAME]}") from None
    groups = document.pop("groups", None)
    if document or not isinstance(groups, dict):
        raise ConfigError(f"{name} must have one table, [groups], and nothing else")
    return groups


def _checked_members(group: str, members: object, name: str) -> list[str]:
    if not _is_name(group):
        raise ConfigError(f"{name}: {group[:_MAX_NAME]!r} cannot be a group's name")
    if not isinstance(members, list) or not all(isinstance(each, str) for each in members):
        raise ConfigError(f"{name}: the group {group!r} must be a list of principals")
    for principal in members:
        account, realm = split_principal(principal)
        is_windows = realm is None and "\\" in account
        if not _is_name(principal) or not account or not (realm or is_windows):
            raise ConfigError(
                f"{name}: {principal[:_MAX_NAME]!r} in the group {group!r} is no principal; "
                "write it with its realm, as alice@EXAMPLE.ORG"
            )
    return members


def _is_name(text: str) -> bool:
    return bool(text) and len(text) <= _MAX_NAME and text.isprintable() and text == text.strip()
