"""A log-in that takes three legs, and a token of any length: what proxies are tried with.

Kerberos is offered second, so that the ticket comes in the second leg; and since the first guess
was wrong, both sides then prove which mechanisms were offered (RFC 4178 section 5).
"""

from __future__ import annotations

import base64
import http.client
from pathlib import Path
from typing import Any

import gssapi.raw as gss

from authsrv.codecs.der.reader import SEQUENCE
from authsrv.codecs.der.writer import encode, encode_oid
from authsrv.codecs.spnego import (
    KERBEROS,
    NEGOEX,
    NegState,
    NegTokenResp,
    build_neg_token_init,
    build_neg_token_resp,
    parse_spnego,
)

__all__ = ["Traveller", "connect", "send"]

LIMIT_S = 20
MUTUAL = gss.RequirementFlag.mutual_authentication
MECHANISM = gss.OID.from_int_seq(KERBEROS)
OFFER = (NEGOEX, KERBEROS)


def connect(port: int) -> http.client.HTTPConnection:
    """A connection that never opens itself again: the next leg would come on another one."""
    connection = http.client.HTTPConnection("localhost", port, timeout=LIMIT_S)
    connection.auto_open = 0
    connection.connect()
    return connection


def send(
    connection: http.client.HTTPConnection, token: bytes, path: str = "/", cookie: str = ""
) -> tuple[int, str, bytes]:
    """Send a token; the status, the page, and the token of the answer."""
    value = f"Negotiate {base64.b64encode(token).decode()}"
    more = {"Cookie": cookie} if cookie else {}
    connection.request("GET", path, headers={"Authorization": value, **more})
    answer = connection.getresponse()
    page = answer.read().decode(errors="replace")
    scheme, _, given = (answer.getheader("WWW-Authenticate") or "").partition(" ")
    return answer.status, page, base64.b64decode(given) if scheme == "Negotiate" else b""


class Traveller:
    """A client of the three-leg log-in, on one connection through a proxy.

    Args:
        port: The proxy's port.
        cache: The credential cache of somebody who has logged in.
    """

    def __init__(self, port: int, cache: Path) -> None:
        self._connection = connect(port)
        store = {b"ccache": f"FILE:{cache}".encode()}
        self._credential = gss.acquire_cred_from(
            store, None, mechs=[MECHANISM], usage="initiate"
        ).creds
        self._name = gss.import_name(b"HTTP@localhost", gss.NameType.hostbased_service)
        self._context: Any = None
        self._answer = b""

    def log_in(self) -> int:
        """Log in by one leg, as most clients do."""
        return self._send(build_neg_token_init([KERBEROS], self._step(None)))

    def leg_1(self) -> int:
        return self._send(build_neg_token_init(OFFER))

    def leg_2(self) -> int:
        token = self._step(None)
        return self._send(build_neg_token_resp(NegState.ACCEPT_INCOMPLETE, response_token=token))

    def leg_3(self) -> int:
        assert self._answer, "the server has ended the handshake"
        answer = parse_spnego(self._answer)
        assert isinstance(answer, NegTokenResp)
        try:
            self._step(answer.response_token)
        except gss.GSSError:
            raise AssertionError("the server has refused the handshake") from None
        types = encode(SEQUENCE, *map(encode_oid, OFFER))
        proof = gss.get_mic(self._context, types)
        return self._send(build_neg_token_resp(mech_list_mic=proof))

    def close(self) -> None:
        self._connection.close()

    def _step(self, token: bytes | None) -> bytes | None:
        done = gss.init_sec_context(
            self._name, self._credential, self._context, mech=MECHANISM, flags=[MUTUAL],
            input_token=token,
        )  # fmt: skip
        self._context = done.context
        made: bytes | None = done.token
        return made

    def _send(self, token: bytes) -> int:
        status, self.page, self._answer = send(self._connection, token)
        return status
