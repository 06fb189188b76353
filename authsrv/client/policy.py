"""What a client asks of its servers, and when it authenticates."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from authsrv.client.hosts import HostList, read_services
from authsrv.core.settings import as_instance, as_member

__all__ = ["BindingsSent", "ClientPolicy", "ConnectionUse", "ServerProof", "Timing"]


class ServerProof(enum.Enum):
    """Which responses need the proof that they come from the intended server.

    A wrong proof always ends a request.
    """

    REQUIRED = "required"
    """Every response to a request with a token, except for 401; a server that asks for no
    authentication is trusted as far as its connection is."""
    ALWAYS = "always"
    """Every response of the servers on the list, except for 401; so every request has a token."""
    OPTIONAL = "optional"
    """No response; for servers that do not send the proof, behind TLS."""


class Timing(enum.Enum):
    """When the first token is sent."""

    WHEN_ASKED = "when asked"
    """In the second request, after the server asked. A request whose body is bytes in memory is
    repeated; any other one has its token at once, as its body can be sent only once."""
    AT_ONCE = "at once"
    """In each request."""


class BindingsSent(enum.Enum):
    """Whether channel bindings are sent over TLS."""

    SENT = "sent"
    """The token is valid for this server's certificate alone."""
    OMITTED = "omitted"
    """For servers behind a proxy that ends TLS, if they insist on their own certificate."""


class ConnectionUse(enum.Enum):
    """Whether a connection that carried a token may serve other requests of the session.

    Some servers take a connection for authenticated once a token came over it.
    """

    SHARED = "shared"
    """It may."""
    SINGLE = "single"
    """It is closed after the response, so that no request is taken for another user's."""


@dataclass(frozen=True, slots=True)
class ClientPolicy:
    """All that is settled before the first request.

    Args:
        hosts: The servers that may have a token.
        delegates: Those that may also have the user's ticket-granting ticket.
        services: Service principal names by host, where they are not "HTTP/host".

    Raises:
        ConfigError: A setting is of a wrong type.
    """

    hosts: HostList
    delegates: HostList
    services: Mapping[str, str]
    proof: ServerProof = ServerProof.REQUIRED
    timing: Timing = Timing.WHEN_ASKED
    bindings: BindingsSent = BindingsSent.SENT
    connections: ConnectionUse = ConnectionUse.SHARED

    def __post_init__(self) -> None:
        kinds = {"proof": ServerProof, "timing": Timing, "bindings": BindingsSent}
        for setting, kind in {**kinds, "connections": ConnectionUse}.items():
            member = as_member(kind, getattr(self, setting), setting)
            object.__setattr__(self, setting, member)
        as_instance(HostList, self.hosts, "hosts")
        as_instance(HostList, self.delegates, "delegates")
        object.__setattr__(self, "services", read_services(self.services))
