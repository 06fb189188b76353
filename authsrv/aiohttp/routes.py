"""The resources of an application and of what is mounted in it, as its router tells them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

__all__ = ["Place", "mounted", "places"]


@dataclass(frozen=True, slots=True)
class Place:
    """A resource, and where it is.

    Args:
        resource: The resource; its canonical path begins with the prefixes of what it is mounted
            in.
        domains: The rules by which the applications around it are found; empty for none.
    """

    resource: web.AbstractResource
    domains: tuple[str, ...] = ()

    @property
    def matches(self) -> tuple[object, ...]:
        """What the resource is found by; equal for two that the same requests find."""
        info = cast(dict[str, Any], self.resource.get_info())
        pattern = info.get("pattern")
        return (
            self.domains,
            info.get("path"),
            info.get("prefix"),
            None if pattern is None else pattern.pattern,
        )


def places(app: web.Application) -> Iterator[Place]:
    """All resources of an application and of those mounted in it, in the order of the router."""
    for resource in app.router.resources():
        inner = _app_of(resource)
        if inner is None:
            yield Place(resource)
            continue
        rule = cast(dict[str, Any], resource.get_info()).get("rule")
        domains = () if rule is None else (str(rule.canonical),)
        for place in places(inner):
            yield Place(place.resource, domains + place.domains)


def mounted(app: web.Application) -> Iterator[web.Application]:
    """All applications that are mounted in one, at any depth."""
    for resource in app.router.resources():
        inner = _app_of(resource)
        if inner is not None:
            yield inner
            yield from mounted(inner)


def _app_of(resource: web.AbstractResource) -> web.Application | None:
    return cast(dict[str, Any], resource.get_info()).get("app")
