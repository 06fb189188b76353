"""The pages that people see: what each of them shows, and its bytes.

A page is a value with all that it shows; `render` makes its bytes, and `page_headers` what they are
sent with. Nothing here waits, reads a clock, or knows of a request. All values are escaped, and no
page has a script or a style of its own, so that the Content-Security-Policy can forbid both.
"""

from __future__ import annotations

import datetime
import enum
import functools
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from authsrv.errors import ConfigError
from authsrv.service.pages.look import Look, Text

if TYPE_CHECKING:
    import jinja2

__all__ = [
    "ErrorKind",
    "ErrorPage",
    "InsecurePage",
    "LoginNotice",
    "LoginPage",
    "LoopPage",
    "NoSignOnPage",
    "Page",
    "SignOnTrouble",
    "SignedOutPage",
    "UnavailablePage",
    "WhoamiPage",
    "load_templates",
    "page_headers",
    "render",
]


class LoginNotice(enum.Enum):
    """What the form says above its fields; the value names the text."""

    REFUSED = "refused"
    """The one text for every refusal that came before the password was proved."""
    MUST_CHANGE = "must_change"
    """The password is right, and has expired or must be changed."""
    STALE_FORM = "stale_form"
    """The form was too old, or another one was sent; it is to be filled in again."""
    SIGNED_OUT = "signed_out"
    """Somebody has just signed out here."""


class SignOnTrouble(enum.Enum):
    """Why single sign-on did not work, as far as we can tell; the value names the texts."""

    NOT_TRIED = "not_tried"
    """The browser sent nothing: it has no ticket, or does not trust this site."""
    NTLM = "ntlm"
    """The browser sent NTLM: it has no ticket for this site."""
    CLOCK = "clock"
    """The clock of the device is wrong."""
    EXPIRED = "expired"
    """The ticket has expired."""
    REFUSED = "refused"
    """The ticket was refused for another reason, which is in the log."""
    SIGNED_OUT = "signed_out"
    """The user has signed out, and single sign-on waits until it is asked for."""


class ErrorKind(enum.Enum):
    """Errors that have a page; the value names the texts and the status."""

    BAD_REQUEST = "bad_request", HTTPStatus.BAD_REQUEST
    FORBIDDEN = "forbidden", HTTPStatus.FORBIDDEN
    CROSS_SITE = "cross_site", HTTPStatus.FORBIDDEN
    HAND_OVER = "hand_over", HTTPStatus.FORBIDDEN
    NOT_FOUND = "not_found", HTTPStatus.NOT_FOUND
    METHOD = "method", HTTPStatus.METHOD_NOT_ALLOWED
    TOO_LARGE = "too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    INTERNAL = "internal", HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, text: str, status: HTTPStatus) -> None:
        self.text = text
        self.status = status


@dataclass(frozen=True, slots=True)
class LoginPage:
    """The form for name and password.

    Args:
        action: The path that the form is sent to, of our own host.
        hidden: Names and values of hidden fields: the CSRF token, what the browser came for.
        site: The host that the browser came from; None where it came by itself.
        username: What was typed before, to be corrected; empty at first.
        notice: What to say above the fields.
        trouble: Why single sign-on did not work; None where it was not tried.
        retry: The path that tries single sign-on again; None where there is none.
        status: 200, or 401 or 403 where the page answers a refusal.
    """

    template: ClassVar[str] = "login.html"

    action: str
    hidden: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    site: str | None = None
    username: str = ""
    notice: LoginNotice | None = None
    trouble: SignOnTrouble | None = None
    retry: str | None = None
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class SignedOutPage:
    """The end of a session.

    Args:
        again: The path to sign in again; None for no link.
    """

    template: ClassVar[str] = "signed_out.html"

    again: str | None = None
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """Something cannot be done.

    Args:
        kind: What.
        reference: What finds the cause in the log.
        principal: Who is signed in, where that is why.
        back: The path to try again, or to sign in as somebody else; None for no link.
    """

    template: ClassVar[str] = "error.html"

    kind: ErrorKind
    reference: str
    principal: str | None = None
    back: str | None = None

    @property
    def status(self) -> HTTPStatus:
        """The status to answer with."""
        return self.kind.status


