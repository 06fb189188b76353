"""The service's own cookies, all of them on the host that they are for alone."""

from __future__ import annotations

from typing import Final

from authsrv.http.cookies import OwnCookies

__all__ = ["CSRF", "DEVICE", "LOGIN_SESSION", "NONCE", "OUT", "OWN", "SESSION", "STEP", "TRIED"]

SESSION: Final = "__Host-authsrv"
"""The session at an application's host."""
LOGIN_SESSION: Final = "__Host-authsrv-login"
"""The session at the login host; no ask takes it."""
NONCE: Final = "__Host-authsrv-nonce"
"""Ties the way back from the login host to the browser."""
TRIED: Final = "__Host-authsrv-tried"
"""That the browser was asked for a ticket lately, and how often it came without a session."""
STEP: Final = "__Host-authsrv-step"
"""That the client was asked to prove once more who it is, and in which session that was."""
OUT: Final = "__Host-authsrv-out"
"""That the user signed out: no ticket is asked for, or taken, until the user wants it."""
DEVICE: Final = "__Host-authsrv-device"
"""An account that was used in this browser before."""
CSRF: Final = "__Host-authsrv-csrf"
"""What a form's hidden field must fit to."""

OWN: Final = OwnCookies((SESSION, LOGIN_SESSION, NONCE, TRIED, STEP, OUT, DEVICE, CSRF))
