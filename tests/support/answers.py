"""What a provider answered, or the test fails."""

from __future__ import annotations

from authsrv.core.bindings import ChannelBindings
from authsrv.core.identity import Identity
from authsrv.core.results import Continue, Established, Refused, Result
from authsrv.errors import AuthsrvError
from authsrv.providers.base import ContextRequest, SecurityProvider
from authsrv.testing.handshakes import remembering

__all__ = ["accept", "error_of", "identity_of", "token_of"]


def error_of(result: Result) -> AuthsrvError:
    """Why it refused."""
    assert isinstance(result, Refused), result
    return result.error


def identity_of(result: Result) -> Identity:
    """Whom it authenticated."""
    assert isinstance(result, Established), result
    return result.identity


def token_of(result: Result) -> bytes:
    """The token that it sends."""
    assert isinstance(result, Continue | Established), result
    assert result.token
    return result.token


def accept(
    provider: SecurityProvider, *tokens: bytes, bindings: ChannelBindings | None = None
) -> Result:
    """The answer to the last of some tokens, in a context of their own, claims made."""
    context = remembering(provider.create_context(ContextRequest(bindings)), provider)
    try:
        return [context.step(token) for token in tokens][-1]
    finally:
        context.delete()
