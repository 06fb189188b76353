"""The libkrb5 that python-gssapi is linked with, through ctypes, for what no Python binding has."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

__all__ = ["load_libkrb5"]


@functools.cache
def load_libkrb5() -> Any:
    """Load MIT's libkrb5; a ctypes.CDLL, no function of which has its types declared.

    Raises:
        OSError: It is not there.
    """
    # By its own name: a search for "krb5" would also find Heimdal's, a library with the same
    # functions and other structures, which ends the process at the first call.
    return ctypes.CDLL("libkrb5.dylib" if sys.platform == "darwin" else "libkrb5.so.3")
