"""Every bound on what a client can make the server keep or do, in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields

from authsrv.core.settings import as_instance, as_number

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a handshake and of all handshakes together.

    Args:
        max_rounds: Tokens that one handshake may take. Kerberos takes 1, NTLM in SPNEGO 2 to 3.
        max_token_bytes: Bytes of one token. Windows' own MaxTokenSize is 48,000 by default and
            65,535 at most.
        max_incomplete_bytes: Bytes kept of a token that is not whole yet.
        handshake_seconds: Life of a whole handshake, from its first token to its end.
        step_seconds: Time for one call of a provider.
        max_pending: Handshakes that are between two tokens, in all.
        max_workers: Threads that providers may occupy.
        max_queued: Calls that may wait for a thread; beyond, the answer is "overloaded" at once.
        max_header_bytes: Bytes of the request line and all header fields of one request together,
            beside those of the largest token as base64.
        header_seconds: Time to send them, from the first byte, and a second more for each
            header_bytes_per_second bytes that have come.
        header_bytes_per_second: What a client must send that needs longer.
        retry_after_seconds: What an overloaded server tells clients to wait.

    Raises:
        ConfigError: A bound is not greater than zero, or not a number of its kind.
    """

    max_rounds: int = 8
    max_token_bytes: int = 65_536
    max_incomplete_bytes: int = 65_536
    handshake_seconds: float = 30.0
    step_seconds: float = 10.0
    max_pending: int = 10_000
    max_workers: int = 32
    max_queued: int = 1_024
    max_header_bytes: int = 32_768
    header_seconds: float = 20.0
    header_bytes_per_second: int = 500
    retry_after_seconds: int = 2

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = as_number(getattr(self, entry.name), f"the limit {entry.name}")
            if isinstance(entry.default, int):
                as_instance(int, value, f"the limit {entry.name}")


DEFAULT_LIMITS = Limits()
"""The bounds that hold where none are given."""
