"""Sites that are attacked: each has something that an attacker would like to get round."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keytabs import record
from service_rig import LOGIN_HOST, SITES, WIKI, WIKI_HOST, Rig, run_rig

from authsrv.devrealm import Realm

__all__ = [
    "ABROAD_HOST",
    "ADMIN_HOST",
    "API_HOST",
    "HOSTS",
    "MORE_SITES",
    "OTHER_HOST",
    "PLAIN_HOST",
    "SITE_OF",
    "STEPS_HOST",
    "run_attacked",
]

ADMIN_HOST, STEPS_HOST, OTHER_HOST, PLAIN_HOST, API_HOST, ABROAD_HOST = (
    f"{name}.example.org" for name in ("admin", "steps", "other", "plain", "api", "abroad")
)
SITE_OF = {
    WIKI_HOST: WIKI,
    ADMIN_HOST: "admin",
    STEPS_HOST: "steps",
    OTHER_HOST: "other",
    PLAIN_HOST: "plain",
    API_HOST: "api",
}
HOSTS = (*SITE_OF, LOGIN_HOST)
SITE_OF[ABROAD_HOST] = "abroad"

GROUPS = """
[groups]
admins = ["bob@AUTHSRV.TEST"]
"x,admins" = ["alice@AUTHSRV.TEST"]
staff = ["alice@AUTHSRV.TEST", "bob@AUTHSRV.TEST"]
""" + "".join(f'"group-{number:04}" = ["carol@AUTHSRV.TEST"]\n' for number in range(1_000))

MORE_SITES = """
[groups]
file = "groups.toml"

[[site]]
name = "admin"
hosts = ["admin.example.org"]
headers = { preset = "grafana" }

[[site.rule]]
name = "lan"
paths = ["/lan/**"]
networks = ["10.0.0.0/8"]

[[site.rule]]
name = "lan-open"
paths = ["/open-lan/**"]
networks = ["10.0.0.0/8"]
access = "open"

[[site.rule]]
name = "read"
paths = ["/read/**"]
methods = ["GET"]

[[site.rule]]
name = "members"
paths = ["/members/**"]
groups = ["admins"]

[[site]]
name = "steps"
hosts = ["steps.example.org"]

[[site.rule]]
name = "ticket"
paths = ["/ticket/**"]
mechanisms = ["kerberos"]

[[site.rule]]
name = "no-ticket"
paths = ["/ticket/**"]
access = "deny"

[[site.rule]]
name = "bound"
paths = ["/password/**"]
mechanisms = ["password"]

[[site.rule]]
name = "no-password"
paths = ["/password/**"]
access = "deny"

[[site.rule]]
name = "fresh"
paths = ["/fresh/**"]
max_age_seconds = 2

[[site.rule]]
name = "stale"
paths = ["/fresh/**"]
access = "deny"

[[site.rule]]
name = "rest"
paths = ["/**"]

[[site]]
name = "other"
hosts = ["other.example.org"]
realms = ["OTHER.TEST"]

[[site.rule]]
paths = ["/**"]

[[site]]
name = "abroad"
hosts = ["abroad.example.org"]
spn = "HTTP/abroad.example.org"

[[site.rule]]
paths = ["/**"]

[[site]]
name = "plain"
hosts = ["plain.example.org"]
scheme = "http"
sessions = false
negotiate = "ask"

[[site.rule]]
paths = ["/**"]

[[site]]
name = "api"
hosts = ["api.example.org"]
token_header = true
token_path = true

[[site.rule]]
name = "no-bob"
users = ["bob@AUTHSRV.TEST"]
access = "deny"

[[site.rule]]
paths = ["/**"]
"""


@contextmanager
def run_attacked(realm: Realm, *, convention: str = "nginx") -> Iterator[Rig]:
    """Run a service for all these sites, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="rig-") as name:
        folder = Path(name)
        groups = folder / "groups.toml"
        groups.write_text(GROUPS)
        groups.chmod(0o600)
        # What the tests type wrongly is not to be counted against what they type rightly.
        keys = record(ABROAD_HOST, realm="ABROAD.TEST")
        tries = "[tries]\nmax_tries_per_window = 1000\nmax_tries_per_pair = 1000\n"
        tries += "max_tries_per_device = 1000\nmax_tries_per_address = 10000\n"
        more = tries + MORE_SITES.replace('"groups.toml"', f'"{groups}"') + SITES
        with run_rig(
            folder, realm, convention=convention, more=more, hosts=HOSTS, more_keys=keys
        ) as rig:
            yield rig
