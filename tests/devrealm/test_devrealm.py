"""The development realm: what clients and acceptors see in it, and what it leaves behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gssapi.raw
import pytest
from gssapi.raw.named_tuples import AcceptSecContextResult
from keytabs import VERSION_1, VERSION_2, hole, record
from waiting import wait_until

from authsrv.codecs.kerberos.messages import parse_ap_req, parse_krb_error
from authsrv.codecs.spnego import unwrap_spnego
from authsrv.devrealm import (
    EncryptionType,
    MissingProgramError,
    ProgramError,
    Realm,
    RealmError,
)
from authsrv.devrealm import kdc as kdc_module
from authsrv.devrealm import programs as programs_module
from authsrv.devrealm.guard import PROCESS_FILE, CleanupGuard
from authsrv.devrealm.kdc import run_kdc
from authsrv.devrealm.keytab import select_keys
from authsrv.devrealm.profiles import Layout, write_profiles
from authsrv.errors import LocalError

SERVICE = "HTTP/localhost"
SPNEGO = gssapi.raw.OID.from_int_seq("1.3.6.1.5.5.2")

CLIENT = """
import sys
import gssapi.raw as g
name = g.import_name(sys.argv[1].encode(), g.NameType.hostbased_service)
flags = [g.RequirementFlag.mutual_authentication, g.RequirementFlag.delegate_to_peer]
mech = g.OID.from_int_seq("1.3.6.1.5.5.2")
print(g.init_sec_context(name, mech=mech, flags=flags).token.hex())
"""

OWNER = """
import sys
from authsrv.devrealm import Realm
with Realm() as realm:
    print(realm.environment()["KRB5_CONFIG"], flush=True)
    sys.stdin.read()
"""


def make_token(realm: Realm, user: str, service: str = SERVICE) -> bytes:
    environment = {**os.environ, **realm.environment(user)}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, service.replace("/", "@")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return bytes.fromhex(done.stdout)


def accept(token: bytes, keytab: Path) -> AcceptSecContextResult:
    store: dict[bytes | str, bytes | str] = {b"keytab": os.fsencode(keytab), b"rcache": b"none:"}
    credential = gssapi.raw.acquire_cred_from(store, usage="accept").creds
    return gssapi.raw.accept_sec_context(token, credential)


def refusal(token: bytes, keytab: Path) -> int:
    """Answer with the code in the KRB-ERROR that the acceptor leaves."""
    with pytest.raises(gssapi.raw.GSSError) as caught:
        accept(token, keytab)
    assert caught.value.token is not None
    return parse_krb_error(caught.value.token).error_code


def klist(*arguments: str) -> str:
    command = ["klist", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def keys(keytab: Path) -> set[tuple[int, str]]:
    found = re.findall(r"^ +(\d+) .*\((?:DEPRECATED:)?([\w-]+)\)", klist("-ke", str(keytab)), re.M)
    return {(int(kvno), enctype) for kvno, enctype in found}


def kdc_port(config: str | Path) -> int:
    (port,) = re.findall(r"kdc = 127\.0\.0\.1:(\d+)", Path(config).read_text())
    return int(port)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def realm() -> Iterator[Realm]:
    """A realm whose keys may be rotated."""
    with Realm() as running:
        yield running


@pytest.fixture(autouse=True)
def config(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the acceptors of this module away from the machine's own configuration."""
    for name in ("KRB5_CONFIG", "KRB5RCACHEDIR"):
        monkeypatch.setenv(name, realm.environment()[name])


