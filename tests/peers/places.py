"""Where the clients and proxies go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Pair", "Sites"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate that signs itself, and its key, both as PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Sites:
    """Where the application listens.

    Args:
        plain: Over http.
        allow: Over TLS; channel bindings are looked at where they are sent.
        require: Over TLS; channel bindings are required.
        logged: What the first of them has logged until now.
    """

    plain: str
    allow: str
    require: str
    logged: Callable[[], str]
