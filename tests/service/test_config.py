"""The configuration: what it means, and that all that is wrong with it is told at once."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keytabs import VERSION_2, record

from authsrv.core.bindings import BindingPolicy
from authsrv.errors import ConfigError
from authsrv.http.forwarded import Scheme
from authsrv.service.config.loading import MAX_CONFIG_BYTES, Loaded, load, load_settings
from authsrv.service.config.problems import Level
from authsrv.service.config.settings import Endpoint, LogFormat, StoreKind
from authsrv.service.sites.headers import Attribute
from authsrv.service.sites.networks import LOOPBACK
from authsrv.service.sites.rule import Access
from authsrv.service.sites.rules import Ambiguous
from authsrv.service.sites.site import NegotiateAt

SMALL = """
keytab = "http.keytab"

[[site]]
name = "wiki"
hosts = ["wiki.test"]

[[site.rule]]
paths = ["/**"]
"""

LARGE = """
keytab = "FILE:http.keytab"
spn = "HTTP/wiki.test"
realms = ["R.TEST"]

[listen]
asks = "127.0.0.1:9180"
pages = "unix:/run/authsrv/pages.sock"

[listen.tls]
certificate = "tls.pem"
key = "tls.key"
key_password = "correct horse"

[proxy]
convention = "caddy"
trusted_peers = ["10.0.0.9"]
trusted_proxies = ["192.0.2.0/24"]

[login]
host = "login.test"
realm = "R.TEST"
netbios_names = ["R"]
upn_suffixes = ["example.com"]
language = "de"
css = "own.css"

[store]
kind = "memory"

[keys]
folder = "keys"

[groups]
file = "groups.toml"

[limits]
max_rounds = 4
step_seconds = 2

[tries]
max_tries_per_window = 3

[log]
format = "json"

[[site]]
name = "wiki"
hosts = ["wiki.test", "*.wiki.test"]
negotiate = [{ networks = ["10.0.0.0/8"], at = "both" }, { at = "login" }]
ambiguous = "strictest"
case_insensitive = true
sessions = false
idle_seconds = 60
session_seconds = 600
password_session_seconds = 300
token_header = true
token_path = true
extended_protection = "require"
certificate = "tls.pem"
realms = ["R.TEST"]

[site.headers]
preset = "authelia"
encoding = "rfc2047"
group_bytes = 1000
total_bytes = 3000

[site.headers.fields]
X-Principal = "principal"
X-Groups = { attribute = "groups", joiner = "|", encoding = "percent" }

[[site.rule]]
name = "admins"
paths = ["/admin/**"]
methods = ["GET", "POST"]
networks = ["10.0.0.0/8"]
users = ["*/admin@R.TEST"]
groups = ["admins"]
realms = ["R.TEST"]
mechanisms = ["kerberos"]
attributes = ["mutual_auth", "integrity"]
channel_bound = true
max_age_seconds = 3600

[[site.rule]]
paths = ["/admin/**"]
access = "deny"

[[site.rule]]
access = "open"
paths = ["/public/**"]

[[site]]
name = "shop"
hosts = ["shop.test"]
spn = ["HTTP/shop.test"]

