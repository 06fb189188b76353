"""Causes that no answer of MIT's acceptor names: each one with the real thing that leads to it."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from answers import accept, error_of
from initiators import (
    DCE,
    INTEGRITY,
    MUTUAL,
    fresh_token,
    kerberos_token,
)
from tickets import (
    edited,
    flagged_invalid,
    in_field,
    with_another_pac,
    with_authenticator,
    with_broken_pac,
)

from authsrv.core.results import Continue, Established
from authsrv.devrealm import Realm
from authsrv.errors import (
    AuthsrvError,
    ReplayCacheError,
    ReplayError,
    UnknownCauseError,
)
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.diagnosis import diagnose
from authsrv.providers.kerberos import request_probe
from authsrv.providers.replay import MITReplayCache
from authsrv.stores.memory import MemoryStore

ACCEPTING = Path(__file__).with_name("accepting.py")

# A client that asks for no mutual authentication gets no KRB-ERROR: MIT tells us nothing of it.
each_client = pytest.mark.parametrize(
    "flags", [[MUTUAL], [INTEGRITY]], ids=["mutual", "not mutual"]
)


@pytest.fixture
def provider(kerberos_environment: dict[str, str], kerberos_keytab: Path) -> GssapiProvider:
    return GssapiProvider(kerberos_keytab)


def test_a_name_in_a_setting_never_goes_through_dns(
    kerberos_realm: Realm,
    kerberos_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    numeric_service: str,
) -> None:
    """libkrb5 would make it HTTP/localhost, by /etc/hosts, and find no key for that."""
    keytab = kerberos_realm.write_keytab(tmp_path / "keytab", [numeric_service])
    token = fresh_token("HTTP@127.0.0.1")
    aliases = tmp_path / "aliases.conf"
    aliases.write_text("[libdefaults]\n dns_canonicalize_hostname = true\n rdns = true\n")
    monkeypatch.setenv("KRB5_CONFIG", f"{aliases}:{os.environ['KRB5_CONFIG']}")
    assert socket.getnameinfo(("127.0.0.1", 0), socket.NI_NAMEREQD)[0] == "localhost"
    provider = GssapiProvider(keytab, service=numeric_service)
    provider.check()
    assert isinstance(accept(provider, token), Established)


def test_a_pac_with_a_wrong_signature_is_no_reason_for_libkrb5(
    kerberos_environment: dict[str, str], kerberos_keytab: Path
) -> None:
    """It lets the client in; nobody vouches for what stands in the PAC, as krb5 1.21 says."""
    wanted = "urn:mspac:client-info"
    provider = GssapiProvider(kerberos_keytab, name_attributes=[wanted])
    token = edited(fresh_token(), provider.keytab.snapshot(), with_another_pac)
    result = accept(provider, token)
    assert isinstance(result, Established)
    assert result.identity.principal == "alice@AUTHSRV.TEST"
    assert wanted not in result.identity.name_attributes


# A file system of one page, which is taken.
FULL = """
mount -t tmpfs -o size=4k tmpfs "$1" && head -c 4096 /dev/zero > "$1/all" && shift && exec "$@"
"""


class TestReplayCache:
    """MIT's own."""

    @pytest.fixture
    def provider(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> GssapiProvider:
        return GssapiProvider(kerberos_keytab, replay=MITReplayCache())

    @each_client
    @pytest.mark.parametrize("name", ["/nowhere/cache", "/dev/full"])
    def test_that_cannot_be_used_is_the_servers_fault(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        flags: list[object],
        name: str,
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, replay=MITReplayCache(f"file2:{name}"))
        error = error_of(accept(provider, fresh_token(flags=flags)))
        assert isinstance(error, ReplayCacheError), error

    def test_that_works_is_not_blamed_for_a_replay_without_a_frame(
        self, provider: GssapiProvider
    ) -> None:
        """As the tokens of DCE are."""
        token = kerberos_token(flags=[MUTUAL, DCE])
        assert token[0] == 0x6E
        assert isinstance(accept(provider, token), Continue)
        assert isinstance(error_of(accept(provider, token)), ReplayError)

    def test_that_does_not_tell_what_it_is_about_is_not_blamed_either(
        self, provider: GssapiProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Should ever a request be accepted that cannot be made to ask for an answer."""
        monkeypatch.setattr(request_probe, "_demanding_answer", lambda token: token)
        token = fresh_token(flags=[INTEGRITY])
        assert isinstance(accept(provider, token), Established)
        error = error_of(accept(provider, token))
        assert isinstance(error, UnknownCauseError)
        assert "the authenticator was used before, or the cache is full" in error.detail

    def test_that_came_right_in_the_meantime_is_not_blamed(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        folder = tmp_path / "absent"

        def diagnose_later(*case: Any) -> AuthsrvError:
            folder.mkdir()
            return diagnose(*case)

        monkeypatch.setattr("authsrv.providers.gssapi.acceptor.diagnose", diagnose_later)
        cache = MITReplayCache(f"file2:{folder}/cache")
        error = error_of(accept(GssapiProvider(kerberos_keytab, replay=cache), fresh_token()))
        assert isinstance(error, UnknownCauseError)
        assert error.detail.startswith("the ticket was refused once, and is good now: ")

    def test_that_belongs_to_another_user_is_told_at_start(
        self, provider: GssapiProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """libkrb5 uses no such file; somebody else may have put it there."""
        monkeypatch.setenv("KRB5RCACHEDIR", str(tmp_path))
        owner = os.geteuid()
        (tmp_path / f"krb5_{owner + 1}.rcache2").touch(mode=0o666)
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        with pytest.raises(ReplayCacheError, match=rf"belongs to another user \(uid {owner}\)"):
            provider.check()

    @pytest.mark.parametrize("default", ["default", "named"])
    def test_that_cannot_be_written_is_told_at_start(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        default: str,
    ) -> None:
        absent = tmp_path / "absent"
        monkeypatch.setenv("KRB5RCACHEDIR", str(absent))
        name = "dfl:" if default == "default" else f"file2:{absent}/cache"
        provider = GssapiProvider(kerberos_keytab, replay=MITReplayCache(name))
        with pytest.raises(ReplayCacheError, match="cannot be opened for writing: No such file"):
            provider.check()
        absent.mkdir()
        provider.check()
        assert isinstance(accept(provider, fresh_token(flags=[INTEGRITY])), Established)

    def test_is_where_libkrb5_has_it(
        self,
        provider: GssapiProvider,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """KRB5RCACHEDIR, then TMPDIR: what the start looks at is what libkrb5 writes to."""
        monkeypatch.delenv("KRB5RCACHEDIR")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        provider.check()
        (file,) = tmp_path.glob("krb5_*.rcache2")
        assert file.stat().st_size == 0
        assert isinstance(accept(provider, fresh_token()), Established)
        assert file.stat().st_size > 0
        assert list(tmp_path.glob("krb5_*")) == [file]

    def test_that_is_a_link_is_refused_as_libkrb5_does(
        self, provider: GssapiProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("KRB5RCACHEDIR", str(tmp_path))
        (tmp_path / f"krb5_{os.geteuid()}.rcache2").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ReplayCacheError):
            provider.check()
        assert isinstance(error_of(accept(provider, fresh_token())), ReplayCacheError)

    @each_client
    def test_on_a_full_disk_is_told_at_start_and_with_each_refusal(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        tmp_path: Path,
        flags: list[object],
    ) -> None:
        shell = ["unshare", "-r", "-m", "sh", "-c", FULL, "sh", tmp_path]
        done = subprocess.run(
            [*shell, sys.executable, ACCEPTING, kerberos_keytab, f"file2:{tmp_path}/cache"],
            input=base64.b64encode(fresh_token(flags=flags)).decode(),
            capture_output=True,
            text=True,
        )
        cause = f"the disk of the replay cache {tmp_path}/cache is full"
        assert done.stdout.splitlines() == [cause, "replay-cache"], done.stderr

    def test_in_memory_of_the_process_has_nothing_to_check(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        GssapiProvider(kerberos_keytab, replay=MemoryStore()).check()


def test_what_nothing_shows_is_unknown_and_has_libkrb5s_code(
    provider: GssapiProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that is none of Kerberos, with the one that is looked for held to be away."""
    token = edited(fresh_token(flags=[INTEGRITY]), provider.keytab.snapshot(), with_broken_pac)
    monkeypatch.setattr("authsrv.providers.gssapi.diagnosis.can_read_pac", lambda pac: True)
    error = error_of(accept(provider, token))
    assert isinstance(error, UnknownCauseError)
    assert error.detail == (
        "libkrb5's code is 22; ticket and authenticator open with our key, and no PAC is broken"
    )


def test_an_encryption_type_is_not_blamed_where_nothing_shows_that_it_is_not_permitted(
    provider: GssapiProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsrv.providers.gssapi.diagnosis.permitted_enctypes", lambda: None)
    unknown_subkey = in_field(6, 3, b"\x63")
    token = with_authenticator(fresh_token(), provider.keytab.snapshot(), unknown_subkey)
    error = error_of(accept(provider, token))
    assert isinstance(error, UnknownCauseError)
    assert error.detail.startswith("libkrb5's code is -1765328148; ")


def test_where_libkrb5_cannot_be_asked_the_cause_is_unknown(
    provider: GssapiProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise OSError

    monkeypatch.setattr(request_probe, "load_libkrb5", absent)
    token = edited(fresh_token(flags=[INTEGRITY]), provider.keytab.snapshot(), flagged_invalid)
    error = error_of(accept(provider, token))
    assert isinstance(error, UnknownCauseError)


# A root file system that nobody can write to but in one folder, and a user without a passwd entry.
BARE = """
mount --bind "$1" "$1" && mount -o remount,bind,ro / && cd / && shift &&
! touch "$PWD/written" 2>/dev/null &&
exec unshare --user --map-user=54321 env --unset HOME --unset TMPDIR "$@"
"""


@each_client
def test_nothing_is_needed_but_a_keytab_and_the_folder_of_the_replay_cache(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, tmp_path: Path, flags: list[object]
) -> None:
    token = base64.b64encode(fresh_token(flags=flags)).decode()
    shell = ["unshare", "-r", "-m", "sh", "-c", BARE, "sh"]
    done = subprocess.run(
        [*shell, tmp_path, sys.executable, ACCEPTING, kerberos_keytab, "dfl:"],
        env={**os.environ, "KRB5RCACHEDIR": str(tmp_path)},
        input=f"{token}\n{token}\n",
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == ["ready", "alice@AUTHSRV.TEST", "replay"], done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["krb5_54321.rcache2"]
