"""Accepts and deletes again and again, through the calls of SSPI, and tells what memory it takes.

usage: cycling.py gssapi|pyspnego|sspi|sspilib COUNT KEYTAB < token, in hexadecimal

"sspilib" is not ours: the same tokens go straight to the library that "sspi" is made of, for its
own leaks are none of ours.

Prints one line: the cycles, the seconds, the growth of the resident memory in bytes over the last
three quarters of them, that of the objects of Python's collector, and the statuses.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from authsrv.providers.base import SecurityProvider
from authsrv.sspi import (
    AsyncContext,
    BufferType,
    ContextHandle,
    CredentialHandle,
    CredentialUse,
    Password,
    SecBuffer,
    SecBufferDesc,
    SecurityStatus,
    accept_security_context_async,
    acquire_credentials_handle_async,
    delete_security_context_async,
    free_credentials_handle_async,
    reinit_async_context,
)
from authsrv.stores.base import Claim
from authsrv.stores.memory import MemoryStore

# As many peers as come at the same time; one in so many sends garbage.
AT_ONCE = 25
GARBAGE_EVERY = 10
GARBAGE = b"\x60\x03\x06\x01\x00"
USER = Password("alice", "no password", "DOMAIN")


class Forgetful(MemoryStore):
    """No protection at all, for this test: one ticket is good for all cycles."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0)

    def check_at_once(self, claim: Claim) -> bool:
        """Remember nothing."""
        return True


def make_gssapi(keytab: str) -> SecurityProvider:
    from authsrv.providers.gssapi.acceptor import GssapiProvider

    return GssapiProvider(keytab, replay=Forgetful())


def make_pyspnego(keytab: str) -> SecurityProvider:
    from authsrv.providers.pyspnego import NTLMPolicy, PyspnegoProvider

    return PyspnegoProvider(ntlm=NTLMPolicy.ON)


def make_sspi(keytab: str) -> SecurityProvider:
    from authsrv.providers.sspi.provider import SspiProvider, SspiRsUse

    return SspiProvider("NTLM", credential=USER, sspi_rs=SspiRsUse.FOR_TESTS)


PACKAGES: dict[str, Callable[[str], SecurityProvider]] = {
    "gssapi": make_gssapi,
    "pyspnego": make_pyspnego,
    "sspi": make_sspi,
}


async def queued(call: AsyncContext, status: SecurityStatus) -> SecurityStatus:
    if status is not SecurityStatus.SEC_E_OK:
        sys.exit(f"it was not queued: {status.name}")
    return (await call).status


async def cycle(
    credential: CredentialHandle, token: bytes, count: int, seen: Counter[SecurityStatus]
) -> None:
    """Accept and delete, on one call that is used again and again, as a server in C would."""
    call, handle = AsyncContext(), ContextHandle()
    for number in range(count):
        data = token if number % GARBAGE_EVERY else GARBAGE
        given = SecBufferDesc((SecBuffer(BufferType.TOKEN, data), SecBuffer(BufferType.EMPTY)))
        status = accept_security_context_async(call, credential, None, given, new_context=handle)
        seen[await queued(call, status)] += 1
        reinit_async_context(call)
        if handle.is_valid:
            await queued(call, delete_security_context_async(call, handle))
            reinit_async_context(call)


async def cycles(
    credential: CredentialHandle, token: bytes, count: int, seen: Counter[SecurityStatus]
) -> None:
    share = count // AT_ONCE
    await asyncio.gather(*(cycle(credential, token, share, seen) for _ in range(AT_ONCE)))


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def through_our_calls(name: str, count: int, keytab: str, token: bytes) -> None:
    credential, call = CredentialHandle(), AsyncContext()
    status = acquire_credentials_handle_async(
        call, None, PACKAGES[name](keytab), CredentialUse.INBOUND, None, credential, realms="*"
    )
    if (status := await queued(call, status)) is not SecurityStatus.SEC_E_OK:
        sys.exit(f"there is no credential: {status.name}")
    seen: Counter[SecurityStatus] = Counter()
    account = Account()
    await cycles(credential, token, count // 4, seen)
    account.open()
    await cycles(credential, token, count - count // 4, seen)
    statuses = {status.name: times for status, times in seen.items()}
    account.close(statuses)
    call = AsyncContext()
    await queued(call, free_credentials_handle_async(call, credential))


def straight(count: int, token: bytes) -> None:
    import sspilib.raw as raw

    identity = raw.WinNTAuthIdentity(USER.user, USER.domain, USER.password)
    inbound = raw.CredentialUse.SECPKG_CRED_INBOUND
    credential = raw.acquire_credentials_handle(
        None, "NTLM", inbound, auth_data=identity
    ).credential
    account, refused = Account(), 0
    for number in range(count):
        if number == count // 4:
            account.open()
        data = bytearray(token if number % GARBAGE_EVERY else GARBAGE)
        given = raw.SecBufferDesc([raw.SecBuffer(data, 2), raw.SecBuffer(None, 0)])
        output = raw.SecBufferDesc([raw.SecBuffer(bytearray(65_536), 2)])
        try:
            # The context is deleted with the last reference to it, which is kept by nobody.
            raw.accept_security_context(credential, None, given, 0, 0x10, output)
        except OSError:
            refused += 1
    account.close({"SEC_I_CONTINUE_NEEDED": count - refused, "SEC_E_INTERNAL_ERROR": refused})


class Account:
    """What the memory is, and what it has become."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def open(self) -> None:
        self.before, self.objects = resident_bytes(), len(gc.get_objects())

    def close(self, statuses: dict[str, int]) -> None:
        grown, more = resident_bytes() - self.before, len(gc.get_objects()) - self.objects
        seconds = time.monotonic() - self.began
        told = ",".join(f"{name}={times}" for name, times in sorted(statuses.items()))
        print(sum(statuses.values()), f"{seconds:.1f}", grown, more, told)


def main() -> None:
    name, count, keytab = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    token = bytes.fromhex(sys.stdin.read())
    if name == "sspilib":
        straight(count, token)
    else:
        asyncio.run(through_our_calls(name, count, keytab, token))


if __name__ == "__main__":
    main()
