"""Replay protection: every choice, in one process and between several."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from answers import accept
from initiators import (
    DCE,
    KERBEROS_MECH,
    MUTUAL,
    GssapiInitiator,
    LateInitiator,
    fresh_token,
    kerberos_token,
    rewrapped,
)
from old_stores import old_store

from authsrv.codecs.inspect import authenticator_ciphertext
from authsrv.codecs.spnego import (
    KERBEROS,
    MS_KERBEROS,
    NEGOEX,
    NTLM,
    NegState,
    build_neg_token_init,
    build_neg_token_resp,
    unwrap_spnego,
)
from authsrv.core.results import Continue, Established, Refused, Result
from authsrv.errors import (
    ConfigError,
    InvalidTokenError,
    ReplayCacheError,
    ReplayError,
    StoreError,
)
from authsrv.providers import replay as replay_module
from authsrv.providers.base import ContextRequest
from authsrv.providers.gssapi import claims as claims_module
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.spnego import ReadToken, read_first, read_next
from authsrv.providers.replay import (
    MITReplayCache,
    ReplayProtection,
    default_replay_protection,
)
from authsrv.stores.base import Purpose
from authsrv.stores.machine import machine_store
from authsrv.stores.memory import MemoryStore
from authsrv.testing.handshakes import Recorder, establish, open_context

ACCEPTING = Path(__file__).with_name("accepting.py")
SHELLS = ("raw", "as sent", "MS-Kerberos first", "MS-Kerberos alone", "one more mechanism")


def demand_replay(result: Result) -> None:
    assert isinstance(result, Refused), result
    assert isinstance(result.error, ReplayError), result.error


@pytest.fixture(scope="session")
def shared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay") / "cache"


@pytest.fixture(params=["machine", "process", "MIT's", "file2", "in memory"])
def cache(request: pytest.FixtureRequest, shared_file: Path) -> ReplayProtection:
    makers: dict[str, Callable[[], ReplayProtection]] = {
        "machine": machine_store,
        "process": MemoryStore,
        "MIT's": MITReplayCache,
        "file2": lambda: MITReplayCache(f"file2:{shared_file}"),
        "in memory": lambda: MITReplayCache.in_memory(f"test-{os.getpid()}"),
    }
    return makers[request.param]()


@pytest.fixture
def provider(
    kerberos_environment: dict[str, str], kerberos_keytab: Path, cache: ReplayProtection
) -> GssapiProvider:
    return GssapiProvider(kerberos_keytab, replay=cache)


class TestEveryImplementation:
    def test_refuses_a_token_the_second_time(self, provider: GssapiProvider) -> None:
        token = fresh_token()
        assert isinstance(accept(provider, token), Established)
        demand_replay(accept(provider, token))

    @pytest.mark.parametrize("first", SHELLS)
    def test_refuses_the_same_request_in_every_other_shell(
        self, provider: GssapiProvider, first: str
    ) -> None:
        shells = rewrapped(fresh_token())
        assert set(shells) == set(SHELLS)
        assert isinstance(accept(provider, shells[first]), Established)
        for shell, token in shells.items():
            demand_replay(accept(provider, token)), shell

    def test_refuses_it_in_the_second_leg_of_a_negotiation(self, provider: GssapiProvider) -> None:
        token = fresh_token()
        assert isinstance(accept(provider, token), Established)
        offer = build_neg_token_init([NEGOEX, KERBEROS])
        again = build_neg_token_resp(
            NegState.ACCEPT_INCOMPLETE, response_token=unwrap_spnego(token)
        )
        result = accept(provider, offer, again)
        # MIT's cache sees it at once, a store when the negotiation would end.
        if isinstance(result, Continue):
            assert provider.store is not None
        else:
            demand_replay(result)

    def test_refuses_it_with_any_byte_changed(self, provider: GssapiProvider) -> None:
        token = kerberos_token()
        assert isinstance(accept(provider, token), Established)
        for at in range(len(token)):
            altered = token[:at] + bytes((token[at] ^ 0x01,)) + token[at + 1 :]
            assert not isinstance(accept(provider, altered), Established), at

    def test_accepts_different_tokens_of_one_client(self, provider: GssapiProvider) -> None:
        for _ in range(20):
            assert isinstance(accept(provider, fresh_token()), Established)

    def test_of_many_that_come_at_once_one_gets_in(self, provider: GssapiProvider) -> None:
        token = fresh_token()
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(lambda _: accept(provider, token), range(32)))
        assert sum(isinstance(result, Established) for result in results) == 1


class TestTwoProcesses:
    @pytest.fixture
    def accepting(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
        with ExitStack() as stack:

            def start(cache: str) -> subprocess.Popen[str]:
                process = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, str(ACCEPTING), str(kerberos_keytab), cache],
                        env={**os.environ, **kerberos_environment},
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                return process

            yield start

    @staticmethod
    def race(processes: list[subprocess.Popen[str]], count: int) -> list[list[str]]:
        """Give the same tokens to all processes at the same time; the answers by process."""
        tokens = [fresh_token() for _ in range(count)]
        lines = "".join(f"{base64.b64encode(token).decode()}\n" for token in tokens)
        with ThreadPoolExecutor(len(processes)) as threads:
            done = threads.map(lambda process: process.communicate(lines, timeout=60), processes)
            return [answers.split("\n")[:-1] for answers, _ in done]

    @pytest.mark.parametrize("place", ["{}", "dfl:", "file2:{}"])
    def test_do_not_both_accept_one_token(
        self,
        accepting: Callable[[str], subprocess.Popen[str]],
        place: str,
        tmp_path: Path,
    ) -> None:
        folder = tmp_path / "own"
        folder.mkdir(mode=0o700)
        cache = place.format(folder / "cache")
        one, other = self.race([accepting(cache), accepting(cache)], 100)
        assert len(one) == len(other) == 100
        for pair in zip(one, other, strict=True):
            assert sorted(pair) == ["alice@AUTHSRV.TEST", "replay"]

    def test_share_the_cache_in_memory_by_its_label(self) -> None:
        label = f"shared-{os.getpid()}"
        code = (
            "from authsrv.providers.replay import MITReplayCache;"
            f"print(MITReplayCache.in_memory({label!r}).name)"
        )
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert told.stdout.strip() == MITReplayCache.in_memory(label).name

    def test_each_accept_it_where_each_has_a_cache_of_its_own(
        self, accepting: Callable[[str], subprocess.Popen[str]]
    ) -> None:
        """What the docstring of MemoryStore warns of, and why it is not the default."""
        one, other = self.race([accepting("process"), accepting("process")], 3)
        assert one == other == ["alice@AUTHSRV.TEST"] * 3


class TestSwitchingItOff:
    """Nothing in the environment does; only a cache that is given to the provider counts."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("KRB5RCACHENAME", "none:"),
            ("KRB5RCACHETYPE", "none"),
        ],
    )
    def test_a_variable_does_not(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        value: str,
    ) -> None:
        monkeypatch.setenv(name, value)
        token = fresh_token()
        assert isinstance(accept(GssapiProvider(kerberos_keytab), token), Established)
        demand_replay(accept(GssapiProvider(kerberos_keytab), token))

    def test_the_configuration_of_kerberos_does_not(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        more = tmp_path / "more.conf"
        more.write_text("[libdefaults]\n default_rcache_name = none:\n")
        monkeypatch.setenv("KRB5_CONFIG", f"{more}:{os.environ['KRB5_CONFIG']}")
        token = fresh_token()
        assert isinstance(accept(GssapiProvider(kerberos_keytab), token), Established)
        demand_replay(accept(GssapiProvider(kerberos_keytab), token))

    @pytest.mark.parametrize("name", ["none:", "none", "", "file2:relative", "memory:", "DFL:"])
    def test_a_cache_of_that_name_does_not(self, name: str) -> None:
        with pytest.raises(ConfigError, match="'dfl:' or 'file2:'"):
            MITReplayCache(name)

    def test_the_default_is_the_store_that_processes_share(self) -> None:
        assert GssapiProvider("/nowhere").store is machine_store()

    def test_where_that_cannot_be_had_it_is_the_file_that_processes_share(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "platform", "freebsd14")
        assert default_replay_protection() == MITReplayCache("dfl:")
        monkeypatch.undo()
        monkeypatch.delitem(sys.modules, "authsrv.stores.machine")
        monkeypatch.setitem(sys.modules, "lmdb", None)
        monkeypatch.delitem(sys.modules, "authsrv.stores.lmdb_file")
        assert default_replay_protection() == MITReplayCache("dfl:")


class TestCacheOutOfOrder:
    def check(self, provider: GssapiProvider) -> None:
        result = accept(provider, fresh_token())
        assert isinstance(result, Refused), result
        assert isinstance(result.error, ReplayCacheError | StoreError)

    def test_a_folder_that_cannot_be_written_is_no_verdict_on_the_client(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # Below a file there can be no folder, for root neither.
        monkeypatch.setenv("KRB5RCACHEDIR", str(kerberos_keytab / "below"))
        self.check(GssapiProvider(kerberos_keytab, replay=MITReplayCache()))

    def test_a_device_that_is_full_is_no_verdict_on_the_client(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        self.check(GssapiProvider(kerberos_keytab, replay=MITReplayCache("file2:/dev/full")))

    def test_a_store_that_is_full_is_no_verdict_on_the_client(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, replay=MemoryStore(max_claims=1))
        token = fresh_token()
        assert isinstance(accept(provider, token), Established)
        self.check(provider)
        demand_replay(accept(provider, token))


class TestClaims:
    def test_are_of_the_authenticator_and_switch_mits_own_cache_off(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        provider, token = GssapiProvider(kerberos_keytab, replay=old_store()), fresh_token()
        first, second = (provider.create_context(ContextRequest()).step(token) for _ in range(2))
        assert isinstance(first, Established)
        assert isinstance(second, Established)
        (claim,) = first.claims
        assert claim.key == hashlib.sha256(authenticator_ciphertext(token)).digest()
        assert claim.purpose is Purpose.REPLAY
        assert second.claims[0].key == claim.key

    def test_are_none_with_mits_own_cache(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, replay=MITReplayCache())
        assert provider.store is None
        result = provider.create_context(ContextRequest()).step(fresh_token())
        assert isinstance(result, Established)
        assert result.claims == ()

    def test_of_a_request_without_a_frame(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        """DCE's, whose third leg is the client's proof."""
        provider = GssapiProvider(kerberos_keytab, replay=old_store())
        client = GssapiInitiator(mechanism=KERBEROS_MECH, flags=[MUTUAL, DCE])
        recorder = Recorder(client)
        with open_context(provider) as context:
            establish(context, recorder)
        assert len(recorder.tokens) == 2
        with open_context(provider) as context:
            client = GssapiInitiator(mechanism=KERBEROS_MECH, flags=[MUTUAL, DCE])
            establish(context, client)

    def test_protects_where_the_ticket_comes_in_a_later_leg(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, replay=old_store())
        recorder = Recorder(LateInitiator())
        with open_context(provider) as context:
            establish(context, recorder)
        assert len(recorder.tokens) == 3
        demand_replay(accept(provider, build_neg_token_init([KERBEROS], _ticket(recorder))))

    def test_are_not_made_for_a_token_that_was_refused(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, replay=old_store(max_claims=1))
        token = kerberos_token()
        accept(provider, token[:-1] + bytes((token[-1] ^ 1,)))
        accept(provider, b"garbage")
        assert isinstance(accept(provider, token), Established)


class TestNewStore:
    """What was used before a store was there, it cannot know."""

    def test_a_token_that_was_made_before_is_refused(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        births = iter([time.time() + 4])
        store = MemoryStore(clock=lambda: next(births, None) or time.time())
        provider = GssapiProvider(kerberos_keytab, replay=store)
        result = accept(provider, fresh_token())
        demand_replay(result)
        assert isinstance(result, Refused)
        assert "before it was remembered what is used" in result.error.detail

    def test_a_token_that_is_made_after_it_is_accepted_at_once(
        self, kerberos_environment: dict[str, str], kerberos_keytab: Path
    ) -> None:
        provider = GssapiProvider(kerberos_keytab, replay=MemoryStore())
        assert isinstance(accept(provider, fresh_token()), Established)

    @pytest.mark.parametrize(("age", "accepted"), [(604, False), (606, True)])
    def test_it_is_no_longer_asked_when_no_such_token_is_good_any_more(
        self,
        kerberos_environment: dict[str, str],
        kerberos_keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        age: float,
        accepted: bool,
    ) -> None:
        births = iter([time.time() - age])
        store = MemoryStore(clock=lambda: next(births, None) or time.time())
        # Nothing can be read then: so it shows who was asked.
        monkeypatch.setattr(claims_module, "read_times", lambda *_: None)
        result = accept(GssapiProvider(kerberos_keytab, replay=store), fresh_token())
        assert isinstance(result, Established) is accepted
        if not accepted:
            demand_replay(result)


def _ticket(recorder: Recorder) -> bytes:
    """The AP-REQ that a LateInitiator sent in its second leg."""
    return unwrap_spnego(recorder.tokens[1])


class TestKerberosPart:
    def test_is_the_token_itself_where_it_is_raw(
        self, kerberos_environment: dict[str, str]
    ) -> None:
        raw = kerberos_token()
        assert read_first(raw).kerberos == raw

    @pytest.mark.parametrize("first", [KERBEROS, MS_KERBEROS])
    def test_is_what_the_first_mechanism_says(self, first: str) -> None:
        assert read_first(build_neg_token_init([first, NTLM], b"inner")).kerberos == b"inner"

    @pytest.mark.parametrize("first", [NTLM, NEGOEX, "1.2.3"])
    def test_is_nothing_where_the_first_mechanism_is_another(self, first: str) -> None:
        assert read_first(build_neg_token_init([first, KERBEROS], b"inner")).kerberos is None

    def test_is_the_response_in_later_legs(self) -> None:
        assert read_next(build_neg_token_resp(response_token=b"inner")).kerberos == b"inner"
        assert read_next(build_neg_token_resp(NegState.ACCEPT_COMPLETED)).kerberos is None

    @pytest.mark.parametrize("token", [b"", b"\x60\x02", b"\xa1\x00", b"\x60" * 40])
    def test_of_what_cannot_be_read_strictly_is_refused(self, token: bytes) -> None:
        with pytest.raises(InvalidTokenError):
            read_first(token)

    def test_leads_to_the_same_key_in_every_shell(
        self, kerberos_environment: dict[str, str]
    ) -> None:
        keys = {authenticator_ciphertext(token) for token in rewrapped(fresh_token()).values()}
        assert len(keys) == 1


def test_a_handshake_without_an_authenticator_that_was_read_is_refused(
    kerberos_environment: dict[str, str],
    kerberos_keytab: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If ever MIT finds an AP-REQ where our parser finds none, nobody gets in by it."""
    provider = GssapiProvider(kerberos_keytab, replay=old_store())
    monkeypatch.setattr(
        "authsrv.providers.gssapi.acceptor.read_first", lambda token: ReadToken(token, None)
    )
    result = accept(provider, fresh_token())
    assert isinstance(result, Refused)
    assert "no ticket was read" in result.error.args[0]


class TestFolderInMemory:
    """The folder stands in one that everybody may write to."""

    def test_is_made_for_this_user_alone(self, tmp_path: Path) -> None:
        folder = replay_module._private_folder(tmp_path)
        assert folder == tmp_path / f"authsrv-{os.geteuid()}"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert replay_module._private_folder(tmp_path) == folder

    def test_is_refused_where_it_is_a_link(self, tmp_path: Path) -> None:
        own = tmp_path / "own"
        own.mkdir(mode=0o700)
        (tmp_path / f"authsrv-{os.geteuid()}").symlink_to(own)
        with pytest.raises(ConfigError, match="not a folder that only this user can enter"):
            replay_module._private_folder(tmp_path)

    def test_is_refused_where_it_is_a_link_to_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / f"authsrv-{os.geteuid()}").symlink_to(tmp_path / "nowhere")
        with pytest.raises(ConfigError, match="not a folder that only this user can enter"):
            replay_module._private_folder(tmp_path)

    def test_is_refused_where_it_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / f"authsrv-{os.geteuid()}").touch(mode=0o600)
        with pytest.raises(ConfigError, match="not a folder that only this user can enter"):
            replay_module._private_folder(tmp_path)

    @pytest.mark.parametrize("mode", [0o777, 0o710, 0o701])
    def test_is_refused_where_others_may_enter_it(self, tmp_path: Path, mode: int) -> None:
        folder = tmp_path / f"authsrv-{os.geteuid()}"
        folder.mkdir()
        folder.chmod(mode)
        with pytest.raises(ConfigError, match="not a folder that only this user can enter"):
            replay_module._private_folder(tmp_path)

    def test_is_refused_where_it_belongs_to_somebody_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / f"authsrv-{os.geteuid() + 1}"
        folder.mkdir(mode=0o700)
        user = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: user)
        with pytest.raises(ConfigError, match="not a folder that only this user can enter"):
            replay_module._private_folder(tmp_path)

    def test_without_such_storage_it_is_a_mistake_of_the_settings(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="there is no folder"):
            replay_module._private_folder(tmp_path / "missing")

    @pytest.mark.parametrize("label", ["", "../other", "a/b", "a b", "-", "ab\0", "."])
    def test_a_label_cannot_lead_out_of_it(self, label: str) -> None:
        with pytest.raises(ConfigError, match="label"):
            MITReplayCache.in_memory(label)

    def test_the_label_names_the_file(self) -> None:
        name = MITReplayCache.in_memory("my-app_2").name
        assert name == f"file2:/dev/shm/authsrv-{os.geteuid()}/my-app_2"
