"""Memory stays flat over 100,000 cycles of accept and delete, on each real provider.

Each provider runs in a process of its own. Its first quarter fills whatever caches there are; what
it grows by over the other three quarters is what a leak would show in. One small object of 32 bytes
that is left over in each cycle would be 2.4 MB, and a context 100 MB and more. What Python's
collector can see is counted one by one.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from initiators import NTLM_NEGOTIATE, fresh_token

CHILD = Path(__file__).parent / "cycling.py"
CYCLES = 100_000
MAX_GROWTH = 2_000_000
MAX_OBJECTS = 1_000


@dataclass(frozen=True)
class Account:
    cycles: int
    seconds: float
    growth: int
    objects: int
    statuses: dict[str, int]


def run_cycles(provider: str, token: bytes, keytab: Path) -> Account:
    command = [sys.executable, str(CHILD), provider, str(CYCLES), str(keytab)]
    # Memory that is given back must show, and no arena of a thread may hide it.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
    environment["PYTHONPATH"] = str(CHILD.parents[1] / "support")
    done = subprocess.run(
        command, input=token.hex(), env=environment, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    cycles, seconds, growth, objects, statuses = done.stdout.split()
    pairs = (pair.split("=") for pair in statuses.split(","))
    account = Account(
        int(cycles), float(seconds), int(growth), int(objects), {k: int(v) for k, v in pairs}
    )
    print(account)
    return account


def check_flat(account: Account, good: str) -> None:
    assert account.cycles == CYCLES
    # One token in ten was garbage.
    assert account.statuses.pop(good) == CYCLES * 9 // 10
    ((refused, times),) = account.statuses.items()
    assert refused.startswith("SEC_E_")
    assert times == CYCLES // 10
    assert account.growth < MAX_GROWTH, f"{account.growth / CYCLES:.1f} bytes in each cycle"
    assert account.objects < MAX_OBJECTS


@pytest.mark.timeout(180)
def test_memory_is_flat_over_100_000_kerberos_contexts(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    account = run_cycles("gssapi", fresh_token(), kerberos_keytab)
    check_flat(account, "SEC_E_OK")


@pytest.mark.timeout(180)
def test_memory_is_flat_over_100_000_contexts_of_pyspnego(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = tmp_path / "ntlm-users"
    users.write_text("DOMAIN:alice:no password\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    monkeypatch.setenv("LM_COMPAT_LEVEL", "5")
    account = run_cycles("pyspnego", NTLM_NEGOTIATE, tmp_path)
    check_flat(account, "SEC_I_CONTINUE_NEEDED")


@pytest.mark.timeout(180)
def test_over_100_000_contexts_of_sspi_nothing_is_lost_that_the_library_does_not_lose(
    tmp_path: Path,
) -> None:
    """sspi-rs of sspilib 0.6.0 loses 112 bytes with each context and 2 KB with each garbage."""
    library = run_cycles("sspilib", NTLM_NEGOTIATE, tmp_path)
    account = run_cycles("sspi", NTLM_NEGOTIATE, tmp_path)
    ours = dataclasses.replace(account, growth=account.growth - library.growth)
    check_flat(ours, "SEC_I_CONTINUE_NEEDED")
