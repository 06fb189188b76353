"""The TLS channel that a request will take, and the bindings that name it.

A response does not tell what it came over: aiohttp releases its connection as soon as the body is
read, before anything here runs. So a connection is taken from the pool, or made, looked at, and put
back for the request to take. The request may get another one of the pool. Where a name has servers
with different certificates, that one may show another certificate; then the server refuses the
token, which is safe, and the next request may succeed.
"""

from __future__ import annotations

import functools
import ssl

from aiohttp import ClientRequest, ClientTimeout, ConnectionTimeoutError

from authsrv.core.bindings import ChannelBindings, tls_server_end_point
from authsrv.handshake.pool import WorkerPool

__all__ = ["find_bindings"]


async def find_bindings(request: ClientRequest, pool: WorkerPool) -> ChannelBindings | None:
    """Find the channel bindings for a request that is about to be sent.

    Args:
        request: The request.
        pool: Reads the certificate on a thread.

    Returns:
        Bindings of the type tls-server-end-point; None without TLS.

    Raises:
        aiohttp.ClientConnectionError: No connection can be made.
        ConfigError: The certificate cannot be read, or its signature algorithm is not known.
        UnavailableError: The pool is busy.
    """
    if request.url.scheme not in ("https", "wss"):
        return None
    certificate = await _look_at_certificate(request)
    if not certificate:
        return None
    return await pool.run(functools.partial(_bind, certificate))


@functools.lru_cache(maxsize=64)
def _bind(certificate: bytes) -> ChannelBindings:
    return tls_server_end_point(certificate)


async def _look_at_certificate(request: ClientRequest) -> bytes | None:
    session = request.session
    connector = session.connector
    if connector is None:
        return None
    timeout: ClientTimeout = session.timeout
    try:
        connection = await connector.connect(request, traces=[], timeout=timeout)
    except TimeoutError:
        raise ConnectionTimeoutError("the connection was not made in time") from None
    try:
        transport = connection.transport
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        return tls.getpeercert(True) if isinstance(tls, ssl.SSLObject) else None
    finally:
        connection.release()
