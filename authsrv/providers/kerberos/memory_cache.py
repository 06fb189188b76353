"""Credential caches in the memory of this process, which end with whoever holds them."""

from __future__ import annotations

import uuid
import weakref
from typing import Any

import krb5

from authsrv.errors import ConfigError

__all__ = ["MemoryCache"]


class MemoryCache:
    """A credential cache in memory, under a name that nobody else knows.

    libkrb5 would keep it for ever, so it is destroyed with this object, or before by `destroy`.

    Args:
        tickets: What it is to hold from the start, a krb5.Creds; all of one client.

    Raises:
        ConfigError: libkrb5 cannot read its configuration.
    """

    __slots__ = ("__weakref__", "_end", "name")

    def __init__(self, *tickets: Any) -> None:
        self.name = f"MEMORY:authsrv-{uuid.uuid4()}".encode()
        try:
            # libkrb5's context must not be used by two threads at once, so each has its own.
            context = krb5.init_context()
            cache = krb5.cc_resolve(context, self.name)
            for number, ticket in enumerate(tickets):
                if number == 0:
                    krb5.cc_initialize(context, cache, ticket.client)
                krb5.cc_store_cred(context, cache, ticket)
        except krb5.Krb5Error:
            raise ConfigError("libkrb5 cannot use its configuration file") from None
        self._end = weakref.finalize(self, krb5.cc_destroy, context, cache)
        # Memory ends with the process by itself.
        self._end.atexit = False

    def destroy(self) -> None:
        """Forget what it holds; a second call does nothing."""
        self._end()
