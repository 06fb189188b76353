"""The service's pages in a real browser: axe finds nothing, and keyboards and telephones do.

Run by `make test-pages`, which gets axe and Playwright from npm. Pictures of all pages are left in
``build/pages``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import find_program

HERE = Path(__file__).parent
WORKSHOP = HERE.parents[1] / "build" / "pages"
PICTURES = WORKSHOP / "pictures"

sys.path.insert(0, str(HERE.parent / "service"))
from page_site import PAGES, page_site  # noqa: E402

from authsrv.service.pages.look import load_look  # noqa: E402

LIMIT_S = 600
pytestmark = pytest.mark.timeout(LIMIT_S)


@pytest.fixture(scope="session")
def modules() -> Path:
    """The packages of package-lock.json, which has their hashes."""
    WORKSHOP.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, WORKSHOP / name)
    npm = find_program("npm", package="npm")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=WORKSHOP, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return WORKSHOP / "node_modules"


@pytest.fixture(scope="session")
def seen(modules: Path) -> dict[str, Any]:
    """What the browser saw of all pages, in all settings."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    node = find_program("node", package="nodejs")
    chromium = find_program("chromium", package="chromium")
    with page_site(load_look()) as url:
        done = subprocess.run(
            [node, str(HERE / "look.cjs"), chromium, url, str(PICTURES), *PAGES],
            env={**os.environ, "NODE_PATH": str(modules)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_axe_finds_nothing(seen: dict[str, Any]) -> None:
    found = {
        f"{look['page']} {look['setting']}": look["violations"]
        for look in seen["looks"]
        if look["violations"]
    }
    assert found == {}
    assert len(seen["looks"]) == 4 * len(PAGES)


def test_the_browser_complains_of_nothing(seen: dict[str, Any]) -> None:
    """Its Content-Security-Policy stops nothing that a page needs, and nothing is missing."""
    assert {text for look in seen["looks"] for text in look["messages"]} == set()


def test_pages_are_as_wide_as_the_screen_and_fit_a_finger(seen: dict[str, Any]) -> None:
    assert [look for look in seen["looks"] if look["overflow"] > 0 or look["small"]] == []


def test_light_and_dark_differ_and_the_language_is_the_readers(seen: dict[str, Any]) -> None:
    backgrounds = {look["setting"]: look["background"] for look in seen["looks"]}
    assert backgrounds["light"] == backgrounds["phone"] != backgrounds["dark"]
    languages = {look["setting"]: look["lang"] for look in seen["looks"]}
    assert languages == {"light": "en", "dark": "de", "phone": "de", "narrow": "en"}


def test_the_keyboard_is_enough_and_so_is_a_browser_without_scripts(seen: dict[str, Any]) -> None:
    sent = "password=correct horse, return=/start?x=1, token=c2VhbGVk, username=alice"
    assert seen["sent"] == sent


def test_the_focus_goes_through_the_form_and_can_be_seen(seen: dict[str, Any]) -> None:
    assert seen["order"] == [
        "password solid",
        "button solid",
        "summary solid",
        "a solid",
        "body none",
    ]
    first = {look["page"]: look["focused"] for look in seen["looks"] if look["setting"] == "light"}
    assert (first["login"], first["login-refused"]) == ("username", "password")
