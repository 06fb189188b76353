"""The commands around the configuration: init writes one that check-config finds good."""

from __future__ import annotations

import os
import pty
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from keytabs import VERSION_2, record

from authsrv.cli.main import main
from authsrv.errors import ConfigError
from authsrv.service.asks.conventions import CONVENTIONS
from authsrv.service.config.loading import load
from authsrv.service.config.skeleton import Skeleton, known_proxies, write_folder, write_new
from authsrv.service.key_files import init_keys

HOST = "wiki.example.org"
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def keytab(tmp_path: Path) -> Path:
    path = tmp_path / "http.keytab"
    path.write_bytes(VERSION_2 + record(HOST))
    path.chmod(0o600)
    return path


@pytest.fixture
def written(tmp_path: Path, keytab: Path) -> Path:
    """The configuration that init writes."""
    arguments = ["--host", HOST, "--keytab", str(keytab), "--proxy", "nginx"]
    arguments += ["--login-host", "login.example.org", "--realm", "R.TEST"]
    assert main(["init", *arguments, "--output", str(tmp_path)]) == 0
    return tmp_path / "authsrv.toml"


def test_init_writes_a_configuration_without_problems(written: Path) -> None:
    loaded = load(written, {})
    assert loaded.problems == ()
    assert loaded.settings is not None
    (site,) = loaded.settings.sites.sites
    assert (site.name, str(site.hosts[0])) == ("wiki", HOST)
    assert str(loaded.settings.asks) == "unix:/run/authsrv/asks.sock"
    assert loaded.settings.login.host is not None
    assert loaded.settings.realms == {"R.TEST"}
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_every_line_that_is_left_out_could_be_said(written: Path) -> None:
    # What shows a key is behind "# " and has a "=" or begins a table.
    lines = [
        line.removeprefix("# ") if line.startswith(("# [", "# #")) or " = " in line else line
        for line in written.read_text().splitlines()
    ]
    text = "\n".join(lines).replace("/var/lib/authsrv/keys", str(written.parent / "keys"))
    (written.parent / "keys").mkdir(mode=0o700)
    (written.parent / "groups.toml").write_text('[groups]\nadmins = ["alice@R.TEST"]\n')
    # These are said in a sentence, and not to be left out of it.
    text = "\n".join(line for line in text.splitlines() if not line.startswith("Which users are"))
    text = text.replace("[groups] and lines like", "")
    written.write_text(text)
    loaded = load(written, {})
    assert loaded.problems == (), text
    assert loaded.settings is not None
    assert len(loaded.settings.sites.sites[0].rules.rules) == 3


def test_init_never_writes_over_a_file(
    written: Path, keytab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written.parent / "nginx"
    arguments = ["init", "--host", HOST, "--keytab", str(keytab), "--proxy", "nginx"]
    arguments += ["--output", str(written.parent)]
    for path in (written, folder):
        before = written.read_bytes()
        assert main(arguments) == 1
        assert "is there already" in capsys.readouterr().err
        assert written.read_bytes() == before
        # A link that leads nowhere would be written through.
        for made in (written, folder):
            remove(made)
        path.symlink_to(written.parent / "elsewhere")
        assert main(arguments) == 1
        assert not (written.parent / "elsewhere").exists()
        path.unlink()
        assert main(arguments) == 0


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def test_a_file_that_appears_at_the_last_moment_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "authsrv.toml"
    path.write_text("theirs")
    with pytest.raises(ConfigError, match="is there already"):
        write_new(path, "ours", 0o600)
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(ConfigError, match="is there already"):
        write_new(path, "ours", 0o600)
    assert (tmp_path / "other").read_text() == "theirs"
    with pytest.raises(ConfigError, match="cannot be made: File exists"):
        write_folder(path, {"nginx.conf": "ours"})


def test_init_says_what_cannot_be_written(keytab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["init", "--host", HOST, "--keytab", str(keytab), "--proxy", "nginx"]
    assert main([*arguments, "--output", str(keytab.parent / "none")]) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "*.example.org"},
        {"host": 'x"; evil'},
        {"login_host": "login.example.org."},
        {"keytab": ""},
        {"keytab": "a\nb"},
        {"proxy": "apache"},
        {"realm": 'R"'},
        {"sockets": "run"},
        {"sockets": "/run/a;b"},
    ],
)
def test_init_takes_nothing_that_would_break_out_of_a_file(wrong: dict[str, str]) -> None:
    given = {"host": HOST, "keytab": "http.keytab", "proxy": "nginx", **wrong}
    with pytest.raises(ConfigError):
        Skeleton(**given)


def test_init_without_a_terminal_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "authsrv", "init", "--host", HOST],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--keytab is missing" in done.stderr