@dataclass(frozen=True, slots=True)
class UnavailablePage:
    """Nobody can sign in at the moment; sessions go on.

    Args:
        reference: What finds the cause in the log.
        retry: The path to try again.
    """

    template: ClassVar[str] = "unavailable.html"

    reference: str
    retry: str | None = None
    status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class NoSignOnPage:
    """Single sign-on did not work: why, what to do, and the way to the form.

    Args:
        trouble: Why.
        site: The host that the browser wants to be let in at.
        reference: What finds the cause in the log; None where there is nothing in it.
        form: The path or URL of the form; None where the site takes no password.
        retry: The path that tries again.
        status: 401 where the page comes with a challenge, 403 where it does not.
    """

    template: ClassVar[str] = "no_sign_on.html"

    trouble: SignOnTrouble
    site: str
    reference: str | None = None
    form: str | None = None
    retry: str | None = None
    status: HTTPStatus = HTTPStatus.UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class InsecurePage:
    """The site is reached by plain http, over which there is no session.

    Args:
        host: The site's host.
        secure_url: The same page by https, if the site has it.
    """

    template: ClassVar[str] = "insecure.html"

    host: str
    secure_url: str | None = None
    status: HTTPStatus = HTTPStatus.FORBIDDEN


@dataclass(frozen=True, slots=True)
class LoopPage:
    """The browser was sent to sign in several times, and came back without a session each time.

    Args:
        site: The host that it wants to be let in at.
        reference: What finds the cause in the log.
        retry: The path to try once more.
    """

    template: ClassVar[str] = "loop.html"

    site: str
    reference: str
    retry: str | None = None
    status: HTTPStatus = HTTPStatus.FORBIDDEN


@dataclass(frozen=True, slots=True)
class WhoamiPage:
    """Who is signed in.

    Args:
        principal: The name.
        mechanism: How it was proved, such as "kerberos" or "password".
        site: The host.
        groups: Those that the service knows.
        groups_truncated: Whether there are more than these.
        signed_in_at: When the user was authenticated, with a time zone.
        ends_at: When the session ends whatever happens, with a time zone.
        sign_out: The path that ends the session, by POST.
        hidden: Names and values of the sign-out form's hidden fields.
    """

    template: ClassVar[str] = "whoami.html"

    principal: str
    mechanism: str
    site: str
    groups: tuple[str, ...]
    groups_truncated: bool
    signed_in_at: datetime.datetime
    ends_at: datetime.datetime
    sign_out: str
    hidden: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    status: HTTPStatus = HTTPStatus.OK


Page = (
    LoginPage
    | SignedOutPage
    | ErrorPage
    | UnavailablePage
    | NoSignOnPage
    | InsecurePage
    | LoopPage
    | WhoamiPage
)
"""A page with all that it shows."""


_ORIGIN: Final = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?")
_TEMPLATES: Final = Path(__file__).parent / "templates"


def render(page: Page, language: str, look: Look) -> bytes:
    """Make the bytes of a page, in UTF-8.

    Args:
        page: The page; its values are trusted with nothing, and escaped.
        language: One of the look's; see authsrv.http.languages.choose_language.
        look: Texts, stylesheets and logo.

    Raises:
        KeyError: There is no such language.
        jinja2.UndefinedError: A template shows what its page does not have.
    """
    import markupsafe

    entries = look.texts[language].entries

    def text(key: str, **values: str) -> Text:
        found = entries[key]
        if isinstance(found, str):
            return markupsafe.escape(found).format(**values)
        return tuple(markupsafe.escape(each).format(**values) for each in found)

    template = _environment().get_template(page.template)
    shown = template.render(page=page, look=look, language=language, text=text)
    # What was typed may hold half a character.
    return shown.encode(errors="replace")


def load_templates() -> None:
    """Read the templates of all pages; after that, `render` reads no file. It blocks."""
    environment = _environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


def page_headers(
    page: Page, language: str, *, form_targets: Collection[str] = ()
) -> dict[str, str]:
    """The headers that a page is sent with; all of them, whatever the page.

    Args:
        page: The page.
        language: What it was rendered in.
        form_targets: Origins that a form may lead to beside our own host, such as
            "https://wiki.example.org": browsers look at where the answer to a form redirects to.

    Raises:
        ConfigError: One of them is no origin of http or https.
    """
    # What is no origin could add a directive of its own.
    if not all(_ORIGIN.fullmatch(target) for target in form_targets):
        raise ConfigError("form_targets must be origins such as 'https://wiki.example.org'")
    policy = (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        " ".join(("form-action", "'self'", *form_targets)),
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Language": language,
        "Content-Security-Policy": "; ".join(policy),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Vary": "Authorization, Cookie, Accept-Language",
    }


@functools.cache
def _environment() -> jinja2.Environment:
    # Not at the top: a worker that only answers asks never needs it.
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
