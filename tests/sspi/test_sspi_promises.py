"""What the short form promises where nobody says more, with real tickets: bindings and proofs."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.flags import AscRet, IscRet
from authsrv.core.identity import Identity
from authsrv.core.results import Continue, Established
from authsrv.errors import AttributesError, BadBindingsError
from authsrv.providers.scripted import ScriptedProvider
from authsrv.sspi import (
    ClientContext,
    CredentialUse,
    IscReq,
    SecurityStatus,
    ServerContext,
    acquire_credentials,
)

TARGET = "HTTP/localhost"
OURS, THEIRS = b"tls-server-end-point:ours", b"tls-server-end-point:theirs"
REQUIRE, ALLOW = BindingPolicy.REQUIRE, BindingPolicy.ALLOW
NO_FLAGS = IscReq(0)

each_provider = pytest.mark.parametrize("provider", ["Negotiate", "Kerberos"])


async def is_let_in(
    keytab: Path, provider: str, policy: BindingPolicy | None, sent: bytes | None
) -> bool:
    """Whether a server that looks at its channel lets a client in that names a channel, or none."""
    held = ChannelBindings(OURS) if policy is None else ChannelBindings(OURS, policy)
    named = None if sent is None else ChannelBindings(sent)
    async with AsyncExitStack() as stack:
        inward = await stack.enter_async_context(acquire_credentials(provider, keytab=keytab))
        outward = await stack.enter_async_context(
            acquire_credentials(provider, use=CredentialUse.OUTBOUND)
        )
        client = await stack.enter_async_context(ClientContext(outward, TARGET, bindings=named))
        server = await stack.enter_async_context(ServerContext(inward, bindings=held))
        asked = await client.initialize()
        try:
            await server.accept(asked.token)
        except BadBindingsError:
            assert not server.is_established
            return False
        return server.is_established


@each_provider
@pytest.mark.parametrize(
    ("policy", "sent", "expected"),
    [
        (None, OURS, True),
        (None, None, False),
        (None, THEIRS, False),
        (REQUIRE, OURS, True),
        (REQUIRE, None, False),
        (REQUIRE, THEIRS, False),
        (ALLOW, OURS, True),
        (ALLOW, None, True),
        (ALLOW, THEIRS, False),
    ],
)
async def test_the_bindings_of_a_server_context_are_required_unless_they_may_be_missing(
    kerberos_environment: dict[str, str],
    kerberos_keytab: Path,
    provider: str,
    policy: BindingPolicy | None,
    sent: bytes | None,
    expected: bool,
) -> None:
    assert await is_let_in(kerberos_keytab, provider, policy, sent) is expected


@each_provider
async def test_a_client_context_waits_for_the_servers_proof_whatever_it_asks_for(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, provider: str
) -> None:
    """Without it, Kerberos alone would be established by the client's own token."""
    async with AsyncExitStack() as stack:
        inward = await stack.enter_async_context(
            acquire_credentials(provider, keytab=kerberos_keytab)
        )
        outward = await stack.enter_async_context(
            acquire_credentials(provider, use=CredentialUse.OUTBOUND)
        )
        client = await stack.enter_async_context(
            ClientContext(outward, TARGET, context_req=NO_FLAGS)
        )
        server = await stack.enter_async_context(ServerContext(inward))
        asked = await client.initialize()
        assert asked.status is SecurityStatus.SEC_I_CONTINUE_NEEDED
        assert not client.is_established
        told = await server.accept(asked.token)
        done = await client.initialize(told.token)
        assert client.is_established
        assert done.context_attr & IscRet.MUTUAL_AUTH


@pytest.mark.parametrize("asked", [IscReq.MUTUAL_AUTH, NO_FLAGS])
async def test_a_package_that_goes_without_the_proof_is_not_believed(asked: IscReq) -> None:
    unproven = Established(Identity(TARGET, "scripted"))
    provider = ScriptedProvider([Continue(b"hello"), unproven])
    async with acquire_credentials(provider, use=CredentialUse.OUTBOUND) as credential:
        async with ClientContext(credential, TARGET, context_req=asked) as client:
            await client.initialize()
            with pytest.raises(AttributesError, match="MUTUAL_AUTH"):
                await client.initialize(b"x")
            assert not client.is_established


async def test_who_needs_no_proof_says_so(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    async with acquire_credentials("Kerberos", use=CredentialUse.OUTBOUND) as credential:
        without = ClientContext(
            credential, TARGET, context_req=NO_FLAGS, required_attributes=AscRet(0)
        )
        async with without as client:
            await client.initialize()
            assert client.is_established
