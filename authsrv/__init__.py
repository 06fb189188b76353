"""authsrv: the acceptor side of Windows Integrated Authentication for asyncio.

The names here are the ones that every integration shares. An aiohttp application needs only
`authsrv.aiohttp`.

Rooms, each importing only those after it: `authsrv.cli`; `authsrv.service`; `authsrv.aiohttp`,
`authsrv.client`, `authsrv.streams`, `authsrv.sspi` and `authsrv.sessions`; `authsrv.http` and
`authsrv.audit`; `authsrv.handshake`; `authsrv.providers`; `authsrv.codecs`; `authsrv.core` and
`authsrv.errors`. Beside them stand `authsrv.devrealm` and `authsrv.testing`.
"""

from authsrv.core.bindings import BindingPolicy, ChannelBindings, tls_server_end_point
from authsrv.core.flags import AscReq, AscRet
from authsrv.core.identity import DelegatedCredential, Identity
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.outcome import OUTCOMES, Outcome
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.core.status import (
    GSSCode,
    SecurityStatus,
    StatusReport,
    WindowsCode,
    from_gss,
    from_windows,
)
from authsrv.errors import AuthsrvError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.driver import Handshake, Leg
from authsrv.handshake.machine import TRANSITIONS, Event, HandshakeMachine, State

__all__ = [
    "DEFAULT_LIMITS",
    "OUTCOMES",
    "TRANSITIONS",
    "Acceptor",
    "AscReq",
    "AscRet",
    "AuthsrvError",
    "BindingPolicy",
    "ChannelBindings",
    "CompleteAndContinue",
    "CompleteNeeded",
    "Continue",
    "DelegatedCredential",
    "Established",
    "Event",
    "GSSCode",
    "Handshake",
    "HandshakeMachine",
    "Identity",
    "Incomplete",
    "Leg",
    "Limits",
    "Outcome",
    "Refused",
    "Result",
    "SecurityStatus",
    "State",
    "StatusReport",
    "WindowsCode",
    "from_gss",
    "from_windows",
    "tls_server_end_point",
]

__version__ = "0.1.0"
