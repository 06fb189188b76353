"""Which requests need an authenticated client: rules for the application, marks on handlers."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import hdrs, web

from authsrv.errors import ConfigError
from authsrv.http.exchange import Requirement

__all__ = [
    "AccessRules",
    "Preflight",
    "open_access",
    "optional_authentication",
    "require_authentication",
]

_Handler = TypeVar("_Handler", bound=Callable[..., Any])

_MARK = "__authsrv_requirement__"


class Preflight(enum.Enum):
    """What happens to a CORS preflight, which browsers send without credentials.

    Source: Fetch standard section 3.3.5 (CORS-preflight request).
    """

    PASS = "pass"  # noqa: S105 - the name of a rule
    """It reaches its handler without authentication."""
    AUTHENTICATE = "authenticate"
    """It is treated as any other request."""


def open_access(handler: _Handler) -> _Handler:
    """Mark a handler, a view class or a view's method as open to everybody.

    Args:
        handler: The handler.

    Returns:
        The same handler.

    Source: authsrv design section 1.
    """
    return _mark(handler, Requirement.OPEN)


def optional_authentication(handler: _Handler) -> _Handler:
    """Mark a handler as open to anonymous clients, who may authenticate.

    Such a handler asks `optional_identity(request)`, and may raise AuthenticationRequired to
    challenge on demand.

    Args:
        handler: The handler, a view class or a view's method.

    Returns:
        The same handler.

    Source: authsrv design section 1.
    """
    return _mark(handler, Requirement.OPTIONAL)


def require_authentication(handler: _Handler) -> _Handler:
    """Mark a handler as open to authenticated clients only, whatever the rules say of its path.

    Args:
        handler: The handler, a view class or a view's method.

    Returns:
        The same handler.

    Source: authsrv design section 1.
    """
    return _mark(handler, Requirement.REQUIRED)


def _mark(handler: _Handler, requirement: Requirement) -> _Handler:
    setattr(handler, _MARK, requirement)
    return handler


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What requests need where their handler carries no mark of its own.

    Paths are those of aiohttp's resources, as written in the router ("/users/{name}"), so that
    what is compared here is what was matched there; no trick with dots, slashes or percent signs
    comes in between. A path that ends in "/*" means all resources below it.

    Args:
        default: What a request needs that nothing else speaks of.
        open_paths: Resources that are open to everybody.
        optional_paths: Resources that are open to anonymous clients, who may authenticate.
        open_methods: Methods that are open to everybody, such as "OPTIONS".
        preflight: Whether CORS preflights pass.

    Raises:
        ConfigError: A path does not begin with "/".

    Source: authsrv design section 1.
    """

    default: Requirement = Requirement.REQUIRED
    open_paths: tuple[str, ...] = ()
    optional_paths: tuple[str, ...] = ()
    open_methods: frozenset[str] = frozenset()
    preflight: Preflight = Preflight.PASS
    # As many paths as the router has resources; no client adds one.
    _known: dict[str, Requirement] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for path in (*self.open_paths, *self.optional_paths):
            if not path.startswith("/"):
                raise ConfigError(f"the path {path!r} does not begin with /")

    def requirement(self, request: web.Request) -> Requirement:
        """What a request needs.

        Args:
            request: The request, already matched by the router.

        Returns:
            The handler's own mark, or what the rules say.

        Source: authsrv design section 1.
        """
        match = request.match_info
        method = request.method
        mark = _mark_of(match.handler, method)
        if mark is not None:
            return mark
        if method in self.open_methods:
            return Requirement.OPEN
        if method == hdrs.METH_OPTIONS and self._is_preflight(request):
            return Requirement.OPEN
        resource = match.route.resource
        return self.default if resource is None else self._of_path(resource.canonical)

    def _of_path(self, path: str) -> Requirement:
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._look_up(path)
        return known

    def _look_up(self, path: str) -> Requirement:
        if any(_covers(pattern, path) for pattern in self.open_paths):
            return Requirement.OPEN
        if any(_covers(pattern, path) for pattern in self.optional_paths):
            return Requirement.OPTIONAL
        return self.default

    def _is_preflight(self, request: web.Request) -> bool:
        return (
            self.preflight is Preflight.PASS
            and _answers_options(request.match_info.route)
            and hdrs.ORIGIN in request.headers
            and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        )


def _answers_options(route: web.AbstractRoute) -> bool:
    """Whether somebody wrote the route for OPTIONS, and not for every method."""
    if isinstance(route.handler, type):
        return hasattr(route.handler, "options")
    return route.method == hdrs.METH_OPTIONS or route.resource is None


def _mark_of(handler: Any, method: str) -> Requirement | None:
    if isinstance(handler, type):
        own: Requirement | None = getattr(getattr(handler, method.lower(), None), _MARK, None)
        if own is not None:
            return own
        # A mark on a class is for that class: one that inherits from it may do other things.
        marked: Requirement | None = vars(handler).get(_MARK)
        return marked
    mark: Requirement | None = getattr(handler, _MARK, None)
    return mark


def _covers(pattern: str, path: str) -> bool:
    if pattern.endswith("/*"):
        return path.startswith(pattern[:-1]) or path == pattern[:-2]
    return path == pattern
