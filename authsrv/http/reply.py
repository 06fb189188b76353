"""From whose fault it is to an HTTP answer.

One truth: the status of an error's class says whose fault it is (authsrv.core.outcome), and the
answer follows from the fault; a test walks all errors and all codes. The text that a client sees is
fixed for each answer: the cause goes to the log, and the reference in the answer finds it there.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType

from authsrv.core.limits import DEFAULT_LIMITS, Limits
from authsrv.core.outcome import Outcome, outcome_of
from authsrv.errors import (
    AuthsrvError,
    BlockedRequestError,
    ForbiddenError,
    InvalidHeaderError,
    TokenTooLargeError,
)
from authsrv.http.headers import build_challenge

__all__ = [
    "EXCEPTIONS",
    "RESPONSE_RULES",
    "ErrorResponse",
    "ResponseRule",
    "answer_for",
    "build_error_response",
    "challenge",
]


@dataclass(frozen=True, slots=True)
class ResponseRule:
    """A row of the table: the status and the fixed text that a client gets for a kind of fault."""

    status: HTTPStatus
    text: str


RESPONSE_RULES: Mapping[Outcome, ResponseRule] = MappingProxyType(
    {
        # RFC 9110 section 11.4: invalid or partial credentials are answered as none are.
        Outcome.PROTOCOL_ERROR: ResponseRule(
            HTTPStatus.UNAUTHORIZED,
            "The authentication data in the request could not be understood.",
        ),
        Outcome.DENIED: ResponseRule(
            HTTPStatus.UNAUTHORIZED,
            "Authentication failed.",
        ),
        Outcome.UNAVAILABLE: ResponseRule(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Authentication is not possible at the moment. Try again later.",
        ),
        Outcome.INTERNAL_ERROR: ResponseRule(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "Authentication failed because of a fault of the server.",
        ),
    }
)
"""What a client gets, by whose fault it is: that of the status of the error's class."""

EXCEPTIONS: Mapping[type[AuthsrvError], ResponseRule] = MappingProxyType(
    {
        InvalidHeaderError: ResponseRule(
            HTTPStatus.BAD_REQUEST,
            "The authentication data in the request could not be understood.",
        ),
        TokenTooLargeError: ResponseRule(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "The authentication data in the request is too large.",
        ),
        BlockedRequestError: ResponseRule(
            HTTPStatus.FORBIDDEN,
            "The request is not allowed.",
        ),
        ForbiddenError: ResponseRule(
            HTTPStatus.FORBIDDEN,
            "Access is not allowed.",
        ),
    }
)
"""What HTTP has a status of its own for, which no code of SSPI tells; subclasses included."""

_REQUIRED = "Authentication is required."


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An HTTP answer that ends a request: all that an integration needs to send it.

    Args:
        status: The HTTP status.
        headers: The header fields, without those of the body.
        text: The body, plain text.
        reference: An opaque id that stands in the log beside the cause; empty where nothing is
            to be looked up.
    """

    status: HTTPStatus
    headers: tuple[tuple[str, str], ...]
    text: str
    reference: str = field(default="")


def answer_for(error: AuthsrvError) -> ResponseRule:
    """Find the row of an error.

    It is the exception that HTTP makes for the error's class or for the nearest ancestor that has
    one; else the row of the fault that the status of its class tells. A status that one error was
    given for itself, from a library, does not count.
    """
    for kind in type(error).__mro__:
        if kind in EXCEPTIONS:
            return EXCEPTIONS[kind]
    return RESPONSE_RULES.get(
        outcome_of(type(error).status), RESPONSE_RULES[Outcome.INTERNAL_ERROR]
    )


def build_error_response(
    error: AuthsrvError, *, token: bytes = b"", limits: Limits = DEFAULT_LIMITS
) -> ErrorResponse:
    """Make the answer for an error, with a fresh reference.

    Args:
        error: The error; nothing of its text enters the answer.
        token: The provider's error token, sent along with a 401; empty for none.
        limits: retry_after_seconds is read.
    """
    answer = answer_for(error)
    reference = secrets.token_hex(6)
    headers: list[tuple[str, str]] = [("Cache-Control", "no-store")]
    # RFC 9110 sections 15.5.2 and 10.2.3: what a 401 must, and a 503 may, carry.
    if answer.status is HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", build_challenge(token or None)))
    if answer.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(limits.retry_after_seconds)))
    text = f"{answer.text}\nReference: {reference}\n"
    return ErrorResponse(answer.status, tuple(headers), text, reference)


def challenge(token: bytes = b"") -> ErrorResponse:
    """Make the 401 that asks for a token: the first one, or the next one of a handshake."""
    headers = (("Cache-Control", "no-store"), ("WWW-Authenticate", build_challenge(token or None)))
    return ErrorResponse(HTTPStatus.UNAUTHORIZED, headers, f"{_REQUIRED}\n")