def test_init_asks_at_a_terminal_for_what_is_missing(tmp_path: Path, keytab: Path) -> None:
    leader, follower = pty.openpty()
    try:
        os.write(leader, f"\n{HOST}\n{keytab}\nnginx\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "authsrv", "init", "--output", str(tmp_path)],
            stdin=follower,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(leader)
        os.close(follower)
    assert done.returncode == 0, done.stderr
    assert "the application's host: the application's host: the keytab: " in done.stdout
    assert load(tmp_path / "authsrv.toml", {}).problems == ()


@pytest.mark.parametrize("proxy", known_proxies())
def test_what_init_writes_for_a_proxy_is_the_example(proxy: str) -> None:
    # The examples are what is tried behind the proxies themselves.
    made = Skeleton(HOST, "http.keytab", proxy, login_host="login.example.org").proxy_files()
    example = EXAMPLES / proxy
    assert made == {path.name: path.read_text("utf-8") for path in example.iterdir()}


@pytest.mark.parametrize("proxy", known_proxies())
def test_what_init_writes_for_a_proxy_has_other_names_where_they_are_given(proxy: str) -> None:
    made = Skeleton(
        "app.test:8443", "k", proxy, login_host="sign-in.test", sockets="/srv/sockets"
    ).proxy_files()
    whole = "\n".join(made.values())
    for left in ("wiki", "login.example.org", "/run/authsrv", "@HOST@", "@SITE@", "@LOGIN_HOST@"):
        assert left not in whole.replace("wiki.test", "")
    assert {"app.test", "sign-in.test"} <= set(re.findall(r"[a-z-]+\.test", whole))
    assert ("/srv/sockets/asks.sock" in whole) == (proxy != "traefik")


def test_there_is_an_example_of_each_convention() -> None:
    assert set(known_proxies()) == {convention.name for convention in CONVENTIONS}


def test_traefik_asks_by_tcp() -> None:
    skeleton = Skeleton(HOST, "http.keytab", "traefik")
    asks = re.search(r'^asks = "(.+)"$', skeleton.configuration(), re.MULTILINE)
    assert asks is not None
    assert f"http://{asks[1]}/ask/traefik" in skeleton.proxy_files()["dynamic.yml"]


@pytest.fixture
def startable(written: Path) -> Path:
    """The same, with keys, and with sockets in a folder that there is."""
    folder = written.parent
    init_keys(folder / "keys", time.time())
    (folder / "sockets").mkdir()
    text = written.read_text().replace("/run/authsrv/", f"{folder}/sockets/")
    text = text.replace("# [keys]", "[keys]").replace("# folder = ", "folder = ")
    written.write_text(text.replace("/var/lib/authsrv/keys", "keys"))
    return written


def explained(written: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["check-config", str(written), *arguments]) == 0
    return capsys.readouterr().out


URL = f"https://{HOST}/secret"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "is good: 1 site, 1 rule\n"),
        (["--url", URL], "identity-needed: the rule 'everybody with an identity' needs"),
        (
            ["--url", URL, "--user", "alice@R.TEST"],
            "1. everybody with an identity (allow): matches",
        ),
        (["--url", URL], "\nthe client has to say who it is; --user tells what comes then\n"),
        (["--url", URL], "\nsite wiki, by nobody known:\n"),
        (
            ["--url", URL, "--user", "alice@R.TEST", "--mechanism", "password"],
            "\nsite wiki, by alice@R.TEST, proved by password, known groups: none:\n",
        ),
        (["--url", URL, "--user", "alice@R.TEST"], "\nallowed: "),
        (["--url", URL, "--user", "alice@R.TEST"], "\nthe application is told:\n  Remote-User"),
        (["--url", URL, "--user", "alice@R.TEST"], "\n  Remote-User: alice\n"),
        (["--url", URL, "--user", "alice@OTHER.TEST"], "denied: forbidden-realm: "),
        (["--url", f"https://{HOST}//a", "--user", "a@R.TEST"], "denied: ambiguous-path: "),
        (["--url", f"http://{HOST}/"], "denied: insecure-scheme: "),
        (["--url", "https://other.example.org/"], "denied: unknown-site: "),
        (["--url", HOST], "denied: metadata: the URL has no scheme"),
        (["--url", URL, "--method", "TRACE"], "denied: metadata: "),
        (["--url", URL, "--address", "here"], "denied: metadata: "),
        (["--url", f"https://{HOST}", "--user", "a@R.TEST", "--address", "::1"], "allowed"),
    ],
)
def test_check_config_explains(
    startable: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert expected in explained(startable, capsys, *arguments)


def test_check_config_tells_what_an_open_page_is_told(
    startable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with startable.open("a") as file:
        file.write('access = "open"\n')
    assert "\n  Remote-User:\n" in explained(startable, capsys, "--url", URL)


AGAIN = "make both anew, which ends all sessions: authsrv keys init {folder}/keys)"
UNSTARTABLE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no folder of keys": (
        lambda folder: shutil.rmtree(folder / "keys"),
        [
            "keys.folder: the folder {folder}/keys of the keys is not there "
            "(authsrv keys init {folder}/keys)"
        ],
    ),
    "no keys": (
        lambda folder: [each.unlink() for each in (folder / "keys").iterdir()],
        ["keys.folder: the folder {folder}/keys has no keys (authsrv keys init {folder}/keys)"],
    ),
    "half of the keys": (
        lambda folder: (folder / "keys" / "signing.json").unlink(),
        ["keys.folder: the key file {folder}/keys/signing.json: No such file", AGAIN],
    ),
    "a broken key file": (
        lambda folder: (folder / "keys" / "sealing.json").write_text("x"),
        ["keys.folder: the key file {folder}/keys/sealing.json"],
    ),
    "no folder of sockets": (
        lambda folder: (folder / "sockets").rmdir(),
        [
            f"listen.{name}: the folder {{folder}}/sockets of the socket does not exist "
            "(create it, or let systemd do it (RuntimeDirectory))"
            for name in ("asks", "pages")
        ],
    ),
    "a certificate that is none": (
        lambda folder: spoil_tls(folder),
        ["the TLS files {folder}/tls.pem and {folder}/tls.pem: SSLError"],
    ),
}


