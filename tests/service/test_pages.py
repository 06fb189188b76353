"""Each page, in each language: whole, escaped, and with headers that forbid the rest."""

from __future__ import annotations

import dataclasses
import enum
from html.parser import HTMLParser
from typing import Any

import jinja2
import pytest
from page_site import PAGES

from authsrv.errors import ConfigError
from authsrv.service.pages.look import Look, Texts, load_look
from authsrv.service.pages.page import LoginNotice, LoginPage, Page, page_headers, render

LOOK = load_look()
HOSTILE = "\"'><script>alert(1)</script>{{7*7}}{site}&amp;\u202e\ud800"

every_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
every_language = pytest.mark.parametrize("language", LOOK.texts)

VOID = {"meta", "link", "img", "input"}


class Document(HTMLParser):
    """A page as elements, whose end tags must fit."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@every_page
@every_language
def test_a_page_is_whole(page: Page, language: str) -> None:
    document = Document(render(page, language, LOOK))
    assert document.all("html") == [{"lang": language, "dir": "ltr"}]
    assert len(document.all("main")) == len(document.all("h1")) == len(document.all("title")) == 1
    assert "{" not in document.text
    assert "  " not in document.text.replace("\n", "")
    identifiers = [found["id"] for _, found in document.elements if "id" in found]
    assert len(set(identifiers)) == len(identifiers)
    labelled = {label["for"] for label in document.all("label")}
    shown = {each["id"] for each in document.all("input") if each["type"] != "hidden"}
    assert shown == labelled
    for _, attributes in document.elements:
        assert attributes.get("aria-describedby", "notice") in {"notice"} & {*identifiers, "notice"}


@every_page
@every_language
def test_no_page_has_a_script_or_a_style_or_anything_from_elsewhere(
    page: Page, language: str
) -> None:
    document = Document(render(page, language, LOOK))
    for tag, attributes in document.elements:
        assert tag not in {"script", "style", "iframe", "object", "embed", "base"}
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "action"):
            assert (attributes.get(name) or "/").startswith("/")
    assert [sheet["href"] for sheet in document.all("link")] == [LOOK.url_of(LOOK.stylesheets[0])]


def hostile(value: Any) -> Any:
    """The same value, with a hostile text in place of each text."""
    if isinstance(value, enum.Enum) or value is None:
        return value
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, tuple):
        return tuple(hostile(each) for each in value)
    return value


@every_page
def test_no_value_becomes_markup(page: Page) -> None:
    values = {each.name: getattr(page, each.name) for each in dataclasses.fields(page)}
    made = dataclasses.replace(page, **{name: hostile(value) for name, value in values.items()})
    content = render(made, "en", LOOK)
    assert b"<script" not in content
    assert b"49" not in content
    tags = [tag for tag, _ in Document(content).elements]
    assert tags == [tag for tag, _ in Document(render(page, "en", LOOK)).elements]


def test_a_text_of_the_operator_is_text() -> None:
    entries = {
        **LOOK.texts["en"].entries,
        "login.title": "<script>alert(1)</script>",
    }
    mine = dataclasses.replace(LOOK, texts={"en": Texts("en", entries)})
    assert b"<script" not in render(PAGES["login"], "en", mine)


def test_every_text_is_shown_by_some_page() -> None:
    asked: set[str] = set()

    class Noted(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            asked.add(key)
            return super().__getitem__(key)

    look = dataclasses.replace(LOOK, texts={"en": Texts("en", Noted(LOOK.texts["en"].entries))})
    for page in PAGES.values():
        render(page, "en", look)
    assert asked == LOOK.texts["en"].entries.keys()


def test_what_a_template_lacks_is_an_error() -> None:
    class Odd:
        template = "error.html"

    with pytest.raises(jinja2.UndefinedError):
        render(Odd(), "en", LOOK)  # type: ignore[arg-type]


def test_rendering_is_the_same_each_time() -> None:
    for page in PAGES.values():
        assert render(page, "de", LOOK) == render(page, "de", LOOK)


def test_the_form_can_be_filled_in_by_whoever_uses_it() -> None:
    hidden, notice = (("token", "t"),), LoginNotice.REFUSED
    page = LoginPage("/.authsrv/login", hidden, username="alice", notice=notice)
    document = Document(render(page, "en", LOOK))
    (form,) = document.all("form")
    assert (form["method"], form["action"]) == ("post", "/.authsrv/login")
    token, username, password = document.all("input")
    assert (token["name"], token["value"], token["type"]) == ("token", "t", "hidden")
    assert (username["autocomplete"], username["value"]) == ("username", "alice")
    assert (password["autocomplete"], password["type"]) == ("current-password", "password")
    assert "value" not in password
    # What is left to do is the password, and it is read with what went wrong.
    assert "autofocus" in password
    assert "autofocus" not in username
    assert password["aria-describedby"] == "notice"
    assert [each["id"] for each in document.all("p") if each.get("role") == "alert"] == ["notice"]
    assert document.text.strip().startswith("Error: Sign in")


@every_page
def test_headers_leave_nothing_to_a_stranger(page: Page) -> None:
    headers = page_headers(page, "de")
    policy = headers["Content-Security-Policy"].split("; ")
    assert policy == [
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Vary"] == "Authorization, Cookie, Accept-Language"
    assert headers["Content-Language"] == "de"
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert 200 <= page.status <= 503


def test_a_form_may_lead_to_the_site_that_was_asked_for() -> None:
    page = PAGES["login"]
    headers = page_headers(page, "en", form_targets=["https://wiki.example.org:8443"])
    assert "form-action 'self' https://wiki.example.org:8443;" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "https:",
        "https://*.example.org",
        "https://wiki.example.org/",
        "https://wiki.example.org; script-src *",
        "https://wiki.example.org\r\nX: y",
        "https://WIKI.example.org",
        "javascript:alert(1)",
        "https://u@wiki.example.org",
        "https://wiki.example.org ",
    ],
)
def test_what_is_no_origin_gets_into_no_policy(target: str) -> None:
    with pytest.raises(ConfigError, match="form_targets"):
        page_headers(PAGES["login"], "en", form_targets=[target])


def test_the_repr_of_a_page_holds_no_token() -> None:
    assert "c2VhbGVk" not in repr(PAGES["login"])
    assert "c2VhbGVk" not in repr(PAGES["whoami"])


def test_own_stylesheet_and_logo_are_referred_to(tmp_path: Any) -> None:
    (tmp_path / "own.css").write_text(":root { --accent: teal }", encoding="utf-8")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG")
    look: Look = load_look(stylesheet=tmp_path / "own.css", logo=tmp_path / "logo.png")
    document = Document(render(PAGES["login"], "en", look))
    assert look.logo is not None
    assert [image["src"] for image in document.all("img")] == [look.url_of(look.logo)]
    assert document.all("img")[0]["alt"] == "Single sign-on"
    assert [sheet["href"] for sheet in document.all("link")] == [
        look.url_of(sheet) for sheet in look.stylesheets
    ]
