"""SSPI itself: Windows' secur32, or sspi-rs elsewhere."""

from authsrv.providers.sspi.provider import (
    SspiInitiatorProvider,
    SspiProvider,
    SspiRsUse,
)

__all__ = [
    "SspiInitiatorProvider",
    "SspiProvider",
    "SspiRsUse",
]
