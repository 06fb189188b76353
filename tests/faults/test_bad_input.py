"""Bad input, end to end: a real server, a real realm, and for each the answer and the cause.

The witness (see witness.py) demands of each test besides that neither a response nor any log shows
a piece of a token.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from initiators import (
    ACCEPT_COMPLETED,
    NTLM_NEGOTIATE,
    fresh_token,
    kerberos_token,
)
from leak_monitor import CHALLENGE, LeakMonitor, serve

from authsrv.aiohttp import server_settings
from authsrv.codecs.spnego import (
    KERBEROS,
    NEGOEX,
    NTLM,
    NegState,
    build_neg_token_init,
    build_neg_token_resp,
)
from authsrv.core.limits import Limits
from authsrv.providers.pyspnego import NTLMPolicy, PyspnegoProvider

MEBIBYTE = 1_048_576
# The realm's programs block, and the tests of authsrv allow nobody that on the loop.
off = asyncio.to_thread

PATTERN = bytes(range(1, 256))
LOCALHOST = re.escape("HTTP/localhost@AUTHSRV.TEST")

pytestmark = pytest.mark.usefixtures("kerberos_environment")


class TestTheField:
    @pytest.mark.parametrize(
        "garbage",
        [
            "Negotiate !!!!",
            "Negotiate c2VjcmV0LXNlY3JldA",
            "Negotiate c2VjcmV0LXNlY3JldA=",
            "Negotiate c2VjcmV0 LXNlY3JldA==",
            "Negotiate =c2VjcmV0LXNlY3JldA=",
            "Negotiate c2Vj_mV0LXNlY3Jl",
            "Negotiate c2VjcmV0LXNlY3Jl, Basic c2VjcmV0OnNlY3JldA==",
            "negotiate\tc2VjcmV0LXNlY3JldA==",
        ],
    )
    async def test_that_is_no_base64(
        self, witness: LeakMonitor, kerberos_keytab: Path, garbage: str
    ) -> None:
        witness.secrets.append(garbage.partition(" ")[2] or garbage)
        async with serve(witness, keytab=kerberos_keytab) as server:
            answer = await server.ask(None, garbage)
            words = "the token is not base64.*|the Authorization field does not begin with a scheme"
            no_scheme = garbage.partition(" ")[0].lower() != "negotiate"
            status, cause = (400, "bad-header") if no_scheme else (401, "bad-token")
            witness.expect(answer, status, cause, words)
            await server.must_let_in(fresh_token())

    @pytest.mark.parametrize("empty", ["Negotiate", "Negotiate ", "NEGOTIATE", "Negotiate    "])
    async def test_whose_token_is_empty(
        self, witness: LeakMonitor, kerberos_keytab: Path, empty: str
    ) -> None:
        async with serve(witness, keytab=kerberos_keytab) as server:
            answer = await server.ask(None, empty)
            words = "the Authorization field has an empty Negotiate token"
            witness.expect(answer, 401, "bad-token", words)

    @pytest.mark.parametrize("second", ["the same", "another", "Basic"])
    async def test_that_comes_twice(
        self, witness: LeakMonitor, kerberos_keytab: Path, second: str
    ) -> None:
        one, other = fresh_token(), fresh_token()
        more = {
            "the same": "Negotiate " + base64.b64encode(one).decode(),
            "another": "Negotiate " + base64.b64encode(other).decode(),
            "Basic": "Basic c2VjcmV0OnNlY3JldA==",
        }[second]
        witness.tokens.append(other)
        async with serve(witness, keytab=kerberos_keytab) as server:
            answer = await server.ask(one, more)
            words = "the request has more than one Authorization field"
            witness.expect(answer, 400, "bad-header", words)
            # Neither of the tokens was used up.
            await server.must_let_in(one)

    async def test_of_a_mebibyte_is_more_than_the_server_reads(
        self, witness: LeakMonitor, kerberos_keytab: Path
    ) -> None:
        token = (PATTERN * (MEBIBYTE // len(PATTERN) + 1))[:MEBIBYTE]
        async with serve(witness, keytab=kerberos_keytab) as server:
            answer = await server.ask(token)
            assert answer.status == 431
            assert answer.text == "The header fields of the request are too large.\n"
            (record,) = [record for record in witness.log.records if record.name == "authsrv"]
            assert "http=431 cause=" in record.getMessage()
            await server.must_let_in(fresh_token())

    async def test_of_a_mebibyte_is_too_large_where_the_server_reads_it(
        self, witness: LeakMonitor, kerberos_keytab: Path
    ) -> None:
        token = (PATTERN * (MEBIBYTE // len(PATTERN) + 1))[:MEBIBYTE]
        room = {
            "max_field_size": 2 * MEBIBYTE,
            "limits": Limits(max_header_bytes=2 * MEBIBYTE),
        }
        async with serve(witness, runner=room, keytab=kerberos_keytab) as server:
            answer = await server.ask(token)
            words = "the token has more than 65536 bytes"
            witness.expect(answer, 431, "token-too-large", words)
            await server.must_let_in(fresh_token())

    async def test_of_one_byte_too_many_is_too_large(
        self, witness: LeakMonitor, kerberos_keytab: Path
    ) -> None:
        async with serve(witness, keytab=kerberos_keytab) as server:
            answer = await server.ask((PATTERN * 258)[:65_537])
            words = "the token has more than 65536 bytes"
            witness.expect(answer, 431, "token-too-large", words)
            answer = await server.ask((PATTERN * 258)[:65_536])
            witness.expect(
                answer, 401, "bad-token", "the token is no valid SPNEGO or Kerberos token"
            )


class TestTheToken:
    @pytest.mark.parametrize("make", [fresh_token, kerberos_token])
    async def test_that_is_truncated(
        self, witness: LeakMonitor, kerberos_keytab: Path, make: Callable[[], bytes]
    ) -> None:
        whole = make()
        lengths = (1, 2, 5, 17, 40, 100, len(whole) // 2, len(whole) - 1)
        async with serve(witness, keytab=kerberos_keytab) as server:
            for length in lengths:
                answer = await server.ask(whole[:length])
                words = (
                    "the token is (truncated or )?malformed(: .*)?|"
                    "the token is no valid SPNEGO or Kerberos token"
                )
                witness.expect(answer, 401, "bad-token", words)
            await server.must_let_in(whole)


class TestClaimedCompletion:
    """NegTokenResp(accept-completed) from a client that has not authenticated."""

    async def test_as_the_first_message(self, witness: LeakMonitor, kerberos_keytab: Path) -> None:
        async with serve(witness, keytab=kerberos_keytab) as server:
            answer = await server.ask(ACCEPT_COMPLETED)
            words = "the token continues a handshake that did not begin here.*"
            witness.expect(answer, 401, "lost-handshake", words)

    async def test_as_the_second_message(self, witness: LeakMonitor, kerberos_keytab: Path) -> None:
        async with serve(witness, keytab=kerberos_keytab) as server:
            offered = await server.ask(build_neg_token_init([NEGOEX, KERBEROS]))
            assert (offered.status, offered.text) == (401, CHALLENGE)
            assert offered.server_token
            assert server.auth.acceptor.pending == 1
            answer = await server.ask(ACCEPT_COMPLETED)
            witness.expect(answer, 401, "bad-token", "the token is .*")
            assert server.auth.acceptor.pending == 0
            # And the connection carries nobody.
            assert (await server.ask()).text == CHALLENGE

    async def test_as_the_first_message_to_pyspnego(
        self, witness: LeakMonitor, ntlm_for_alice: None
    ) -> None:
        provider = PyspnegoProvider(ntlm=NTLMPolicy.ON)
        async with serve(witness, provider=provider) as server:
            answer = await server.ask(ACCEPT_COMPLETED)
            words = "the token continues a handshake that did not begin here.*"
            witness.expect(answer, 401, "lost-handshake", words)

    @pytest.mark.parametrize("mechanism", [None, NTLM])
    async def test_as_the_second_message_to_pyspnego(
        self, witness: LeakMonitor, ntlm_for_alice: None, mechanism: str | None
    ) -> None:
        """The attack: pyspnego itself calls the handshake complete here."""
        provider = PyspnegoProvider(ntlm=NTLMPolicy.ON)
        async with serve(witness, provider=provider) as server:
            challenged = await server.ask(build_neg_token_init([NTLM], NTLM_NEGOTIATE))
            assert (challenged.status, challenged.text) == (401, CHALLENGE)
            claim = build_neg_token_resp(NegState.ACCEPT_COMPLETED, mechanism)
            answer = await server.ask(claim)
            words = "the client claims to be done, and nobody has authenticated"
            witness.expect(answer, 401, "logon-denied", words)
            assert (await server.ask()).text == CHALLENGE

    @pytest.fixture
    def ntlm_for_alice(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        users = tmp_path / "users"
        users.write_text("DOMAIN:alice:password\n")
        monkeypatch.setenv("NTLM_USER_FILE", str(users))
        monkeypatch.setenv("LM_COMPAT_LEVEL", "5")


def test_the_settings_of_the_server_read_a_mebibyte_only_when_told_to() -> None:
    from aiohttp import web

    assert server_settings(web.Application())["max_field_size"] < MEBIBYTE
