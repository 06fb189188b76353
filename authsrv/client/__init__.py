"""Single sign-on for requests: a middleware for aiohttp's ClientSession.

from aiohttp import ClientSession
from authsrv.client import NegotiateClient

async with NegotiateClient(["web.example.org"]) as negotiate:
    async with ClientSession(middlewares=(negotiate,)) as session:
        async with session.get("https://web.example.org/") as response:
            print(await response.text())
"""

from authsrv.client.client import CLIENT_LIMITS, NegotiateClient
from authsrv.client.hosts import HostList
from authsrv.client.negotiation import Negotiation
from authsrv.client.policy import BindingsSent, ClientPolicy, ConnectionUse, ServerProof, Timing
from authsrv.core.credentials import ClientCredential, ClientKeytab, TicketCache

__all__ = [
    "CLIENT_LIMITS",
    "BindingsSent",
    "ClientCredential",
    "ClientKeytab",
    "ClientPolicy",
    "ConnectionUse",
    "HostList",
    "NegotiateClient",
    "Negotiation",
    "ServerProof",
    "TicketCache",
    "Timing",
]
