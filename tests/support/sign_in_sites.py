"""Sites of all kinds, and a service that has them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from service_rig import Rig, run_rig

from authsrv.devrealm import Realm

__all__ = ["SITES", "Tickets", "own_rig"]

Tickets = Callable[..., tuple[str, str]]

SITES = """
[groups]
file = "groups.toml"

[tries]
max_tries_per_window = 1000
max_tries_per_pair = 1000
max_tries_per_device = 1000
max_tries_per_address = 10000

[[site]]
name = "wiki"
hosts = ["wiki.example.org"]
headers = { preset = "authelia" }
[[site.rule]]
name = "public"
paths = ["/public/**"]
access = "open"
[[site.rule]]
name = "by-ticket"
paths = ["/by-ticket/**"]
mechanisms = ["kerberos"]
[[site.rule]]
name = "by-ticket-only"
paths = ["/by-ticket/**"]
access = "deny"
[[site.rule]]
name = "rest"
paths = ["/**"]

[[site]]
name = "git"
hosts = ["git.example.org"]
headers = { preset = "oauth2-proxy" }
token_header = true
token_path = true
rule = [{ paths = ["/**"] }]

[[site]]
name = "forms"
hosts = ["forms.example.org"]
negotiate = "never"
rule = [{ paths = ["/**"] }]

[[site]]
name = "pages"
hosts = ["pages.example.org"]
negotiate = "login"
rule = [{ paths = ["/**"] }]

[[site]]
name = "asks"
hosts = ["asks.example.org"]
negotiate = "ask"
rule = [{ paths = ["/**"] }]

[[site]]
name = "networks"
hosts = ["networks.example.org"]
negotiate = [{ networks = ["198.51.100.0/24"], at = "never" }, { at = "both" }]
rule = [{ paths = ["/**"] }]

[[site]]
name = "grafana"
hosts = ["grafana.example.org"]
headers = { preset = "grafana" }
rule = [{ paths = ["/public/**"], access = "open" }, { paths = ["/**"] }]

[[site]]
name = "gitea"
hosts = ["gitea.example.org"]
headers = { preset = "gitea" }
rule = [{ paths = ["/public/**"], access = "open" }, { paths = ["/**"] }]

[[site]]
name = "jenkins"
hosts = ["jenkins.example.org"]
headers = { preset = "jenkins" }
rule = [{ paths = ["/public/**"], access = "open" }, { paths = ["/**"] }]
"""

GROUPS = """
[groups]
editors = ["alice@AUTHSRV.TEST"]
"night shift" = ["alice@AUTHSRV.TEST", "bob@AUTHSRV.TEST"]
"""


@contextmanager
def own_rig(
    realm: Realm, environment: Mapping[str, str] | None = None, *, more: str = SITES
) -> Iterator[Rig]:
    """Run a service with the sites in a folder of its own.

    Args:
        realm: Its realm.
        environment: Variables beside those of the realm.
        more: The end of its configuration.
    """
    with tempfile.TemporaryDirectory(prefix="rig-") as folder:
        (Path(folder) / "groups.toml").write_text(GROUPS)
        with run_rig(Path(folder), realm, more=more, environment=environment) as running:
            yield running
