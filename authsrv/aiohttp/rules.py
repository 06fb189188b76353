"""Which requests need an authenticated client: rules for an application."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web

from authsrv.aiohttp.marks import mark_of
from authsrv.aiohttp.routes import places
from authsrv.core.settings import as_member, as_texts
from authsrv.errors import ConfigError
from authsrv.http.exchange import Requirement

__all__ = ["AccessRules", "Preflight"]


class Preflight(enum.Enum):
    """What happens to a CORS preflight, which browsers send without credentials."""

    PASS = "pass"  # noqa: S105 - the name of a rule
    """It reaches its handler without authentication."""
    AUTHENTICATE = "authenticate"
    """It is treated as any other request."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What requests need where their handler carries no mark of its own.

    Paths are those of aiohttp's resources, as written in the router ("/users/{name}"), so that
    what is compared here is what was matched there; no trick with dots, slashes or percent signs
    comes in between. A path that ends in "/*" means all resources below it. Where a path fits
    several resources, give the resource that is meant, as `add_resource` returns it.

    Args:
        default: What a request needs that nothing else speaks of.
        open_paths: Resources that are open to everybody.
        optional_paths: Resources that are open to anonymous clients, who may authenticate.
        open_methods: Methods that are open to everybody, such as "OPTIONS".
        preflight: Whether CORS preflights pass to routes that were written for OPTIONS.

    Raises:
        ConfigError: A path does not begin with "/", or is neither text nor a resource.
    """

    default: Requirement = Requirement.REQUIRED
    open_paths: tuple[str | web.AbstractResource, ...] = ()
    optional_paths: tuple[str | web.AbstractResource, ...] = ()
    open_methods: frozenset[str] = frozenset()
    preflight: Preflight = Preflight.PASS

    def __post_init__(self) -> None:
        object.__setattr__(self, "default", as_member(Requirement, self.default, "default"))
        object.__setattr__(self, "preflight", as_member(Preflight, self.preflight, "preflight"))
        methods = frozenset(as_texts(self.open_methods, "open_methods"))
        object.__setattr__(self, "open_methods", methods)
        for setting in ("open_paths", "optional_paths"):
            paths = getattr(self, setting)
            if isinstance(paths, str | bytes) or not isinstance(paths, Iterable):
                raise ConfigError(f"{setting} must be several paths")
            object.__setattr__(self, setting, tuple(paths))
        for path in (*self.open_paths, *self.optional_paths):
            if isinstance(path, web.AbstractResource):
                continue
            if not isinstance(path, str) or not path.startswith("/"):
                raise ConfigError(f"the path {path!r} does not begin with /")

    def requirement_of(
        self, route: web.AbstractRoute, method: str, headers: Mapping[str, str]
    ) -> Requirement:
        """What a request needs: the handler's own mark, or what the rules say.

        Args:
            route: The route that it leads to.
            method: Its method.
            headers: Its header fields, from the client, untrusted.
        """
        mark = mark_of(route.handler, method)
        if mark is not None:
            return mark
        if method in self.open_methods:
            return Requirement.OPEN
        if _answers_options(route) and self.is_preflight(method, headers):
            return Requirement.OPEN
        resource = route.resource
        return self.default if resource is None else self._of_resource(resource)

    def is_preflight(self, method: str, headers: Mapping[str, str]) -> bool:
        """Whether a request is a CORS preflight that may pass; False where AUTHENTICATE is set."""
        # Fetch standard, CORS-preflight fetch: its method and the fields that it has.
        return (
            method == hdrs.METH_OPTIONS
            and self.preflight is Preflight.PASS
            and hdrs.ORIGIN in headers
            and hdrs.ACCESS_CONTROL_REQUEST_METHOD in headers
        )

    def check(self, app: web.Application) -> None:
        """Look at start whether each path means one resource of the application.

        Raises:
            ConfigError: A path fits several resources that different requests find, or a
                resource is none of the application's.
        """
        known = tuple(places(app))
        for path in (*self.open_paths, *self.optional_paths):
            if isinstance(path, web.AbstractResource):
                if not any(place.resource is path for place in known):
                    raise ConfigError(f"{path!r} in the rules is no resource of the application")
                continue
            fitting = [place for place in known if _covers(path, place.resource)]
            below = path.endswith("/*")
            if len({place.domains if below else place.matches for place in fitting}) > 1:
                raise ConfigError(
                    f"the path {path!r} in the rules fits more than one resource; give the "
                    "resource that is meant, as add_resource returns it"
                )

    def _of_resource(self, resource: web.AbstractResource) -> Requirement:
        if any(_covers(path, resource) for path in self.open_paths):
            return Requirement.OPEN
        if any(_covers(path, resource) for path in self.optional_paths):
            return Requirement.OPTIONAL
        return self.default


def _answers_options(route: web.AbstractRoute) -> bool:
    """Whether somebody wrote the route for OPTIONS, and not for every method."""
    if isinstance(route.handler, type):
        return hasattr(route.handler, "options")
    return route.method == hdrs.METH_OPTIONS and route.resource is not None


def _covers(path: str | web.AbstractResource, resource: web.AbstractResource) -> bool:
    if not isinstance(path, str):
        return path is resource
    canonical = resource.canonical
    if path.endswith("/*"):
        return canonical.startswith(path[:-1]) or canonical == path[:-2]
    return canonical == path
