"""The signed token that tells an application who a client is."""

from __future__ import annotations

from authsrv.errors import StateError
from authsrv.service.asks.claimants import Claimant
from authsrv.service.asks.served import Ask
from authsrv.sessions.tokens import TokenClaims

__all__ = ["sign_token"]


def sign_token(ask: Ask, claimant: Claimant) -> str:
    """Sign a token for the host that the client asked for.

    Raises:
        StateError: The site has no tokens.
    """
    signer = ask.served.signer
    if signer is None:
        raise StateError(f"the site {ask.served.site.name!r} has no tokens")
    groups = claimant.subject.groups
    claims = TokenClaims(
        host=str(ask.asked.host),
        principal=claimant.subject.principal,
        groups=tuple(sorted(groups.names)),
        truncated=groups.is_truncated,
        sid=None if claimant.session is None else claimant.session.sid,
    )
    return signer.sign(claims, ask.now)