def spoil_tls(folder: Path) -> None:
    (folder / "tls.pem").write_text("x")
    (folder / "tls.pem").chmod(0o600)
    with (folder / "authsrv.toml").open("a") as file:
        file.write('[listen.tls]\ncertificate = "tls.pem"\nkey = "tls.pem"\n')


@pytest.mark.parametrize(("spoil", "expected"), UNSTARTABLE.values(), ids=UNSTARTABLE)
def test_check_config_says_what_serve_says_and_fails_with_it(
    startable: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    expected: list[str],
) -> None:
    folder = startable.parent
    spoil(folder)
    capsys.readouterr()
    assert main(["check-config", str(startable)]) == 1
    told = capsys.readouterr().out
    assert " is good" not in told
    assert main(["serve", "--config", str(startable)]) == 1
    assert capsys.readouterr().err == told
    for each in expected:
        assert each.format(folder=folder) in told
    assert all(line.startswith(f"error: {startable}: ") for line in told.splitlines())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_no_socket_can_be_made_in_is_an_error(
    startable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (startable.parent / "sockets").chmod(0o500)
    assert main(["check-config", str(startable)]) == 1
    assert "listen.asks: the folder" in capsys.readouterr().out


def test_a_start_that_failed_leaves_nothing_to_wait_for(startable: Path) -> None:
    (startable.parent / "sockets" / "asks.sock").mkdir()
    code = (
        "import gc, threading\nfrom authsrv.cli.main import main\n"
        f"assert main(['serve', '--config', {str(startable)!r}]) == 1\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        # What the interpreter would look through before it ends.
        "assert len(gc.get_objects()) < gc.get_freeze_count() / 10\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith("cannot listen at unix:"), done.stderr


def test_the_remedy_for_missing_keys_helps(
    startable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = startable.parent / "keys"
    shutil.rmtree(folder)
    assert main(["keys", "init", str(folder)]) == 0
    assert "is good" in explained(startable, capsys)


def test_check_config_explains_what_could_not_start_here(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", str(written), "--url", URL, "--user", "alice@R.TEST"]) == 1
    assert "\nallowed: " in capsys.readouterr().out


def test_check_config_asks_for_the_realm_of_a_user(
    startable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check-config", str(startable), "--url", URL, "--user", "bob"])
    assert caught.value.code == 2
    assert "'bob' has no realm: write it as alice@EXAMPLE.ORG" in capsys.readouterr().err


def test_init_never_calls_a_site_as_the_login_host() -> None:
    assert Skeleton("login.example.org", "http.keytab", "nginx").site == "site"


def test_check_config_fails_where_the_service_would(
    written: Path, keytab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keytab.unlink()
    assert main(["check-config", str(written)]) == 1
    assert "keytab: " in capsys.readouterr().out
    assert main(["check-config", str(written.parent / "none.toml")]) == 1


def test_check_config_needs_a_url_for_a_user(written: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check-config", str(written), "--user", "alice@R.TEST"])
    assert caught.value.code == 2


@pytest.mark.parametrize("command", [["init"], ["check-config", "x"]])
def test_without_the_extra_a_command_says_what_to_install(command: list[str]) -> None:
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        f"from authsrv.cli.main import main\nmain({command})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "install authsrv[service]" in done.stderr
