"""The service's own pages: where they are, and the way back from them to the application."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote

from authsrv.errors import MetadataError
from authsrv.http.paths import Target, ambiguity_of
from authsrv.service.asks.conventions import SERVICE_PREFIX

__all__ = [
    "ASSETS", "CHECK", "HAND_OVER", "KEY_SET", "RENEW", "SIGN_IN", "SIGN_OUT", "TOKEN", "WHOAMI",
    "read_query", "read_return", "return_path", "with_return",
]  # fmt: skip

SIGN_IN: Final = f"{SERVICE_PREFIX}/sign-in"
HAND_OVER: Final = f"{SERVICE_PREFIX}/hand-over"
CHECK: Final = f"{SERVICE_PREFIX}/check"
RENEW: Final = f"{SERVICE_PREFIX}/renew"
SIGN_OUT: Final = f"{SERVICE_PREFIX}/sign-out"
WHOAMI: Final = f"{SERVICE_PREFIX}/whoami"
TOKEN: Final = f"{SERVICE_PREFIX}/token"
KEY_SET: Final = f"{SERVICE_PREFIX}/keys.json"
ASSETS: Final = f"{SERVICE_PREFIX}/assets"

_MAX_RETURN: Final = 2_048
_MAX_PARAMETERS: Final = 16
_HOME: Final = "/"


def with_return(page: str, target: Target, **more: str) -> str:
    """Write the path of a page of ours that leads back to a target; home, if it is too long."""
    whole = f"{target.path}?{target.query}" if target.query else target.path
    return return_path(page, whole if _is_safe(whole) else _HOME, **more)


def return_path(page: str, whole: str, **more: str) -> str:
    """The same for a path to return to that `read_return` gave."""
    asked = {"return": whole, **more}
    return f"{page}?" + "&".join(
        f"{name}={quote(value, safe='/')}" for name, value in asked.items()
    )


def read_query(query: str) -> dict[str, str]:
    """Read the parameters of a page of ours; of one that comes twice, none, and of too many, none.

    Args:
        query: From the client, untrusted.
    """
    try:
        found = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        return {}
    names = [name for name, _ in found]
    return {name: value for name, value in found if names.count(name) == 1}


def read_return(whole: str) -> str:
    """Take path and query to return to, from the client; home, if they are anything but plain."""
    return whole if _is_safe(whole) else _HOME


def _is_safe(whole: str) -> bool:
    """Whether a browser takes it for a path of the same host, whatever it makes of it."""
    if len(whole) > _MAX_RETURN or not whole.isascii() or not whole.isprintable():
        return False
    try:
        target = Target.parse(whole)
    except MetadataError:
        return False
    # WHATWG URL: a browser takes "\\" for "/", and drops tabs and line ends.
    if "\\" in whole or " " in whole or "#" in whole:
        return False
    return ambiguity_of(target.path) is None and not target.path.startswith(SERVICE_PREFIX)
