"""A proxy with the service and an application behind it, all of them running."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fronts import FRONTS, Front, Place, Replacements, make_place, run_front, run_service
from service_rig import LOGIN_HOST, WIKI_HOST
from serving import Served, clean_environment
from visitors import Answer, Browser, Field, fetch

from authsrv.devrealm import Realm

__all__ = ["BY_NAME", "LOGIN", "PAGE", "SESSION", "WIKI", "Standing", "short_folder", "stand"]

BY_NAME = {front.name: front for front in FRONTS}
WIKI, LOGIN = f"https://{WIKI_HOST}", f"https://{LOGIN_HOST}"
PAGE = ("Accept", "text/html")
SESSION = "__Host-authsrv"


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands.

    Args:
        front: The proxy.
        place: Where its files are.
        port: Its port.
        served: The service.
        realm: The realm.
    """

    front: Front
    place: Place
    port: int
    served: Served
    realm: Realm

    def browser(self, user: str = "alice", *, has_ticket: bool = False) -> Browser:
        """A browser with an empty jar."""
        jar = Path(tempfile.mkstemp(dir=self.place.folder, prefix="jar-")[1])
        environment = clean_environment(self.realm.environment(user))
        if not has_ticket:
            environment["KRB5CCNAME"] = f"FILE:{self.place.folder}/none"
        return Browser(self.port, jar, environment, has_ticket)

    def session(self, user: str) -> Field:
        """The Cookie field of somebody who has logged in by ticket."""
        browser = self.browser(user, has_ticket=True)
        way, answer = browser.open(f"{WIKI}/secret")
        assert answer.is_from_app, (way, answer)
        return ("Cookie", f"{SESSION}={browser.cookies()[SESSION]}")

    def fetch(self, target: str, *fields: Field, **how: Any) -> Answer:
        """Send one request on a connection of its own."""
        return fetch(self.port, target, fields, **how)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="front-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def stand(
    front: Front, app: int, realm: Realm, more: Replacements | None = None
) -> Iterator[Standing]:
    """Run a proxy and its service in front of an application.

    Args:
        front: The proxy.
        app: The application's port.
        realm: The realm.
        more: As of `run_front`.
    """
    with ExitStack() as stack:
        place = make_place(stack.enter_context(short_folder()), app)
        served = stack.enter_context(run_service(front, place, realm))
        port, _ = stack.enter_context(run_front(front, place, more))
        yield Standing(front, place, port, served, realm)