[[site.rule]]
"""

GROUPS = b'[groups]\nadmins = ["alice/admin@R.TEST"]\n'

Write = Callable[[str], Path]


def certificate() -> bytes:
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wiki.test")])
    begin = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def pem() -> bytes:
    return certificate()


@pytest.fixture
def write(tmp_path: Path, pem: bytes) -> Write:
    """A folder with all that the configurations name; answers with one that is written there."""
    tmp_path.chmod(0o755)
    keytab = VERSION_2 + record("wiki.test") + record("shop.test")
    files = {
        "http.keytab": keytab,
        "groups.toml": GROUPS,
        "tls.pem": pem,
        "tls.key": b"x",
        "own.css": b"",
        "keys/seal.1": b"x",
    }
    (tmp_path / "keys").mkdir(mode=0o700)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)

    def written(text: str) -> Path:
        path = tmp_path / "authsrv.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        path.chmod(0o600)
        return path

    return written


def errors(loaded: Loaded) -> list[str]:
    assert (loaded.settings is None) == any(each.level is Level.ERROR for each in loaded.problems)
    return [str(each) for each in loaded.problems if each.level is Level.ERROR]


def warnings(loaded: Loaded) -> list[str]:
    return [str(each) for each in loaded.problems if each.level is Level.WARNING]


def test_a_small_configuration_is_safe(write: Write) -> None:
    made, problems = load_settings(write(SMALL), {})
    assert problems == ()
    assert made.peers.networks == LOOPBACK
    assert not made.peers.trusts_all
    assert made.asks.path is not None
    assert made.pages.path is not None
    assert made.asks != made.pages
    assert made.store_kind is StoreKind.MACHINE
    assert made.login.host is None
    (site,) = made.sites.sites
    assert site.scheme is Scheme.HTTPS
    assert site.has_sessions
    assert not site.sends_token
    assert not site.has_token_path
    assert site.rules.ambiguous is Ambiguous.DENY
    assert site.rules.rules[0].access is Access.ALLOW
    assert site.negotiate.at(None) is NegotiateAt.BOTH
    assert site.headers.names[0] == "Remote-User"
    assert site.realms is None
    assert made.keytab == str(write(SMALL).parent / "http.keytab")


def test_a_large_configuration_means_what_it_says(write: Write) -> None:
    path = write(LARGE)
    made, _ = load_settings(path, {})
    assert made.asks == Endpoint(None, "127.0.0.1", 9180)
    assert made.tls is not None
    assert made.tls.password == "correct horse"
    assert "horse" not in repr(made)
    assert made.convention.name == "caddy"
    assert [str(each) for each in made.peers.networks] == ["10.0.0.9/32"]
    assert [str(each) for each in made.trusted_proxies] == ["192.0.2.0/24"]
    login = made.login
    assert login.host is not None
    assert (login.host.name, login.realm, login.language) == ("login.test", "R.TEST", "de")
    assert (login.netbios_names, login.upn_suffixes) == (("R",), ("example.com",))
    assert (made.store_kind, made.log_format) == (StoreKind.MEMORY, LogFormat.JSON)
    assert (made.limits.max_rounds, made.limits.step_seconds) == (4, 2)
    assert dict(made.tries) == {"max_tries_per_window": 3}
    assert {Path(file).name for file in load(path, {}).watched} == {
        "authsrv.toml",
        "groups.toml",
        "tls.pem",
        "own.css",
    }
    wiki, shop = made.sites.sites
    assert (wiki.services, shop.services) == (("HTTP/wiki.test",), ("HTTP/shop.test",))
    assert wiki.bindings is not None
    assert wiki.bindings.policy is BindingPolicy.REQUIRE
    assert (wiki.idle_seconds, wiki.session_seconds) == (60, 600)
    assert wiki.case_insensitive
    fields = {each.name: each for each in wiki.headers.fields}
    assert fields["X-Principal"].attribute is Attribute.PRINCIPAL
    assert fields["X-Principal"].encoding.value == "rfc2047"
    assert (fields["X-Groups"].joiner, fields["X-Groups"].encoding.value) == ("|", "percent")
    assert "Remote-User" in fields
    first, second, third = wiki.rules.rules
    assert (first.name, second.name, third.access) == ("admins", "rule 2", Access.OPEN)
    assert first.paths[0].case_insensitive
    assert first.networks is not None
    assert first.networks.peers == made.peers.networks
    assert first.mechanisms == {"kerberos"}


WRONG: dict[str, tuple[str, str]] = {
    "an unknown key": ("keytap = 1\n", "keytap: unknown key (is keytab meant?)"),
    "no TOML": ("keytab = \n", "it is not TOML"),
    "no UTF-8": ("# \ud800", "it is not UTF-8"),
    "too deep": ("x = " + "[" * 100_000, "it is nested too deeply"),
    "a number without end": ("x = " + "9" * 5_000, "it is not TOML"),
    "too large": ("#" * (MAX_CONFIG_BYTES + 1), "is larger than"),
    "a wrong type": ("keytab = 3\n", "keytab: it must be text"),
    "a control": ('keytab = "a\\u0000"\n', "keytab: it must be one line"),
    "no keytab": ("", "keytab: the key is missing"),
    "no site": ("", "site: there is no site"),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_a_file_with_a_fault(write: Write, text: str, expected: str) -> None:
    (found, *_) = [each for each in errors(load(write(text), {})) if expected in each]
    assert found.startswith(f"error: {write(text)}")


def changed(old: str, new: str) -> str:
    assert old in LARGE, old
    return LARGE.replace(old, new, 1)


SETTINGS: dict[str, tuple[str, str]] = {
    "a keytab that is not there": (
        changed("FILE:http.keytab", "none.keytab"),
        "keytab: {folder}/none.keytab cannot be read: No such file or directory",
    ),
    "a name without a key": (
        changed('"HTTP/wiki.test"', '"HTTP/other.test"'),
        "spn: the keytab has no key of HTTP/other.test",
    ),
    "a site's name without a key": (
        changed('["HTTP/shop.test"]', '["HTTP/other.test"]'),
        "site[shop].spn: the keytab has no key of HTTP/other.test",
    ),
    "a name of no service": (changed('"HTTP/wiki.test"', '"wiki"'), "spn: a service principal"),
    "everybody as a peer": (
        changed('["10.0.0.9"]', '["0.0.0.0/0"]'),
        "insecure_trust_all_peers = true",
    ),
    "no network": (changed('["10.0.0.9"]', '["10.0.0.9/8"]'), "proxy.trusted_peers"),
    "one listener for both": (
        changed("unix:/run/authsrv/pages.sock", "127.0.0.1:9180"),
        "listen.pages: asks and pages are the same",
    ),
    "no address": (changed("127.0.0.1:9180", "localhost:9180"), "listen.asks"),
    "a port that is none": (changed("127.0.0.1:9180", "127.0.0.1:99999"), "listen.asks"),
    "a login host of a site": (changed("login.test", "wiki.test"), "is the login host, or covers"),
    "a wildcard over the login host": (changed("login.test", "a.wiki.test"), "*.wiki.test is the"),
    "a login host of another port": (changed("login.test", "shop.test:444"), "is the login host"),
    "a wildcard as the login host": (changed("login.test", "*.login.test"), "not a wildcard"),
    "a password over http": (
        changed('host = "login.test"', 'host = "login.test"\nscheme = "http"'),
        "login.scheme: no password",
    ),
    "a realm of passwords without a key": (
        changed('realm = "R.TEST"', 'realm = "S.TEST"'),
        "login.realm: the keytab has no key of a service HTTP/... in the realm S.TEST (it has keys "
        "of: R.TEST)",
    ),
    "a site with the login host's name": (
        changed('"shop"', '"login"'),
        "site[login].name: 'login' is how the proxy calls the login host (rename the site)",
    ),
    "a site of http with sessions": (
        changed('hosts = ["shop.test"]', 'hosts = ["shop.test"]\nscheme = "http"'),
        "site[shop].scheme: a site of plain http cannot have sessions",
    ),
    "two sites of one name": (changed('"shop"', '"wiki"'), "two sites have the name 'wiki'"),
    "a host twice": (changed("shop.test", "wiki.test"), "stands in the configuration twice"),
    "a host that is none": (changed("shop.test", "Shop.test"), "site[shop].hosts"),
    "a site without hosts": (changed('hosts = ["shop.test"]\n', ""), "site[shop].hosts: the site"),
    "a site without a name": (changed('name = "shop"\n', ""), "site[2].name"),
    "a regular expression as a path": (
        changed('["/public/**"]', '["^/public/.*"]'),
        "site[wiki].rule[3].paths",
    ),
    "a method in lower case": (
        changed('"GET", "POST"', '"get"'),
        "site[wiki].rule[admins].methods",
    ),
    "TRACE as a method": (changed('"GET", "POST"', '"TRACE"'), "no method that is let through"),
    "a mechanism that is none": (
        changed('mechanisms = ["kerberos"]', 'mechanisms = ["kerberoz"]'),
        "site[wiki].rule[admins].mechanisms[1]: it must be one of 'kerberos'",
    ),
    "an empty list": (changed('groups = ["admins"]', "groups = []"), "must not be empty"),
    "a pattern as a group": (
        changed('groups = ["admins"]', 'groups = ["adm*"]'),
        ".groups: 'adm*'",
    ),
    "a user of any realm": (
        changed(
            'users = ["*/admin@R.TEST"]\ngroups = ["admins"]\nrealms = ["R.TEST"]',
            'users = ["svc-*"]',
        ),
        "a pattern without a realm",
    ),
    "an open rule that asks who": (
        changed('access = "open"', 'access = "open"\nrealms = ["R.TEST"]'),
        "site[wiki].rule[3].access",
    ),
    "an access that is none": (changed('"deny"', '"Deny"'), "it must be one of 'allow'"),
    "no number": (changed("max_age_seconds = 3600", "max_age_seconds = inf"), "max_age_seconds"),
    "text for a boolean": (
        changed("channel_bound = true", 'channel_bound = "yes"'),
        "true or false",
    ),
    "bindings without a certificate": (
        changed('certificate = "tls.pem"\nrealms', "realms"),
        "site[wiki].certificate: extended protection needs",
    ),
    "a certificate that is none": (
        changed('certificate = "tls.pem"\nrealms', 'certificate = "own.css"\nrealms'),
        "the server certificate cannot be read",
    ),
    "bindings that no site looks at": (
        changed('extended_protection = "require"\ncertificate = "tls.pem"\n', ""),
        "asks for channel_bound",
    ),
    "groups that nobody knows": (
        changed('[groups]\nfile = "groups.toml"\n', ""),
        "there is no file that says",
    ),
    "a header with another meaning": (changed("X-Principal", "X-Forwarded-For"), "another meaning"),
    "a header twice": (changed("X-Principal", "RemoteUser"), "twice, once folded"),
    "an attribute that is none": (changed('= "principal"', '= "uid"'), "fields.X-Principal"),
    "a joiner that is none": (changed('joiner = "|"', 'joiner = "a"'), "joiner must be one of"),
    "a limit of zero": (changed("max_rounds = 4", "max_rounds = 0"), "limits.max_rounds"),
    "idle for longer than at most": (
        changed("idle_seconds = 60", "idle_seconds = 601"),
        "more than",
    ),
    "a memory store with a path": (
        changed('kind = "memory"', 'kind = "memory"\npath = "x"'),
        "store.path",
    ),
    "TLS without a key": (changed('key = "tls.key"\n', ""), "listen.tls: it needs both"),
    "a page's file that is not there": (changed("own.css", "other.css"), "login.css"),
    "rules of one name": (changed('access = "deny"', 'name = "admins"'), "two rules of the site"),
    "a site's realm that is none": (
        changed("token_path = true", 'token_path = true\nrealms = ["*.R"]').replace(
            'certificate = "tls.pem"\nrealms = ["R.TEST"]', 'certificate = "tls.pem"'
        ),
        "site[wiki].realms: '*.R' is no realm",
    ),
    "a realm that is none": (changed('realms = ["R.TEST"]', 'realms = ["a@R"]'), "is no realm"),
}


@pytest.mark.parametrize(("text", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_a_wrong_setting_is_named(write: Write, text: str, expected: str) -> None:
    path = write(text)
    found = errors(load(path, {}))
    wanted = expected.format(folder=path.parent)
    assert [each for each in found if wanted in each], found
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert caught.value.detail.splitlines() == found


def test_all_that_is_wrong_is_told_at_once_and_with_a_remedy(write: Write) -> None:
    text = changed("FILE:http.keytab", "none.keytab").replace("own.css", "none.css")
    text = text.replace('["/public/**"]', "[1]").replace("max_rounds", "max_round")
    text = text.replace('"shop.test"', '"*"')
    found = load(write(text), {}).problems
    assert {each.key for each in found if each.level is Level.ERROR} == {
        "keytab",
        "login.css",
        "site[wiki].rule[3].paths[1]",
        "limits.max_round",
        "site[shop].hosts",
    }
    by_key = {each.key: each for each in found}
    assert by_key["limits.max_round"].remedy == "is max_rounds meant?"
    assert "make it" in by_key["keytab"].remedy


MORE: dict[str, tuple[str, str]] = {
    "a login host that is none": (changed("login.test", "login.test."), "login.host: "),
    "no file of groups": (changed('file = "groups.toml"\n', ""), "groups.file: the key is missing"),
    "a joiner of a preset": (
        changed('preset = "authelia"', 'preset = "authelia"\njoiner = "ab"'),
        "site[wiki].headers.joiner: joiner must be",
    ),
    "a field without an attribute": (
        changed('X-Principal = "principal"', "X-Principal = {}"),
        "fields.X-Principal: it has no attribute",
    ),
    "bindings with a certificate that is not there": (
        changed('certificate = "tls.pem"\nrealms', 'certificate = "no.pem"\nrealms'),
        "site[wiki].certificate: ",
    ),
    "a network of a policy that is none": (
        changed('networks = ["10.0.0.0/8"], at', 'networks = ["10"], at'),
        "site[wiki].negotiate: ",
    ),
    "an IPv6 address without brackets": (changed("127.0.0.1:9180", "::1:9180"), "listen.asks"),
    "a path of a socket that is too long": (
        changed("unix:/run/authsrv/pages.sock", "unix:/" + "a" * 120),
        "listen.pages",
    ),
    "a folder of keys that is a file": (changed('"keys"', '"own.css"'), "is not a folder"),
    "tables where values belong": (changed('keytab = "FILE:http.keytab"', "[keytab]"), "keytab"),
}


@pytest.mark.parametrize(("text", "expected"), MORE.values(), ids=MORE)
def test_another_wrong_setting_is_named(write: Write, text: str, expected: str) -> None:
    found = errors(load(write(text), {}))
    assert [each for each in found if expected in each], found


def test_a_folder_of_keys_has_files_and_may_be_unreadable(write: Write) -> None:
    path = write(LARGE)
    (path.parent / "keys" / "lost").symlink_to("nowhere")
    assert "lost cannot be read" in "".join(errors(load(path, {})))


def test_ipv6_listeners(write: Write) -> None:
    made, _ = load_settings(write(changed("127.0.0.1:9180", "[::1]:9180")), {})
    assert made.asks == Endpoint(None, "::1", 9180)
    assert str(made.asks) == "[::1]:9180"
    assert [str(Endpoint.parse(each)) for each in ("127.0.0.1:1", "unix:/a")] == [
        "127.0.0.1:1",
        "unix:/a",
    ]


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [(None, True), ("127.0.0.1", True), ("::1", True), ("10.0.0.9", False)],
)
def test_without_a_list_only_this_machine_may_ask(
    write: Write, peer: str | None, is_trusted: bool
) -> None:
    made, _ = load_settings(write(SMALL), {})
    address = None if peer is None else ipaddress.ip_address(peer)
    assert made.peers.trusts(address) is is_trusted
    listed, _ = load_settings(write(f'{SMALL}[proxy]\ntrusted_peers = ["10.0.0.9"]'), {})
    assert listed.peers.trusts(address) is (peer in (None, "10.0.0.9"))
    anybody, _ = load_settings(write(f"{SMALL}[proxy]\ninsecure_trust_all_peers = true"), {})
    assert anybody.peers.trusts(address)


def test_without_the_extra_of_kerberos_the_keytab_cannot_be_read(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(SMALL)
    monkeypatch.delitem(sys.modules, "authsrv.providers.kerberos.keytab", raising=False)
    monkeypatch.setitem(sys.modules, "krb5", None)
    assert "install authsrv[kerberos]" in "".join(errors(load(path, {})))


WARNED: dict[str, tuple[str, str]] = {
    "a host without a key": (
        SMALL.replace("wiki.test", "alias.test"),
        "the keytab has no key of HTTP/alias.test",
    ),
    "two ports of one name": (
        SMALL.replace('["wiki.test"]', '["wiki.test", "wiki.test:8443"]'),
        "share their cookies",
    ),
    "everybody trusted": (
        f"{SMALL}[proxy]\ninsecure_trust_all_peers = true\n",
        "whoever reaches the listener",
    ),
    "a rule behind one for everything": (
        f'{SMALL}[[site.rule]]\nname = "late"\naccess = "deny"\npaths = ["/admin/**"]\n',
        "the rule 'late' can never match: 'rule 1' before it always does (put it before 'rule 1')",
    ),
    "a rule behind one without any condition": (
        SMALL.replace('paths = ["/**"]', 'name = "all"\n[[site.rule]]\nname = "late"\n'),
        "the rule 'late' can never match: 'all' before it always does",
    ),
    "asks over the network": (f'{SMALL}[listen]\nasks = "0.0.0.0:9180"\n', "listen.asks"),
    "no rule": (SMALL.partition("[[site.rule]]")[0], "nobody is let in"),
    "a rule that a later one opens": (
        SMALL.replace(
            "[[site.rule]]",
            '[[site.rule]]\nname="a"\npaths = ["/a/**"]\n'
            'realms = ["R.TEST"]\n[[site.rule]]\nname = "b"',
        ),
        "whom the rule 'a' does not let in may come in by 'b'",
    ),
    "NTLM without bindings": (f'{SMALL}mechanisms = ["ntlm"]\n', "NTLM can be relayed"),
    "accounts of several realms": (
        SMALL.replace("hosts =", 'realms = ["R.TEST", "S.TEST"]\nhosts ='),
        "may share an account's name",
    ),
    "a certificate that is not used": (
        SMALL.replace("hosts =", 'certificate = "tls.pem"\nhosts ='),
        "extended_protection is off",
    ),
    "an application that is told nothing": (
        f"{SMALL}[site.headers]\n",
        "the application is told nothing",
    ),
    "a password over plain http": (
        SMALL.replace("hosts =", 'scheme = "http"\nsessions = false\nhosts =')
        + 'mechanisms = ["password"]\n',
        "over plain http, nobody can prove itself by password",
    ),
    "an empty group": (
        f'{SMALL}groups = ["admin"]\n[groups]\nfile = "groups.toml"\n',
        "nobody is in the group 'admin'",
    ),
}


@pytest.mark.parametrize(("text", "expected"), WARNED.values(), ids=WARNED)
def test_what_is_probably_not_meant_is_a_warning(write: Write, text: str, expected: str) -> None:
    loaded = load(write(text), {})
    assert errors(loaded) == []
    assert [each for each in warnings(loaded) if expected in each], loaded.problems


KEPT = """
[[site.rule]]
name = "no"
access = "deny"
paths = ["/a/**"]
"""


@pytest.mark.parametrize(
    "between",
    [KEPT, KEPT.replace('["/a/**"]', '["/**"]')],
)
def test_a_rule_that_keeps_the_others_out_is_no_reason_to_warn(write: Write, between: str) -> None:
    rules = '[[site.rule]]\npaths = ["/a/**"]\nrealms = ["R.TEST"]\n' + between
    loaded = load(write(SMALL.replace("[[site.rule]]", f"{rules}[[site.rule]]", 1)), {})
    assert not [each for each in warnings(loaded) if "may come in" in each]


@pytest.mark.parametrize(
    "condition", ['methods = ["GET"]', 'networks = ["10.0.0.0/8"]', 'users = ["bob@R.TEST"]']
)
def test_a_rule_behind_one_with_conditions_may_match(write: Write, condition: str) -> None:
    loaded = load(write(f'{SMALL}{condition}\n[[site.rule]]\npaths = ["/**"]\n'), {})
    assert not [each for each in warnings(loaded) if "never match" in each]


@pytest.mark.parametrize(
    ("old", "new", "remedy"),
    [
        ('paths = ["/**"]', 'path = ["/**"]', "is paths meant?"),
        ("hosts =", "hostz =", "is hosts meant?"),
        ("keytab =", "keytabs =", "is keytab meant?"),
        ("hosts =", "headers.encodings = 1\nhosts =", "is encoding meant?"),
        ("hosts =", "headers.fields.X-A.attributes = 1\nhosts =", "is attribute meant?"),
        ("hosts =", "headers.fields.encoding.joiners = 1\nhosts =", "is joiner meant?"),
        ("hosts =", "negotiate = [{ network = [] }]\nhosts =", "is networks meant?"),
        ("[[site]]", "[listen.tls]\ncertificates = 1\n[[site]]", "is certificate meant?"),
        # A key of another table is none that helps here.
        ("hosts =", "folder = 1\nhosts =", "remove it"),
        ("[[site]]", "[login]\nform_on_app_host = true\n[[site]]", "remove it"),
    ],
)
def test_a_key_of_the_very_table_is_suggested(
    write: Write, old: str, new: str, remedy: str
) -> None:
    found = load(write(SMALL.replace(old, new, 1)), {}).problems
    assert [each.remedy for each in found if each.text == "unknown key"] == [remedy]


def test_alternatives_for_one_place_are_no_reason_to_warn(write: Write) -> None:
    rule = '[[site.rule]]\npaths = ["/**"]\nusers = ["alice@R.TEST"]\n'
    text = SMALL.partition("[[site.rule]]")[0] + rule + rule.replace("alice", "bob")
    assert load(write(text), {}).problems == ()


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("authsrv.toml", 0o666, "authsrv.toml can be written by others"),
        ("authsrv.toml", 0o620, "authsrv.toml can be written by others"),
        ("authsrv.toml", 0o604, "is a secret that others can read"),
        ("http.keytab", 0o644, "http.keytab is a secret that others can read"),
        ("tls.key", 0o644, "tls.key is a secret that others can read"),
        ("keys/seal.1", 0o604, "seal.1 is a secret that others can read"),
        ("keys", 0o777, "keys can be written by others"),
        ("groups.toml", 0o602, "groups.toml can be written by others"),
        ("own.css", 0o662, "own.css can be written by others"),
        ("tls.pem", 0o646, "tls.pem can be written by others"),
        (".", 0o777, "can be written by others"),
    ],
)
def test_a_file_that_others_may_change_or_read(
    write: Write, name: str, mode: int, expected: str
) -> None:
    path = write(LARGE)
    (path.parent / name).chmod(mode)
    assert [each for each in errors(load(path, {})) if expected in each]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_an_error(write: Write) -> None:
    path = write(LARGE)
    os.chown(path.parent / "groups.toml", 12_345, -1)
    assert "belongs to the user 12345" in "".join(errors(load(path, {})))


def test_a_file_that_is_none(write: Write, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in "".join(errors(load(tmp_path / "none.toml", {})))
    assert "is not a regular file" in "".join(errors(load(tmp_path, {})))
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in "".join(errors(load(tmp_path / "pipe", {})))
    assert "that is no path" in "".join(errors(load("a\0b", {})))


def test_a_keytab_without_a_key_for_browsers(write: Write) -> None:
    path = write(SMALL)
    keytab = VERSION_2 + record("wiki.test").replace(b"\0\4HTTP", b"\0\4HOST")
    (path.parent / "http.keytab").write_bytes(keytab)
    assert "has no key of a service HTTP/..." in "".join(errors(load(path, {})))
    (path.parent / "http.keytab").write_bytes(b"something else")
    assert "is not a keytab" in "".join(errors(load(path, {})))


VARIABLE = "AUTHSRV_LISTEN_TLS_KEY_PASSWORD"


def test_a_secret_comes_from_the_file_another_file_or_the_environment(write: Write) -> None:
    inline = 'key_password = "correct horse"\n'
    by_file = changed(inline, 'key_password_file = "secret"\n')
    path = write(by_file)
    (path.parent / "secret").write_text("from a file\n")
    (path.parent / "secret").chmod(0o600)

    def password(text: str, environment: dict[str, str]) -> str | None:
        made, _ = load_settings(write(text), environment)
        return made.tls and made.tls.password

    assert password(by_file, {}) == "from a file"
    assert password(changed(inline, ""), {VARIABLE: "from outside"}) == "from outside"
    assert password(changed(inline, ""), {}) is None
    assert "more than one of" in "".join(errors(load(write(LARGE), {VARIABLE: "x"})))
    for content in (b"\xff", b"\n", b"x" * 5_000):
        (path.parent / "secret").write_bytes(content)
        assert "key_password_file" in "".join(errors(load(write(by_file), {})))
    (path.parent / "secret").chmod(0o604)
    assert "is a secret that others can read" in "".join(errors(load(write(by_file), {})))


def test_no_secret_is_told_in_a_problem(write: Write) -> None:
    for value in ('["correct horse"]', '"correct horse\\u0000"', "{ a = 'correct horse' }"):
        loaded = load(write(changed('"correct horse"', value)), {})
        assert errors(loaded)
        assert "horse" not in str(loaded)


def test_what_names_settings_changes_with_each_file(write: Write, pem: bytes) -> None:
    path = write(LARGE)
    digests = {load_settings(path, {})[0].digest}
    for name, content in (
        ("groups.toml", GROUPS + b"b = []\n"),
        ("own.css", b"body {}"),
        ("tls.pem", certificate()),
        ("authsrv.toml", LARGE.encode() + b"\n"),
    ):
        (path.parent / name).write_bytes(content)
        digests.add(load_settings(path, {})[0].digest)
    assert len(digests) == 5


LINES = [line for line in LARGE.splitlines() if line]
values = st.sampled_from(
    ["1", "-1", "inf", '""', '"x"', "[]", "[1]", "{}", "[[]]", "true", "1979-05-27", '"*"', "nan"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(range(len(LINES))), values), max_size=4))
def test_any_value_of_any_key_is_taken_or_refused(
    write: Write, changes: list[tuple[int, str]]
) -> None:
    lines = list(LINES)
    for number, value in changes:
        key, equals, _ = lines[number].partition(" = ")
        if equals:
            lines[number] = f"{key} = {value}"
    loaded = load(write("\n".join(lines)), {})
    assert errors(loaded) or loaded.settings is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.sampled_from(LINES), max_size=40).map("\n".join)
    | st.text(max_size=200)
    | st.lists(st.sampled_from(range(len(LINES)))).map(
        lambda gone: "\n".join(line for number, line in enumerate(LINES) if number not in gone)
    )
)
def test_any_file_is_taken_or_refused(write: Write, text: str) -> None:
    loaded = load(write(text), {})
    assert errors(loaded) or loaded.settings is not None
