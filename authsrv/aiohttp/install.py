"""`setup`: the one call that puts single sign-on into an aiohttp application."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection

from aiohttp import web

from authsrv.aiohttp.connections import Persistence
from authsrv.aiohttp.middleware import AUTH, NegotiateAuth
from authsrv.aiohttp.rules import AccessRules
from authsrv.aiohttp.tls import OwnChannel
from authsrv.audit.log import log_event
from authsrv.audit.records import AuditSink
from authsrv.core.bindings import ChannelBindings
from authsrv.core.flags import AscRet
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.settings import as_flags
from authsrv.errors import ConfigError
from authsrv.handshake.acceptor import Acceptor
from authsrv.providers.base import ContextRequest, SecurityProvider

__all__ = ["setup"]

_NO_ATTRIBUTES = AscRet(0)
_HAS_OWN_SSPI = bool(sys.platform == "win32")


def setup(
    app: web.Application,
    *,
    keytab: str | os.PathLike[str] | None = None,
    service: str | Collection[str] | None = None,
    realms: str | Collection[str] | None = None,
    provider: SecurityProvider | None = None,
    rules: AccessRules | None = None,
    bindings: ChannelBindings | None = None,
    required_attributes: AscRet = _NO_ATTRIBUTES,
    persistence: Persistence = Persistence.REQUEST,
    limits: Limits = DEFAULT_LIMITS,
    audit: AuditSink = log_event,
    own_channel: OwnChannel = OwnChannel.LOOKED_AT,
    trusted_origins: Collection[str] = (),
) -> NegotiateAuth:
    """Require single sign-on for an application and all that is mounted in it.

    Args:
        app: The application, not yet started.
        keytab: The keytab with the service's keys, for the provider "gssapi". On Windows none is
            needed: without keytab and provider, SSPI's own provider "Negotiate" accepts with the
            account that the process runs as.
        service: The service principal name to accept tickets for, such as
            "HTTP/web.example.org", or several; None for every key of the keytab.
        realms: The realms whose users are let in, or "*" for all that trust leads to; those of the
            keytab's own keys, if not given.
        provider: Another provider, instead of a keytab.
        rules: Which requests need an authenticated client; all, if not given.
        bindings: The channel bindings of the TLS that clients speak over (RFC 5929), if looked at.
        required_attributes: What the established context must have, such as MUTUAL_AUTH; a client
            whose context lacks it is refused.
        persistence: How long an identity lasts; for one request, if not given.
        limits: All bounds.
        audit: Where events go; to the log "authsrv.audit", if not given.
        own_channel: Whether clients' channel bindings are held against the certificate of
            `run_app`, where no bindings are given.
        trusted_origins: Other origins whose pages may make requests in a user's name, such as
            "https://app.example.org".

    Raises:
        ConfigError: Neither keytab nor provider is given, and this is not Windows, or both are; a
            service is given without its keytab; the extra authsrv[kerberos] is missing; the
            application was set up before; or a setting is of a wrong type.
    """
    if AUTH in app:
        raise ConfigError("authentication is set up for this application already")
    acceptor = Acceptor(
        _choose_provider(keytab, service, provider),
        request=ContextRequest(
            bindings, required=as_flags(AscRet, required_attributes, "required_attributes")
        ),
        limits=limits,
        realms=realms,
    )
    auth = NegotiateAuth(
        acceptor,
        rules=AccessRules() if rules is None else rules,
        persistence=persistence,
        audit=audit,
        own_channel=own_channel,
        trusted_origins=trusted_origins,
    )
    app[AUTH] = auth

    # First of all: no other middleware may see a request that is not authenticated.
    app.middlewares.insert(0, auth.handle)
    app.on_response_prepare.append(auth.prove)
    app.on_startup.append(auth.start)
    app.on_cleanup.append(auth.stop)
    return auth


def _choose_provider(
    keytab: str | os.PathLike[str] | None,
    service: str | Collection[str] | None,
    provider: SecurityProvider | None,
) -> SecurityProvider:
    if provider is not None:
        if keytab is not None or service is not None:
            raise ConfigError("give a provider, or a keytab and a service, not both")
        return provider
    if keytab is None and service is None and _HAS_OWN_SSPI:
        # pyspnego brings sspilib along there.
        from authsrv.providers.sspi.provider import SspiProvider

        return SspiProvider("Negotiate")
    if keytab is None:
        raise ConfigError("give the keytab with the service's keys, or a provider")
    # Needs the extra authsrv[kerberos].
    from authsrv.providers.gssapi.acceptor import GssapiProvider

    return GssapiProvider(keytab, service=service)
