"""The rules of one HTTP request: its Authorization field in, a decision out.

Nothing here awaits or keeps state. An integration asks `decide` what to do with a request, drives
the handshake where a token came, and asks `conclude` what the leg means for the response. The rules
are those of RFC 4559 sections 4 and 5.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from authsrv.core.identity import Identity
from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.results import (
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.errors import ProviderFaultError
from authsrv.http.headers import build_challenge, parse_authorization
from authsrv.http.reply import ErrorResponse, build_error_response, challenge

__all__ = [
    "Accepted",
    "Anonymous",
    "Challenge",
    "Negotiate",
    "Requirement",
    "conclude",
    "decide",
]


class Requirement(enum.Enum):
    """What a request needs before it reaches its handler."""

    OPEN = "open"
    """Nothing; its Authorization field is not looked at."""
    OPTIONAL = "optional"
    """Nothing, but a token that is sent must be good."""
    REQUIRED = "required"
    """An authenticated client."""


@dataclass(frozen=True, slots=True)
class Anonymous:
    """The request goes on without an identity."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The client is asked to authenticate."""


@dataclass(frozen=True, slots=True)
class Negotiate:
    """The request carries a token, from the client and untrusted, which the handshake must take."""

    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The request goes on with an identity.

    `challenge` is the WWW-Authenticate field of the response, with the token by which the server
    proves itself; None where the provider made none.
    """

    identity: Identity
    challenge: str | None


_ANONYMOUS = Anonymous()
_CHALLENGE = Challenge()


def decide(
    authorization: Sequence[str], requirement: Requirement, *, limits: Limits = DEFAULT_LIMITS
) -> Anonymous | Challenge | Negotiate:
    """Decide what a request needs. Another scheme than Negotiate counts as no token.

    Args:
        authorization: The values of its Authorization fields, from the client, untrusted.
        requirement: What its handler requires.
        limits: max_token_bytes is read.

    Raises:
        InvalidHeaderError: There are two fields, or one without a scheme.
        InvalidTokenError: The token is empty, or is not base64.
        TokenTooLargeError: The token is over its limit.
    """
    if requirement is Requirement.OPEN:
        return _ANONYMOUS
    token = parse_authorization(authorization, max_token_bytes=limits.max_token_bytes)
    if token is not None:
        return Negotiate(token)
    return _CHALLENGE if requirement is Requirement.REQUIRED else _ANONYMOUS


def conclude(result: Result, *, limits: Limits = DEFAULT_LIMITS) -> Accepted | ErrorResponse:
    """Say what a leg of the handshake means for the response.

    An ErrorResponse ends the request: a challenge with the next token, or a refusal. Of the limits
    retry_after_seconds is read.
    """
    match result:
        case Established(identity=identity, token=token):
            return Accepted(identity, build_challenge(token) if token else None)
        case Continue(token=token):
            return challenge(token)
        case Incomplete():
            # The client is to send the rest; there is nothing to tell it but "go on".
            return challenge()
        case Refused(error=error, token=token):
            return build_error_response(error, token=token, limits=limits)
        case _:
            # CompleteNeeded or CompleteAndContinue: only Handshake.submit_step ends a
            # leg like that, and HTTP does not call it.
            return build_error_response(
                ProviderFaultError("CompleteAuthToken is still to be called"), limits=limits
            )
