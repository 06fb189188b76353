"""Marks on handlers. A mark is on a new object; the handler itself stays as it is.

What is marked as required enforces it, so that a mark that gets lost under a decorator opens
nothing. On view classes, required is inherited; open and optional are for the class or the method
that was marked, and for no class that inherits from it: it may do other things.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar, cast

from aiohttp import web
from aiohttp.abc import AbstractView

from authsrv.aiohttp.decisions import demand_identity
from authsrv.http.exchange import Requirement

__all__ = ["mark_of", "open_access", "optional_authentication", "require_authentication"]

_Handler = TypeVar("_Handler", bound=Callable[..., Any])

_MARK = "__authsrv_requirement__"
_MARKED = "__authsrv_marked__"


def open_access(handler: _Handler) -> _Handler:
    """Mark a handler, a view class or a view's method as open to everybody."""
    return _mark(handler, Requirement.OPEN)


def optional_authentication(handler: _Handler) -> _Handler:
    """Mark a handler, a view class or a view's method as open to anonymous clients, too.

    Such a handler asks `optional_identity(request)`, and may raise AuthenticationRequired to
    challenge on demand.
    """
    return _mark(handler, Requirement.OPTIONAL)


def require_authentication(handler: _Handler) -> _Handler:
    """Mark a handler, a view class or a view's method as open to authenticated clients only.

    What is returned refuses every request whose client is not known, however the request got there
    and whatever the rules say of its path.
    """
    return _mark(handler, Requirement.REQUIRED)


def mark_of(handler: Any, method: str) -> Requirement | None:
    """The mark that holds for the handler of a route, or a view class, by an HTTP method."""
    if not isinstance(handler, type):
        mark: Requirement | None = getattr(handler, _MARK, None)
        return mark
    name = method.lower()
    own = tuple(_same_view(handler))
    for cls in own:
        if (found := getattr(vars(cls).get(name), _MARK, None)) is not None:
            return cast(Requirement, found)
    if any(_requires(vars(cls).get(name)) for cls in handler.__mro__):
        return Requirement.REQUIRED
    for cls in own:
        if (found := vars(cls).get(_MARK)) is not None:
            return cast(Requirement, found)
    inherited = any(vars(cls).get(_MARK) is Requirement.REQUIRED for cls in handler.__mro__)
    return Requirement.REQUIRED if inherited else None


def _requires(method: object) -> bool:
    return getattr(method, _MARK, None) is Requirement.REQUIRED


def _same_view(view: type) -> Iterator[type]:
    """A view class and what it is a marked form of."""
    current: type | None = view
    while current is not None:
        yield current
        current = vars(current).get(_MARKED)


def _mark(handler: _Handler, requirement: Requirement) -> _Handler:
    if isinstance(handler, type):
        return cast(_Handler, _mark_view(handler, requirement))

    if requirement is Requirement.REQUIRED:

        @functools.wraps(handler)
        async def marked(*args: Any, **named: Any) -> Any:
            demand_identity(_request_in(args))
            return await handler(*args, **named)

    else:

        @functools.wraps(handler)
        async def marked(*args: Any, **named: Any) -> Any:
            return await handler(*args, **named)

    setattr(marked, _MARK, requirement)
    return cast(_Handler, marked)


def _request_in(args: tuple[Any, ...]) -> web.Request | None:
    """The request that a handler, a method of any object or a view's method is called with."""
    given = args[-1] if args else None
    request = given.request if isinstance(given, AbstractView) else given
    return request if isinstance(request, web.Request) else None


def _mark_view(view: type, requirement: Requirement) -> type:
    members: dict[str, Any] = {
        "__module__": view.__module__,
        "__qualname__": view.__qualname__,
        "__doc__": view.__doc__,
        _MARK: requirement,
        _MARKED: view,
    }
    if requirement is Requirement.REQUIRED:
        members["__await__"] = _await_known
    return type(view)(view.__name__, (view,), members)


def _await_known(self: web.View) -> Generator[Any, None, web.StreamResponse]:
    """Answer a request to a view that requires authentication, or that inherits from one."""
    if mark_of(type(self), self.request.method) is Requirement.REQUIRED:
        demand_identity(self.request)
    return web.View.__await__(self)