class TestClientsAndAcceptors:
    def test_a_user_who_is_logged_in_is_accepted(self, realm: Realm) -> None:
        realm.login("alice")
        accepted = accept(make_token(realm, "alice"), realm.keytab)
        name = gssapi.raw.display_name(accepted.initiator_name, name_type=False).name
        assert name == b"alice@AUTHSRV.TEST"

    def test_each_user_has_a_credential_cache_of_their_own(self, realm: Realm) -> None:
        realm.add_user("bob")
        assert realm.login("bob") != realm.login("alice")
        accepted = accept(make_token(realm, "bob"), realm.keytab)
        name = gssapi.raw.display_name(accepted.initiator_name, name_type=False).name
        assert name == b"bob@AUTHSRV.TEST"

    def test_a_user_name_with_an_instance_can_log_in(self, realm: Realm) -> None:
        realm.add_user("alice/admin")
        assert realm.login("alice/admin").parent == realm.login("alice").parent

    @pytest.mark.parametrize("password", ['a "quoted" one', "with # and 'more' \\ $HOME", "пароль"])
    def test_a_password_may_hold_any_printable_character(self, realm: Realm, password: str) -> None:
        name = f"user{len(password)}"
        realm.add_user(name, password)
        assert realm.password(name) == password
        assert realm.login(name).exists()

    def test_passwords_are_random_and_not_shown(self, realm: Realm) -> None:
        realm.add_user("carol")
        assert len(realm.password("carol")) >= 16
        assert realm.password("carol") != realm.password("alice")
        assert realm.password("carol") not in repr(realm)

    def test_a_ticket_lives_as_long_as_it_is_asked_to(self, realm: Realm) -> None:
        cache = realm.login("alice", lifetime_s=600)
        realm.ticket("alice", SERVICE)
        result = gssapi.raw.acquire_cred_from({b"ccache": os.fsencode(cache)}, usage="initiate")
        assert 590 <= result.lifetime <= 600

    def test_a_forwardable_ticket_can_be_delegated(self, realm: Realm) -> None:
        realm.login("alice", forwardable=True)
        accepted = accept(make_token(realm, "alice"), realm.keytab)
        assert accepted.delegated_creds is not None

    def test_a_ticket_is_not_forwardable_unless_asked_for(self, realm: Realm) -> None:
        realm.login("alice")
        accepted = accept(make_token(realm, "alice"), realm.keytab)
        assert accepted.delegated_creds is None

    def test_forgotten_tickets_are_gone(self, realm: Realm) -> None:
        cache = realm.login("alice")
        realm.forget_tickets("alice")
        assert not cache.exists()
        with pytest.raises(ProgramError, match="kvno failed"):
            realm.ticket("alice", SERVICE)
        realm.forget_tickets("alice")

    def test_an_added_service_has_a_host_that_belongs_to_the_realm(
        self, realm: Realm, tmp_path: Path
    ) -> None:
        realm.add_service("HTTP/www.example.test")
        realm.login("alice")
        token = make_token(realm, "alice", "HTTP/www.example.test")
        assert refusal(token, realm.keytab) != 0
        keytab = realm.write_keytab(tmp_path / "keytab", ["HTTP/www.example.test"])
        assert accept(token, keytab).initiator_name

    def test_the_acceptors_replay_cache_is_in_the_realm(
        self, realm: Realm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        realm.login("alice")
        token = make_token(realm, "alice")
        for name, value in realm.environment().items():
            monkeypatch.setenv(name, value)
        credential = gssapi.raw.acquire_cred(None, usage="accept").creds
        gssapi.raw.accept_sec_context(token, credential)
        assert list(Path(realm.environment()["KRB5RCACHEDIR"]).iterdir())
        with pytest.raises(gssapi.raw.GSSError, match="replay"):
            gssapi.raw.accept_sec_context(token, credential)

    def test_without_a_credential_cache_nobody_else_is_used(self, realm: Realm) -> None:
        environment = {**os.environ, **realm.environment()}
        del environment["KRB5CCNAME"], environment["KRB5_KTNAME"]
        command = ["klist"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "authsrv-realm-" in done.stderr


class TestKeys:
    def test_a_rotated_key_is_used_at_once_and_keytabs_stay_as_they_are(
        self, realm: Realm, tmp_path: Path
    ) -> None:
        realm.add_service("HTTP/rotated")
        keytab = realm.write_keytab(tmp_path / "keytab", ["HTTP/rotated"])
        realm.login("alice")
        assert realm.ticket("alice", "HTTP/rotated") == 1
        assert realm.rotate_key("HTTP/rotated") == 2
        realm.login("alice")
        assert realm.ticket("alice", "HTTP/rotated") == 2
        token = make_token(realm, "alice", "HTTP/rotated")
        with pytest.raises(gssapi.raw.GSSError):
            accept(token, keytab)
        assert accept(token, realm.write_keytab(keytab, ["HTTP/rotated"])).initiator_name

    def test_a_written_keytab_has_old_keys_and_new_ones(self, realm: Realm, tmp_path: Path) -> None:
        realm.add_service("HTTP/history")
        realm.rotate_key("HTTP/history")
        keytab = realm.write_keytab(tmp_path / "keytab", ["HTTP/history"])
        assert {kvno for kvno, _ in keys(keytab)} == {1, 2}
        realm.write_keytab(keytab, ["HTTP/history"], kvnos=[2])
        assert {kvno for kvno, _ in keys(keytab)} == {2}

    def test_writing_a_keytab_changes_no_key(self, realm: Realm, tmp_path: Path) -> None:
        first = realm.write_keytab(tmp_path / "first", [SERVICE])
        second = realm.write_keytab(tmp_path / "second", [SERVICE])
        realm.login("alice")
        token = make_token(realm, "alice")
        assert accept(token, first).initiator_name
        assert accept(token, second).initiator_name
        assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "second"]
        assert first.stat().st_mode & 0o777 == 0o600

    def test_a_keytab_can_lack_an_encryption_type(self, realm: Realm, tmp_path: Path) -> None:
        path = tmp_path / "keytab"
        realm.write_keytab(path, [SERVICE], enctypes=[EncryptionType.AES128_SHA1])
        assert keys(path) == {(1, "aes128-cts-hmac-sha1-96")}

    def test_a_keytab_without_keys_is_refused_and_the_file_stays(
        self, realm: Realm, tmp_path: Path
    ) -> None:
        path = realm.write_keytab(tmp_path / "keytab", [SERVICE])
        before = path.read_bytes()
        with pytest.raises(RealmError, match="no such key"):
            realm.write_keytab(path, [SERVICE], kvnos=[99])
        assert path.read_bytes() == before

    @pytest.mark.parametrize("enctype", list(EncryptionType))
    def test_a_service_can_have_keys_of_one_type_only(
        self, realm: Realm, tmp_path: Path, enctype: EncryptionType
    ) -> None:
        service = f"HTTP/{enctype.name.lower().replace('_', '-')}"
        realm.add_service(service)
        kvno = realm.rotate_key(service, enctypes=[enctype])
        realm.login("alice")
        token = make_token(realm, "alice", service)
        assert parse_ap_req(unwrap_spnego(token)).ticket_enctype == enctype.number
        keytab = realm.write_keytab(tmp_path / "keytab", [service], kvnos=[kvno])
        assert keys(keytab) == {(2, str(enctype))}

    def test_an_unknown_service_has_no_keys(self, realm: Realm, tmp_path: Path) -> None:
        with pytest.raises(ProgramError, match=r"kadmin\.local failed: .*does not exist"):
            realm.write_keytab(tmp_path / "keytab", ["HTTP/nobody"])
        with pytest.raises(ProgramError, match="does not exist"):
            realm.rotate_key("HTTP/nobody")

    def test_what_exists_cannot_be_added_again(self, realm: Realm) -> None:
        password = realm.password("alice")
        with pytest.raises(ProgramError, match="already exists"):
            realm.add_user("alice", "another")
        with pytest.raises(ProgramError, match="already exists"):
            realm.add_service(SERVICE)
        assert realm.password("alice") == password


class TestClocks:
    @pytest.mark.parametrize("seconds", [420, -420, 82800, -82800])
    def test_a_clock_that_is_wrong_by_minutes_is_answered_with_skew(
        self, realm: Realm, seconds: int
    ) -> None:
        realm.skewed_login("alice", seconds)
        assert refusal(make_token(realm, "alice"), realm.keytab) == 37

    @pytest.mark.parametrize("seconds", [82801, -82801])
    def test_a_clock_that_is_wrong_by_a_tickets_life_is_refused(
        self, realm: Realm, seconds: int
    ) -> None:
        with pytest.raises(RealmError, match="more than 82800 seconds"):
            realm.skewed_login("alice", seconds)

    @pytest.mark.parametrize("seconds", [240, -240, 0])
    def test_a_clock_that_is_wrong_by_little_is_accepted(self, realm: Realm, seconds: int) -> None:
        realm.skewed_login("alice", seconds)
        assert accept(make_token(realm, "alice"), realm.keytab).initiator_name

    def test_an_expired_ticket_is_answered_with_expired(self, realm: Realm) -> None:
        realm.expired_login("alice")
        assert refusal(make_token(realm, "alice"), realm.keytab) == 32

    def test_a_ticket_from_the_future_is_answered_with_not_yet_valid(self, realm: Realm) -> None:
        realm.premature_login("alice")
        assert refusal(make_token(realm, "alice"), realm.keytab) == 33

    def test_a_new_login_ends_the_time_travel(self, realm: Realm) -> None:
        realm.expired_login("alice")
        realm.login("alice")
        assert accept(make_token(realm, "alice"), realm.keytab).initiator_name

    def test_the_skew_of_a_cache_can_be_set_again_and_again(self, realm: Realm) -> None:
        cache = realm.login("alice")
        size = cache.stat().st_size
        realm.ticket("alice", SERVICE)
        realm.set_clock_skew(cache, 420)
        assert refusal(make_token(realm, "alice"), realm.keytab) == 37
        realm.set_clock_skew(cache, 0)
        assert accept(make_token(realm, "alice"), realm.keytab).initiator_name
        realm.forget_tickets("alice")
        assert size == realm.login("alice").stat().st_size

    def test_a_whole_realm_can_live_in_the_past(self) -> None:
        with Realm(clock_offset_s=-3600) as past:
            past.login("alice", lifetime_s=300)
            past.ticket("alice", SERVICE)
            assert refusal(make_token(past, "alice"), past.keytab) == 32
            past.login("alice", lifetime_s=7200)
            assert refusal(make_token(past, "alice"), past.keytab) == 37
            past.login("alice", lifetime_s=3600)
            past.skewed_login("alice", 0)
            assert accept(make_token(past, "alice"), past.keytab).initiator_name

    def test_the_other_kdc_is_gone_after_the_login(self, realm: Realm) -> None:
        folder = realm.keytab.parent
        realm.expired_login("alice")
        assert [path.name for path in folder.iterdir() if path.is_dir()] == ["replay"]

    @pytest.mark.parametrize("content", [b"", b"\x05\x03\x00\x00", b"\x05\x04"])
    def test_what_is_no_cache_of_version_4_is_refused(
        self, realm: Realm, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "cache"
        path.write_bytes(content)
        with pytest.raises(RealmError, match="not of version 4"):
            realm.set_clock_skew(path, 420)

    def test_other_fields_of_the_header_and_the_tickets_are_kept(
        self, realm: Realm, tmp_path: Path
    ) -> None:
        path = tmp_path / "cache"
        other = struct.pack(">HH3s", 7, 3, b"abc")
        old = struct.pack(">HHii", 1, 8, 5, 6)
        path.write_bytes(b"\x05\x04" + struct.pack(">H", 19) + old + other + b"tickets")
        realm.set_clock_skew(path, -7)
        new = struct.pack(">HHii", 1, 8, -7, 0)
        assert path.read_bytes() == b"\x05\x04" + struct.pack(">H", 19) + new + other + b"tickets"

    def test_a_missing_cache_and_a_boundless_skew_are_refused(self, realm: Realm) -> None:
        with pytest.raises(RealmError, match="log in first"):
            realm.set_clock_skew(Path("/nonexistent/cache"), 1)
        with pytest.raises(RealmError, match="too large"):
            realm.set_clock_skew(Path("/nonexistent/cache"), 2**31)

    def test_a_missing_libfaketime_is_named_with_its_package(
        self, realm: Realm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kdc_module, "_LIBFAKETIME", ("/nonexistent/*.so",))
        with pytest.raises(MissingProgramError, match="apt-get install libfaketime") as caught:
            realm.expired_login("alice")
        assert caught.value.package == "libfaketime"


class TestNames:
    @pytest.mark.parametrize(
        "user", ["", "-pw", "two words", "alice\nquit", 'a"b', "alice@OTHER", "a/b/c", "../up", "#"]
    )
    def test_names_that_could_be_more_than_a_name_are_refused(
        self, realm: Realm, user: str
    ) -> None:
        with pytest.raises(RealmError, match="no name"):
            realm.add_user(user)
        with pytest.raises(RealmError, match="no name"):
            Realm(users=[user])

    @pytest.mark.parametrize("password", ["two\nlines", "nul\0", "tab\t"])
    def test_passwords_with_control_characters_are_refused(
        self, realm: Realm, password: str
    ) -> None:
        with pytest.raises(RealmError, match="control character") as caught:
            realm.add_user("dave", password)
        assert password not in str(caught.value)

    def test_a_service_without_a_host_is_refused(self, realm: Realm) -> None:
        with pytest.raises(RealmError, match="class/host"):
            realm.add_service("HTTP")
        with pytest.raises(RealmError, match="class/host"):
            Realm(services=["HTTP"])

    def test_a_realm_name_in_small_letters_is_refused(self) -> None:
        with pytest.raises(RealmError, match="no name for a development realm"):
            Realm("authsrv.test")

    @pytest.mark.parametrize(
        "ask",
        [
            lambda realm: realm.login("nobody"),
            lambda realm: realm.environment("nobody"),
            lambda realm: realm.expired_login("nobody"),
            lambda realm: realm.ticket("nobody", SERVICE),
            lambda realm: realm.forget_tickets("nobody"),
            lambda realm: realm.password("nobody"),
        ],
    )
    def test_an_unknown_user_is_named(self, realm: Realm, ask: Callable[[Realm], object]) -> None:
        with pytest.raises(RealmError, match="has no user 'nobody'"):
            ask(realm)

    def test_errors_are_errors_of_authsrv(self) -> None:
        assert issubclass(RealmError, LocalError)
        assert issubclass(ProgramError, RealmError)
        assert issubclass(MissingProgramError, RealmError)


class TestLife:
    def test_nothing_is_left_behind(self) -> None:
        with Realm() as realm:
            port = kdc_port(realm.environment()["KRB5_CONFIG"])
            folder = realm.keytab.parent
            assert listens(port)
        assert not folder.exists()
        assert not listens(port)

    def test_nothing_is_left_behind_after_an_exception(self) -> None:
        seen: list[str] = []

        def interrupt() -> None:
            with Realm() as realm:
                seen.append(realm.environment()["KRB5_CONFIG"])
                seen.append(str(kdc_port(seen[0])))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupt()
        assert not Path(seen[0]).parent.exists()
        assert not listens(int(seen[1]))

    def test_nothing_is_left_behind_when_the_start_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with pytest.raises(ProgramError, match="already exists"), Realm(services=[SERVICE] * 2):
            pass
        assert not list(tmp_path.iterdir())

    def test_nothing_is_left_behind_when_the_owner_is_killed(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", OWNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as owner:
            assert owner.stdout is not None
            config = Path(owner.stdout.readline().strip())
            port = kdc_port(config)
            assert listens(port)
            owner.kill()
        wait_until(lambda: not listens(port) and not config.parent.exists())

    def test_two_realms_run_at_the_same_time(self, realm: Realm) -> None:
        with Realm() as other:
            configs = [each.environment()["KRB5_CONFIG"] for each in (realm, other)]
            assert kdc_port(configs[0]) != kdc_port(configs[1])
            other.login("alice")
            realm.login("alice")
            token = make_token(other, "alice")
            assert accept(token, other.keytab).initiator_name
            with pytest.raises(gssapi.raw.GSSError):
                accept(token, realm.keytab)

    def test_a_realm_can_be_started_again(self) -> None:
        realm = Realm()
        for _ in range(2):
            with realm:
                assert realm.login("alice").exists()

    def test_a_running_realm_cannot_be_started(self, realm: Realm) -> None:
        with pytest.raises(RealmError, match="running already"):
            realm.__enter__()
        assert realm.keytab.exists()

    def test_a_realm_that_does_not_run_says_so(self, tmp_path: Path) -> None:
        realm = Realm()
        for ask in (
            realm.environment,
            lambda: realm.keytab,
            lambda: realm.login("alice"),
            lambda: realm.add_user("bob"),
            lambda: realm.rotate_key(SERVICE),
            lambda: realm.write_keytab(tmp_path / "keytab", [SERVICE]),
        ):
            with pytest.raises(RealmError, match="is not running"):
                ask()

    def test_a_realm_may_have_neither_users_nor_services(self) -> None:
        with Realm(services=(), users=()) as realm:
            assert not realm.keytab.exists()
            realm.add_user("alice")
            assert realm.login("alice").exists()

    def test_an_iterator_of_names_is_as_good_as_a_list(self) -> None:
        with Realm(services=iter([SERVICE]), users=iter(["alice"])) as realm:
            assert realm.login("alice").exists()
            assert realm.keytab.exists()

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
    def test_the_kdc_listens_on_loopback_only(self, realm: Realm) -> None:
        port = f"{kdc_port(realm.environment()['KRB5_CONFIG']):04X}"
        for table in ("tcp", "tcp6", "udp", "udp6"):
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
            places = {line.split()[1] for line in lines}
            bound = {place for place in places if place.endswith(f":{port}")}
            assert bound == (set() if table.endswith("6") else {f"0100007F:{port}"})

    def test_a_temporary_folder_with_a_colon_is_refused_in_words(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a:b").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "a:b"))
        with pytest.raises(RealmError, match="colon in its name: set TMPDIR"), Realm():
            pass
        assert not list((tmp_path / "a:b").iterdir())

    def test_a_trace_that_the_caller_wants_is_not_taken_for_an_answer(
        self, realm: Realm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KRB5_TRACE", "/dev/stdout")
        realm.login("alice")
        done = programs_module.run_program(
            "kvno",
            "-c",
            f"FILE:{realm.login('alice')}",
            SERVICE,
            environment=realm.environment(),
        )
        assert re.fullmatch(r"\S+: kvno = \d+\n", done.stdout)


class TestMissingPrograms:
    @pytest.mark.parametrize(
        ("missing", "package"),
        [
            ("kadmin.local", "krb5-admin-server"),
            ("kdb5_util", "krb5-kdc"),
            ("kinit", "krb5-user"),
            ("krb5kdc", "krb5-kdc"),
            ("kvno", "krb5-user"),
        ],
    )
    def test_a_missing_program_is_named_with_its_package_before_anything_is_made(
        self, missing: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = {name: programs_module.find_program(name) for name in programs_module.PACKAGES}
        programs, temporary = tmp_path / "programs", tmp_path / "temporary"
        programs.mkdir()
        temporary.mkdir()
        for name, path in found.items():
            if name != missing:
                (programs / name).symlink_to(path)
        monkeypatch.setenv("PATH", str(programs))
        monkeypatch.setattr(programs_module, "_HOMEBREW", ())
        monkeypatch.setattr(programs_module, "_BESIDE_PATH", ())
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        with pytest.raises(MissingProgramError) as caught, Realm():
            pass
        assert caught.value.name == missing
        assert caught.value.package == package
        assert missing in str(caught.value)
        assert f"apt-get install {package}" in str(caught.value)
        assert not list(temporary.iterdir())

    def test_a_path_without_sbin_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kinit = shutil.which("kinit")
        assert kinit is not None
        monkeypatch.setenv("PATH", os.path.dirname(kinit))
        assert programs_module.find_program("krb5kdc").name == "krb5kdc"


class TestKdc:
    def test_a_port_that_is_taken_after_all_is_given_up(self, tmp_path: Path) -> None:
        tried: list[int] = []

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief, Realm() as realm:
            folder = realm.keytab.parent

            def configure(port: int) -> dict[str, str]:
                if not tried:
                    thief.bind(("127.0.0.1", port))
                tried.append(port)
                return dict(write_profiles(Layout(folder), tmp_path, realm.name, port, ()))

            with run_kdc(configure, folder=tmp_path) as port:
                assert listens(port)
        assert tried[-1] == port
        assert len(tried) == 2
        assert not listens(port)

    def test_a_kdc_that_does_not_start_tells_why(self, tmp_path: Path) -> None:
        def configure(port: int) -> dict[str, str]:
            return dict(write_profiles(Layout(tmp_path), tmp_path, "EMPTY.TEST", port, ()))

        kdc = run_kdc(configure, folder=tmp_path)
        with pytest.raises(ProgramError, match=r"krb5kdc failed: .*EMPTY\.TEST"), kdc:
            pass

    def test_a_kdc_that_never_gets_ready_is_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kdc_module, "_READY", "never written")
        monkeypatch.setattr(kdc_module, "_START_S", 0.1)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with pytest.raises(ProgramError, match=r"did not start within 0\.1 s"), Realm():
            pass
        assert not list(tmp_path.iterdir())

    def test_a_kdc_that_does_not_listen_to_reason_is_killed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deaf = tmp_path / "krb5kdc"
        deaf.write_text("#!/bin/sh\ntrap '' TERM\necho starting...\nwhile :; do sleep 1; done\n")
        deaf.chmod(0o700)
        monkeypatch.setattr(kdc_module, "find_program", lambda _: deaf)
        monkeypatch.setattr(kdc_module, "_STOP_S", 0.1)
        with run_kdc(lambda _: {}, folder=tmp_path):
            process = int((tmp_path / PROCESS_FILE).read_text())
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)

    def test_a_program_that_never_ends_is_given_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        endless = tmp_path / "kinit"
        endless.write_text("#!/bin/sh\nexec sleep 60\n")
        endless.chmod(0o700)
        monkeypatch.setattr(programs_module, "find_program", lambda _: endless)
        monkeypatch.setattr(programs_module, "_LIMIT_S", 0.1)
        with pytest.raises(ProgramError, match=r"kinit failed: it did not end within 0\.1 s"):
            programs_module.run_program("kinit", environment={})


class TestGuard:
    def test_it_ends_the_processes_named_in_the_folder_and_no_others(self, tmp_path: Path) -> None:
        folder = tmp_path / "guarded"
        below = folder / "one_more"
        sleep = ["sleep", "60"]
        with (
            subprocess.Popen(sleep) as named,
            subprocess.Popen(sleep) as below_it,
            subprocess.Popen(sleep) as other,
        ):
            guard = CleanupGuard(folder)
            guard.__enter__()
            below.mkdir(parents=True)
            (folder / PROCESS_FILE).write_text(f"{named.pid}\n")
            (below / PROCESS_FILE).write_text(f"{below_it.pid}\n")
            shell = guard._shell
            assert shell is not None
            assert shell.stdin is not None
            shell.stdin.close()
            assert [named.wait(10), below_it.wait(10)] == [-signal.SIGTERM] * 2
            assert shell.wait(10) == 0
            assert not folder.exists()
            assert other.poll() is None
            other.kill()

    def test_a_guard_that_was_killed_is_no_reason_to_leave_the_folder(self, tmp_path: Path) -> None:
        with CleanupGuard(tmp_path) as guard:
            assert guard._shell is not None
            guard._shell.kill()
            guard._shell.wait()
        assert not tmp_path.exists()


class TestSelectKeys:
    def test_only_the_keys_that_are_wanted_stay(self) -> None:
        first, second = record("one.test", 300), record("one.test", 44)
        content = VERSION_2 + hole(5) + first + second
        assert select_keys(content, lambda key: key.kvno == 300) == VERSION_2 + first
        assert select_keys(content, lambda _: True) == VERSION_2 + first + second

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (VERSION_1, "the keytab is not of version 2"),
            (VERSION_2, "the services have no such key"),
            (VERSION_2 + record("one.test")[:-1], "the keytab of kadmin.local is truncated"),
        ],
        ids=["another version", "no key", "truncated"],
    )
    def test_a_keytab_of_which_nothing_can_be_taken_is_refused(
        self, content: bytes, told: str
    ) -> None:
        with pytest.raises(RealmError) as caught:
            select_keys(content, lambda _: True)
        assert caught.value.detail == told
