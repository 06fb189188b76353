"""The commands around the configuration: init writes one that check-config finds good."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from keytabs import VERSION_2, record
from programs import find_program

from authsrv.cli.main import main
from authsrv.errors import ConfigError
from authsrv.service.config import load
from authsrv.service.skeleton import Skeleton, known_proxies, write_new

HOST = "wiki.example.org"


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
    snippet = written.parent / "authsrv-nginx.conf"
    arguments = ["init", "--host", HOST, "--keytab", str(keytab), "--proxy", "nginx"]
    arguments += ["--output", str(written.parent)]
    for path in (written, snippet):
        before = path.read_bytes()
        assert main(arguments) == 1
        assert "is there already" in capsys.readouterr().err
        assert path.read_bytes() == before
        # A link that leads nowhere would be written through.
        path.unlink()
        path.symlink_to(written.parent / "elsewhere")
        assert main(arguments) == 1
        assert not (written.parent / "elsewhere").exists()
        path.unlink()
        (snippet if path is written else written).unlink(missing_ok=True)
        assert main(arguments) == 0


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


def test_the_snippet_for_nginx_is_taken_by_nginx(written: Path, tmp_path: Path) -> None:
    nginx = find_program("nginx", package="nginx-light")
    openssl = find_program("openssl", package="openssl")
    pem = tmp_path / "tls.pem"
    subprocess.run(
        [
            openssl,
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            f"/CN={HOST}",
            "-keyout",
            str(pem),
            "-out",
            str(tmp_path / "c.pem"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    pem.write_bytes(pem.read_bytes() + (tmp_path / "c.pem").read_bytes())
    text = (tmp_path / "authsrv-nginx.conf").read_text()
    text = text.replace(f"/etc/ssl/certs/{HOST}.pem", str(pem))
    text = text.replace(f"/etc/ssl/private/{HOST}.key", str(pem))
    # As another user than root, it could not look at port 443.
    text = text.replace("listen 443", "listen 127.0.0.1:44443")
    whole = (
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\nhttp {{ access_log off;\n{text}\n}}"
    )
    (tmp_path / "nginx.conf").write_text(whole)
    done = subprocess.run(
        [nginx, "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


@pytest.mark.parametrize("proxy", known_proxies())
def test_each_snippet_is_filled(proxy: str) -> None:
    text = Skeleton(HOST, "http.keytab", proxy).snippet()
    assert HOST in text
    assert "@HOST@" not in text
    assert "/run/authsrv/asks.sock" in text


def explained(written: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["check-config", str(written), *arguments]) == 0
    return capsys.readouterr().out


URL = f"https://{HOST}/secret"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "is good: 1 sites, 1 rules"),
        (["--url", URL], "identity-needed: the rule 'everybody with an identity' needs"),
        (
            ["--url", URL, "--user", "alice@R.TEST"],
            "1. everybody with an identity (allow): matches",
        ),
        (["--url", URL, "--user", "alice@R.TEST"], "\nallowed: "),
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
    written: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert expected in explained(written, capsys, *arguments)


def test_check_config_tells_what_an_open_page_is_told(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with written.open("a") as file:
        file.write('access = "open"\n')
    assert "\n  Remote-User:\n" in explained(written, capsys, "--url", URL)


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
