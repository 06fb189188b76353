"""How the service's pages look and what they say: texts, stylesheets and a logo.

What authsrv ships is complete; an operator replaces single texts, adds languages, a stylesheet that
comes after ours, and a logo. All of it is read once, when the configuration is, and checked then:
a page that is rendered meets no text that is missing and no placeholder that nobody fills.
"""

from __future__ import annotations

import hashlib
import os
import re
import string
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from authsrv.core.settings import as_instance, as_path
from authsrv.errors import ConfigError

__all__ = ["Asset", "Look", "Text", "Texts", "load_look", "placeholders_in"]

_HERE: Final = Path(__file__).parent
_SHIPPED: Final = ("en", "de")
_FALLBACK: Final = "en"
_LANGUAGE: Final = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,8})*")

_MAX_BYTES: Final = 1_048_576

_MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".gif": "image/gif",
        ".jpeg": "image/jpeg",
        ".jpg": "image/jpeg",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".webp": "image/webp",
    }
)

Text = str | tuple[str, ...]
"""One text, or a list of them, such as steps."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of the pages in one language.

    Args:
        language: Such as "en", in lower case.
        entries: From "page.text" to what it says; the placeholders in it are filled by the page.
    """

    language: str
    entries: Mapping[str, Text] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages refer to.

    Args:
        name: Its name below the assets' path; it changes with the content.
        media_type: Its Content-Type.
        content: What is sent.
    """

    name: str
    media_type: str
    content: bytes = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that it is sent with; an SVG, opened by itself, runs no script."""
        return {
            "Content-Type": self.media_type,
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "public, max-age=3600",
        }


@dataclass(frozen=True, slots=True)
class Look:
    """All that pages are made with beside their own values.

    Args:
        texts: The languages that there are.
        default_language: The one of them for whoever reads no other.
        stylesheets: In the order in which they apply; ours comes first.
        logo: The image at the head of each page; None for the service's name in letters.
        assets_path: Where the assets are served, such as "/.authsrv/assets".
    """

    texts: Mapping[str, Texts]
    default_language: str
    stylesheets: tuple[Asset, ...]
    logo: Asset | None
    assets_path: str

    @property
    def assets(self) -> Mapping[str, Asset]:
        """The files to serve below assets_path, by name."""
        files = [*self.stylesheets, *([] if self.logo is None else [self.logo])]
        return {asset.name: asset for asset in files}

    def url_of(self, asset: Asset) -> str:
        """The path under which a page refers to an asset."""
        return f"{self.assets_path}/{asset.name}"


def load_look(
    *,
    texts: Mapping[str, str | os.PathLike[str]] = MappingProxyType({}),
    stylesheet: str | os.PathLike[str] | None = None,
    logo: str | os.PathLike[str] | None = None,
    default_language: str = _FALLBACK,
    assets_path: str = "/.authsrv/assets",
) -> Look:
    """Read what pages are made with. It blocks.

    Args:
        texts: From a language to a TOML file with those texts that are other than ours, in the
            tables that ours have. In a language that authsrv does not ship, what is missing is
            English.
        stylesheet: A CSS file that comes after ours.
        logo: An image: SVG, PNG, WebP, JPEG or GIF.
        default_language: For whoever reads none of the languages that there are.
        assets_path: Where the assets are served.

    Raises:
        ConfigError: A file cannot be read, is too large or of another kind, a text is unknown or
            has a placeholder that ours has not, or there is no such language. It names the file.
    """
    languages = {name: _shipped(name) for name in _SHIPPED}
    for name, path in texts.items():
        if not _LANGUAGE.fullmatch(as_instance(str, name, "the language of texts")):
            raise ConfigError(f"{name!r} is no language such as 'fr' or 'de-ch', in lower case")
        ours = languages.get(name) or languages[_FALLBACK]
        languages[name] = _merged(name, ours, _read_texts(Path(as_path(path, "texts"))))
    if as_instance(str, default_language, "default_language") not in languages:
        raise ConfigError(f"there are no texts in the default language {default_language!r}")
    sheets = [_HERE / "static" / "authsrv.css"]
    if stylesheet is not None:
        sheets.append(Path(as_path(stylesheet, "stylesheet")))
    return Look(
        texts=MappingProxyType(languages),
        default_language=default_language,
        stylesheets=tuple(_load_asset(path, (".css",)) for path in sheets),
        logo=None if logo is None else _load_asset(Path(as_path(logo, "logo")), _images()),
        assets_path=assets_path,
    )


def _images() -> tuple[str, ...]:
    return tuple(suffix for suffix in _MEDIA_TYPES if suffix != ".css")


def _load_asset(path: Path, suffixes: Iterable[str]) -> Asset:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise ConfigError(f"{path} must have a name that ends with {' or '.join(suffixes)}")
    content = _read(path)
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(f"{digest}{suffix}", _MEDIA_TYPES[suffix], content)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from None
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES} bytes")
    return content


def _shipped(language: str) -> Texts:
    return Texts(language, _read_texts(_HERE / "texts" / f"{language}.toml"))


def _read_texts(path: Path) -> Mapping[str, Text]:
    try:
        tables = tomllib.loads(_read(path).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None
    entries: dict[str, Text] = {}
    for table, texts in tables.items():
        if not isinstance(texts, dict):
            raise ConfigError(f"{path}: {table!r} must be a table of texts")
        for key, text in texts.items():
            entries[f"{table}.{key}"] = _as_text(text, f"{path}: {table}.{key}")
    return MappingProxyType(entries)


def _as_text(text: object, where: str) -> Text:
    if isinstance(text, str):
        return text
    if isinstance(text, list) and all(isinstance(each, str) for each in text):
        return tuple(text)
    raise ConfigError(f"{where} must be a text or a list of texts")


def _merged(language: str, ours: Texts, theirs: Mapping[str, Text]) -> Texts:
    for key, text in theirs.items():
        if key not in ours.entries:
            raise ConfigError(f"the texts in {language!r} have {key!r}, which no page shows")
        if isinstance(text, str) != isinstance(ours.entries[key], str):
            raise ConfigError(f"the text {key!r} in {language!r} must be as ours: a text or a list")
        more = placeholders_in(text, key) - placeholders_in(ours.entries[key], key)
        if more:
            raise ConfigError(
                f"the text {key!r} in {language!r} has {{{min(more)}}}, which nobody fills"
            )
    return Texts(language, MappingProxyType({**ours.entries, **theirs}))


def placeholders_in(text: Text, key: str) -> set[str]:
    """The names in braces that a text has.

    Raises:
        ConfigError: The braces are not those of plain names; the error names the key.
    """
    names: set[str] = set()
    for each in (text,) if isinstance(text, str) else text:
        try:
            parts = list(string.Formatter().parse(each))
        except ValueError:
            raise ConfigError(f"the text {key!r} has a brace that is not closed") from None
        for _, name, spec, conversion in parts:
            if name is None:
                continue
            if not name.isidentifier() or spec or conversion:
                raise ConfigError(f"the text {key!r} has braces that hold no plain name")
            names.add(name)
    return names
