"""How pages look: what an operator may replace, and what is refused when it is read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import authsrv.service
from authsrv.errors import ConfigError
from authsrv.service.pages.look import load_look, placeholders_in

SHIPPED = Path(authsrv.service.__file__).parent / "pages" / "texts"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_what_is_shipped_says_the_same_in_both_languages() -> None:
    look = load_look()
    assert set(look.texts) == {"en", "de"}
    english, german = look.texts["en"].entries, look.texts["de"].entries
    assert english.keys() == german.keys()
    for key, text in english.items():
        assert placeholders_in(text, key) == placeholders_in(german[key], key), key
        assert isinstance(text, str) == isinstance(german[key], str), key
        lines = [text, german[key]]
        assert all(line for each in lines for line in ([each] if isinstance(each, str) else each))


def test_a_text_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.toml", '[login]\ntitle = "Welcome"\nto_site = "Hello"\n')
    look = load_look(texts={"en": mine})
    assert look.texts["en"].entries["login.title"] == "Welcome"
    # A placeholder may be left out.
    assert look.texts["en"].entries["login.to_site"] == "Hello"
    assert look.texts["en"].entries["login.submit"] == "Sign in"
    assert look.texts["de"].entries["login.title"] == "Anmelden"


def test_a_language_of_the_operator_falls_back_to_english(tmp_path: Path) -> None:
    mine = write(tmp_path / "fr.toml", '[login]\ntitle = "Connexion"\n')
    look = load_look(texts={"fr": mine}, default_language="fr")
    assert look.default_language == "fr"
    assert look.texts["fr"].entries["login.title"] == "Connexion"
    assert look.texts["fr"].entries["login.submit"] == "Sign in"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[login]\ntitel = 'x'", "'login.titel', which no page shows"),
        ("[login]\ntitle = 7", "must be a text or a list of texts"),
        ("[login]\ntitle = ['x']", "must be as ours"),
        ("[trouble]\nntlm_steps = 'x'", "must be as ours"),
        ("[trouble]\nntlm_steps = [7]", "must be a text or a list of texts"),
        ("[login]\nto_site = '{host}'", "{host}, which nobody fills"),
        ("[login]\nto_site = '{site.__class__}'", "no plain name"),
        ("[login]\nto_site = '{site!r}'", "no plain name"),
        ("[login]\nto_site = '{site:>9999999}'", "no plain name"),
        ("[login]\nto_site = '{}'", "no plain name"),
        ("[login]\nto_site = '{site'", "a brace that is not closed"),
        ("login = 'x'", "'login' must be a table"),
        ("[login", "is no TOML"),
    ],
)
def test_texts_that_cannot_be_shown_are_refused(tmp_path: Path, content: str, told: str) -> None:
    mine = write(tmp_path / "mine.toml", content)
    with pytest.raises(ConfigError) as caught:
        load_look(texts={"en": mine})
    assert told in caught.value.detail


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(ConfigError, match=r"missing cannot be read: No such file"):
        load_look(texts={"en": missing})
    with pytest.raises(ConfigError, match=r"missing\.css cannot be read"):
        load_look(stylesheet=missing.with_suffix(".css"))
    (tmp_path / "latin.toml").write_bytes(b"[login]\ntitle = '\xe4'")
    with pytest.raises(ConfigError, match="is no TOML"):
        load_look(texts={"en": tmp_path / "latin.toml"})
    (tmp_path / "large.png").write_bytes(bytes(1_048_577))
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        load_look(logo=tmp_path / "large.png")
    with pytest.raises(ConfigError, match=r"must have a name that ends with \.gif"):
        load_look(logo=tmp_path / "logo.exe")
    with pytest.raises(ConfigError, match=r"must have a name that ends with \.css"):
        load_look(stylesheet=tmp_path / "large.png")


@pytest.mark.parametrize("name", ["", "EN", "en_GB", "../en", "en\n"])
def test_languages_have_names(tmp_path: Path, name: str) -> None:
    mine = write(tmp_path / "mine.toml", "")
    with pytest.raises(ConfigError, match="no language"):
        load_look(texts={name: mine})
    with pytest.raises(ConfigError, match="no texts in the default language"):
        load_look(default_language=name)


def test_a_logo_is_served_so_that_it_can_do_nothing(tmp_path: Path) -> None:
    (tmp_path / "logo.SVG").write_bytes(SVG)
    look = load_look(logo=tmp_path / "logo.SVG", stylesheet=write(tmp_path / "own.css", "p {}"))
    assert look.logo is not None
    assert look.logo.media_type == "image/svg+xml"
    assert look.logo.headers["Content-Security-Policy"].endswith("sandbox")
    assert look.logo.headers["X-Content-Type-Options"] == "nosniff"
    assert look.assets[look.logo.name].content == SVG
    assert [sheet.content[:4] for sheet in look.stylesheets][1] == b"p {}"
    assert look.url_of(look.logo) == f"/.authsrv/assets/{look.logo.name}"
    # Another content has another name, so that no cache shows the old one.
    (tmp_path / "logo.SVG").write_bytes(SVG + b"\n")
    other = load_look(logo=tmp_path / "logo.SVG").logo
    assert other is not None
    assert other.name != look.logo.name


def test_the_comment_in_the_texts_shows_how_they_are_replaced() -> None:
    """Ours are of the form that an operator's are."""
    for name in ("en", "de"):
        content = (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")
        assert tomllib.loads(content)
        load_look(texts={name: SHIPPED / f"{name}.toml"})
