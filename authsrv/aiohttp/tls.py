"""The channel bindings of a server that ends TLS itself: those of its own certificate.

No public interface tells which certificate an SSLContext has. So it is asked as its clients ask:
by handshakes in memory, one as today's clients make it and one for each kind of key. The bindings
are those of RFC 5929 section 4, tls-server-end-point.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import ssl
import warnings

from aiohttp import web

from authsrv.aiohttp.routes import mounted
from authsrv.core.bindings import BindingPolicy, ChannelBindings, tls_server_end_point
from authsrv.errors import ConfigError

__all__ = ["OWN_CHANNEL", "OwnChannel", "bindings_of", "note_channel"]

_LOG = logging.getLogger("authsrv")

OWN_CHANNEL: web.AppKey[ChannelBindings] = web.AppKey("authsrv.own-channel", ChannelBindings)
"""Where an application carries the bindings of the TLS that its server ends."""

# OpenSSL's names for the ciphers that authenticate by one kind of key, which TLS 1.2 alone has.
_KINDS = ("aRSA", "aECDSA")
_TURNS = 8


class OwnChannel(enum.Enum):
    """Whether a client's channel bindings are held against the certificate of our own server."""

    LOOKED_AT = "looked at"
    """They are, where `run_app` ends TLS and no bindings are given: none are fine, wrong not."""
    IGNORED = "ignored"
    """They are not: a proxy ends the client's TLS before, and its certificate is another one."""


def note_channel(app: web.Application, context: ssl.SSLContext | None) -> None:
    """Note the channel bindings of the TLS that an application is served over, for `setup`.

    Args:
        app: The application, not yet started.
        context: The TLS of its server, if it speaks TLS.
    """
    bindings = None if context is None else bindings_of(context)
    if bindings is not None:
        for each in (app, *mounted(app)):
            each[OWN_CHANNEL] = bindings


def bindings_of(context: ssl.SSLContext) -> ChannelBindings | None:
    """Find the channel bindings of a server's certificate, with the policy ALLOW.

    None where it is not one certificate for all clients, which the log says.

    A certificate that is loaded into the context later is not noticed: its clients' bindings are
    wrong ones then, so give the bindings to `setup`, or restart. Nor is a second certificate of a
    context that speaks TLS 1.3 alone, which lets no client choose between kinds of keys.
    """
    if context.sni_callback is not None:
        _warn("a callback chooses the certificate by the client's server name")
        return None
    found = _certificates(context)
    if len(found) != 1:
        told = f"the server has {len(found)} certificates" if found else "no certificate is found"
        _warn(told)
        return None
    try:
        return tls_server_end_point(found.pop(), policy=BindingPolicy.ALLOW)
    except ConfigError as error:
        _warn(error.detail)
        return None


def _warn(why: str) -> None:
    _LOG.warning("channel bindings are not looked at: %s; give them to setup(bindings=...)", why)


def _certificates(context: ssl.SSLContext) -> set[bytes]:
    clients = [_client()]
    for kind in _KINDS:
        client = _client()
        with warnings.catch_warnings(), contextlib.suppress(ssl.SSLError, ValueError):
            warnings.simplefilter("ignore", DeprecationWarning)
            client.maximum_version = ssl.TLSVersion.TLSv1_2
            client.set_ciphers(kind)
            clients.append(client)
    return {seen for client in clients if (seen := _seen_by(client, context)) is not None}


def _client() -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nobody is authenticated here: the certificate is our own, and it is looked at, not believed.
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return client


def _seen_by(client: ssl.SSLContext, server: ssl.SSLContext) -> bytes | None:
    """The certificate that a client gets; None where the two do not come together."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server)
    for _ in range(_TURNS):
        for side in (theirs, ours):
            with contextlib.suppress(ssl.SSLError):
                side.do_handshake()
        with contextlib.suppress(ssl.SSLError, ValueError):
            # A server that demands a certificate ends it here, and has shown its own.
            return theirs.getpeercert(binary_form=True)
    return None
