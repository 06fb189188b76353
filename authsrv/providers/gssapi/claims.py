"""What a handshake of Kerberos claims: each authenticator that libgssapi has accepted in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from authsrv.codecs.kerberos.messages import parse_ap_req, parse_outline
from authsrv.core.claims import Claim, Purpose
from authsrv.errors import InvalidTokenError, ReplayError
from authsrv.providers.kerberos.decryption import read_times
from authsrv.providers.kerberos.keytab import KeytabSnapshot
from authsrv.providers.kerberos.request_probe import frame_bare_request

__all__ = ["RequestsSeen"]

# RFC 4120 section 5.5.2: [APPLICATION 15].
_BARE_AP_REP: Final = b"\x6f"

# The authenticator's time may lie as far ahead of ours as the clock skew allows, and the token is
# good until it lies as far behind: RFC 4120 section 3.2.3.
_SKEW_SPAN: Final = 2
# MIT compares whole seconds, the last one included; and clocks are set while we run.
_MARGIN_S: Final = 5.0
# MIT's clients go by the clock of their KDC, of which they know whole seconds.
_BEHIND_S: Final = 2.0


class RequestsSeen:
    """The AP-REQs of a handshake, which may come in any leg.

    They are claimed by the ciphertext of the authenticator, never by the whole token: whoever
    replays can put the same AP-REQ into another SPNEGO shell, but cannot change the ciphertext
    without the session key.

    Args:
        tokens: The tokens of Kerberos that libgssapi has accepted; the clients', untrusted.
        snapshot: The keys that it did so with.

    Raises:
        InvalidTokenError: There is no AP-REQ among them, or one cannot be read strictly.
    """

    __slots__ = ("_outlines", "_snapshot", "_tokens")

    def __init__(self, tokens: Sequence[bytes], snapshot: KeytabSnapshot) -> None:
        self._tokens = tokens
        self._snapshot = snapshot
        # An AP-REP is the third leg of DCE: it answers us, and cannot be replayed.
        self._outlines = [
            parse_outline(frame_bare_request(token))
            for token in tokens
            if token[:1] != _BARE_AP_REP
        ]
        if not self._outlines:
            raise InvalidTokenError("no AP-REQ was read, so nothing keeps it from being replayed")

    @property
    def asked_service(self) -> str:
        """The service that the first one says, in the clear, that it is for, with its realm."""
        return self._outlines[0].asked_service

    def claim(self, born_at: float, now: float, skew: float) -> tuple[Claim, ...]:
        """Make the claims.

        Args:
            born_at: Since when the store that is asked forgets nothing, in Unix seconds.
            now: The time, in Unix seconds.
            skew: How many seconds clocks may differ.

        Raises:
            ReplayError: One was made before the store could know it.
        """
        life = _SKEW_SPAN * skew + _MARGIN_S
        if now - born_at < life:
            self._demand_younger(born_at)
        claims = []
        for outline in self._outlines:
            key = hashlib.sha256(outline.authenticator_cipher).digest()
            claims.append(Claim(Purpose.REPLAY, key, now + life))
        return tuple(claims)

    def _demand_younger(self, born_at: float) -> None:
        """Refuse what was made before the store could know it, by the client's clock."""
        for token in self._tokens:
            if token[:1] != _BARE_AP_REP:
                self._demand_that_is_younger(frame_bare_request(token), born_at)

    def _demand_that_is_younger(self, token: bytes, born_at: float) -> None:
        times = read_times(parse_ap_req(token), self._snapshot)
        made_at = times.client_time if times is not None else None
        if made_at is None:
            raise ReplayError("the store is new, and when the token was made cannot be read")
        late = born_at - made_at.timestamp()
        if late > _BEHIND_S:
            raise ReplayError(
                f"the token was made {late:.1f} s before it was remembered what is used: it may "
                "have been used"
            )
