"""The login host: the one place where a password is typed. It serves no application.

An application's script or service worker owns everything on its own host, a password field too; so
the form has a host to itself, and hands over what comes of it to the host that asked for it.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from authsrv.audit.records import SignInWay
from authsrv.core.identity import Identity
from authsrv.errors import (
    AuthsrvError,
    BlockedRequestError,
    CrossSiteError,
    HandOverError,
    SessionError,
    UnavailableError,
)
from authsrv.http.cookies import build_cookie_deletion, build_set_cookie
from authsrv.http.forwarded import AskedRequest, Host
from authsrv.http.origins import OriginPolicy
from authsrv.providers.kerberos.password import PasswordRefusal, Told
from authsrv.service.asks.answers import Denied
from authsrv.service.asks.fields import Fields
from authsrv.service.asks.leading import provenance_of
from authsrv.service.pages.page import (
    ErrorKind,
    ErrorPage,
    LoginNotice,
    LoginPage,
    Page,
    SignedOutPage,
    SignOnTrouble,
    UnavailablePage,
    WhoamiPage,
)
from authsrv.service.sign_in.cookie_names import CSRF, DEVICE, LOGIN_SESSION, OWN
from authsrv.service.sign_in.hand_over import LOGIN_SITE, Order, issue_code, open_order
from authsrv.service.sign_in.own_paths import (
    HAND_OVER,
    KEY_SET,
    SIGN_IN,
    SIGN_OUT,
    WHOAMI,
    read_query,
)
from authsrv.service.sign_in.page_answers import json_answer, page_answer, redirect
from authsrv.service.sign_in.passwords import PasswordLogin
from authsrv.service.sign_in.session_keeper import SessionKeeper
from authsrv.service.sign_in.tries import KnownDevice
from authsrv.service.snapshot import Snapshot
from authsrv.service.trail import Trail
from authsrv.sessions.sealed import open_note, seal_note, seal_session
from authsrv.sessions.sealing import Audience, SealPurpose
from authsrv.sessions.session import Session, SessionLengths, begin_session, continue_session
from authsrv.stores.base import Store

__all__ = ["LoginPages", "LoginVisit"]

_SAME_ORIGIN = OriginPolicy()
_LENGTHS = SessionLengths(idle_seconds=36_000)
_CSRF_SECONDS = 3_600
_CSRF = re.compile(r"[A-Za-z0-9_-]{43}")
_DEVICE_SECONDS = 90 * 86_400
_MAX_FORM_BYTES = 16_384
_MAX_FORM_FIELDS = 16
_KEY_SET_SECONDS = 300
_FORM_TYPE = "application/x-www-form-urlencoded"
_TROUBLES = {trouble.value: trouble for trouble in SignOnTrouble}


@dataclass(frozen=True, slots=True)
class LoginVisit:
    """A request to the login host.

    Args:
        asked: The request.
        fields: Its fields, untrusted.
        snapshot: The configuration in force.
        host: The login host, as it stands in a URL.
        now: Unix seconds.
    """

    asked: AskedRequest
    fields: Fields
    snapshot: Snapshot
    host: str
    now: float

    @property
    def audience(self) -> Audience:
        """What cookies of the login host are sealed for."""
        return Audience(self.host, LOGIN_SITE)

    def cookie(self, name: str) -> str | None:
        """One of our cookies; None for one that is missing or that cannot be trusted."""
        try:
            return OWN.read(self.fields.all(b"cookie"), name)
        except SessionError:
            return None


@dataclass(frozen=True, slots=True)
class _Typed:
    """What a form brings."""

    order: str
    csrf: str
    username: str
    password: str


_Handler = Callable[[LoginVisit, web.Request], Awaitable[web.Response]]


class LoginPages:
    """Answers requests to the login host.

    Args:
        passwords: Who checks passwords.
        keeper: Who knows which sessions count.
        store: Where hand-overs are remembered.
        trail: Where decisions are told.
    """

    def __init__(
        self, passwords: PasswordLogin, keeper: SessionKeeper, store: Store, trail: Trail
    ) -> None:
        self._passwords = passwords
        self._keeper = keeper
        self._store = store
        self._trail = trail
        self._pages: dict[tuple[str, str], _Handler] = {
            ("GET", "/"): self._home,
            ("GET", SIGN_IN): self._show_form,
            ("POST", SIGN_IN): self._sign_in,
            ("GET", SIGN_OUT): self._home,
            ("POST", SIGN_OUT): self._sign_out,
            ("GET", WHOAMI): self._home,
        }

    async def answer(self, visit: LoginVisit, request: web.Request) -> web.Response:
        """Answer a request.

        Raises:
            AuthsrvError: It is refused, and there is no page for it.
        """
        path, method = visit.asked.target.path, visit.asked.method
        # RFC 9110 section 9.3.2: as GET; the server leaves out the body.
        method = "GET" if method == "HEAD" else method
        if method == "GET" and path.startswith(f"{KEY_SET.removesuffix('.json')}/"):
            return self._key_set(visit, path)
        handler = self._pages.get((method, path))
        if handler is None:
            known = any(known == path for _, known in self._pages)
            return self._error(visit, ErrorKind.METHOD if known else ErrorKind.NOT_FOUND)
        return await handler(visit, request)

    async def _home(self, visit: LoginVisit, request: web.Request) -> web.Response:
        session = await self._session_of(visit)
        if session is None:
            return self._page(visit, SignedOutPage())
        page = WhoamiPage(
            session.principal,
            session.mechanism,
            visit.host,
            session.groups,
            session.groups_truncated,
            _moment(session.authenticated_at),
            _moment(session.ends_at),
            SIGN_OUT,
        )
        return self._page(visit, page)

    # Signing in.

    async def _show_form(self, visit: LoginVisit, request: web.Request) -> web.Response:
        query = read_query(visit.asked.target.query)
        text = query.get("order", "")
        try:
            order = self._open_order(visit, text)
        except HandOverError as error:
            return self._refused_order(visit, error)
        session = await self._session_of(visit)
        if session is not None and _suits(visit, order, session):
            return await self._hand_over(visit, order, session, [])
        return self._form(visit, text, order, trouble=_TROUBLES.get(query.get("trouble", "")))

    async def _sign_in(self, visit: LoginVisit, request: web.Request) -> web.Response:
        refusal = _SAME_ORIGIN.refusal(provenance_of(visit.asked, visit.fields))
        if refusal is not None:
            denied = Denied.because(refusal)
            self._trail.page_refused(visit.asked, refusal, denied)
            return self._error(visit, ErrorKind.CROSS_SITE, denied.reference)
        typed = await _read_form(visit, request)
        try:
            order = self._open_order(visit, typed.order)
        except HandOverError as error:
            return self._refused_order(visit, error)
        if not self._fits(visit, typed.csrf):
            stale = CrossSiteError("the form is too old, or was made for another browser")
            self._trail.page_refused(visit.asked, stale, Denied.because(stale))
            notice = LoginNotice.STALE_FORM
            return self._form(visit, typed.order, order, notice=notice, status=HTTPStatus.FORBIDDEN)
        return await self._check(visit, typed, order)

    async def _check(self, visit: LoginVisit, typed: _Typed, order: Order) -> web.Response:
        device = self._device_of(visit)
        try:
            found = await self._passwords.log_in(
                typed.username, typed.password, address=visit.asked.address, device=device
            )
        except UnavailableError as error:
            denied = Denied.because(error)
            self._trail.page_refused(visit.asked, error, denied)
            headers = [("Retry-After", "5")]
            return self._page(visit, UnavailablePage(denied.reference), headers=headers)
        if isinstance(found, PasswordRefusal):
            denied = Denied.because(found.error)
            self._trail.page_refused(visit.asked, found.error, denied)
            is_known = found.told is Told.MUST_CHANGE
            notice = LoginNotice.MUST_CHANGE if is_known else LoginNotice.REFUSED
            return self._form(visit, typed.order, order, notice=notice, status=HTTPStatus.FORBIDDEN)
        return await self._begin(visit, found, typed, order, device)

    async def _begin(
        self,
        visit: LoginVisit,
        identity: Identity,
        typed: _Typed,
        order: Order,
        device: KnownDevice | None,
    ) -> web.Response:
        session = begin_session(identity, _LENGTHS, visit.now)
        before = await self._session_of(visit)
        if before is not None and before.principal == session.principal:
            # The same user goes on; who signs out ends what came of both.
            session = replace(session, family=before.family)
            await self._keeper.revoke(before, visit.now)
        elif before is not None:
            await self._keeper.revoke_family(before, visit.now)
        sealed = seal_session(
            visit.snapshot.sealer,
            session,
            visit.audience,
            visit.now,
            purpose=SealPurpose.LOGIN_SESSION,
        )
        self._trail.signed_in_at_login(visit.asked, SignInWay.PASSWORD, session)
        cookies = [
            build_set_cookie(LOGIN_SESSION, sealed),
            self._remember_device(visit, device, typed.username),
            build_cookie_deletion(CSRF),
        ]
        return await self._hand_over(visit, order, session, cookies)

    async def _hand_over(
        self, visit: LoginVisit, order: Order, session: Session, cookies: list[str]
    ) -> web.Response:
        code = await issue_code(self._store, visit.snapshot.sealer, order, session, visit.now)
        where = f"{self._origin_of(visit, order)}{HAND_OVER}?code={code}"
        return redirect(where, cookies=cookies)

    def _form(
        self,
        visit: LoginVisit,
        sealed_order: str,
        order: Order,
        *,
        notice: LoginNotice | None = None,
        trouble: SignOnTrouble | None = None,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> web.Response:
        secret, token = self._make_csrf(visit)
        page = LoginPage(
            SIGN_IN,
            hidden=(("order", sealed_order), ("csrf", token)),
            site=order.audience.host,
            notice=notice,
            trouble=trouble,
            status=status,
        )
        cookies = [build_set_cookie(CSRF, secret, max_age=_CSRF_SECONDS)]
        # The browser looks at where the answer to the form leads, too.
        targets = [self._origin_of(visit, order)]
        return self._page(visit, page, cookies=cookies, form_targets=targets)

    # What stands in cookies and hidden fields.

    def _open_order(self, visit: LoginVisit, text: str) -> Order:
        order = open_order(visit.snapshot.sealer, visit.host, text, visit.now)
        self._origin_of(visit, order)
        return order

    def _origin_of(self, visit: LoginVisit, order: Order) -> str:
        """The origin that an order is from; a site that is gone since gets nothing."""
        served = visit.snapshot.served.get(order.audience.site)
        if served is None or not served.site.covers(Host.parse(order.audience.host)):
            raise HandOverError("the order is from a site or a host that there is not any more")
        return f"{served.site.scheme.value}://{order.audience.host}"

    def _make_csrf(self, visit: LoginVisit) -> tuple[str, str]:
        # One that the browser has stays: it is that of the forms in its other tabs.
        secret = visit.cookie(CSRF)
        if secret is None or _CSRF.fullmatch(secret) is None:
            secret = secrets.token_urlsafe(32)
        token = seal_note(
            visit.snapshot.sealer,
            SealPurpose.CSRF,
            visit.audience,
            hashlib.sha256(secret.encode()).digest(),
            now=visit.now,
            lifetime_seconds=_CSRF_SECONDS,
        )
        return secret, token

    def _fits(self, visit: LoginVisit, token: str) -> bool:
        """Whether the form was made by us, for this browser, not too long ago."""
        secret = visit.cookie(CSRF)
        if secret is None:
            return False
        try:
            wanted = open_note(
                visit.snapshot.sealer, SealPurpose.CSRF, visit.audience, token, now=visit.now
            )
        except SessionError:
            return False
        return hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), wanted)

    def _device_of(self, visit: LoginVisit) -> KnownDevice | None:
        text = visit.cookie(DEVICE)
        if text is None:
            return None
        try:
            note = open_note(
                visit.snapshot.sealer, SealPurpose.DEVICE, visit.audience, text, now=visit.now
            )
        except SessionError:
            return None
        account, identifier = json.loads(note)
        return KnownDevice(account, identifier)

    def _remember_device(self, visit: LoginVisit, device: KnownDevice | None, typed: str) -> str:
        known = KnownDevice.of(typed)
        if device is not None and device.account == known.account:
            known = device
        note = seal_note(
            visit.snapshot.sealer,
            SealPurpose.DEVICE,
            visit.audience,
            json.dumps([known.account, known.identifier]).encode(),
            now=visit.now,
            lifetime_seconds=_DEVICE_SECONDS,
        )
        return build_set_cookie(DEVICE, note, max_age=_DEVICE_SECONDS)

    async def _session_of(self, visit: LoginVisit) -> Session | None:
        text = visit.cookie(LOGIN_SESSION)
        if text is None:
            return None
        try:
            return await self._keeper.open(
                visit.snapshot.sealer,
                text,
                visit.audience,
                visit.now,
                purpose=SealPurpose.LOGIN_SESSION,
            )
        except SessionError:
            return None

    # Signing out, and what else there is.

    def _session_to_end(self, visit: LoginVisit) -> Session | None:
        text = visit.cookie(LOGIN_SESSION)
        if text is None:
            return None
        sealer, purpose = visit.snapshot.sealer, SealPurpose.LOGIN_SESSION
        try:
            return self._keeper.read(sealer, text, visit.audience, purpose=purpose)
        except SessionError:
            return None

    async def _sign_out(self, visit: LoginVisit, request: web.Request) -> web.Response:
        refusal = _SAME_ORIGIN.refusal(provenance_of(visit.asked, visit.fields))
        if refusal is not None:
            denied = Denied.because(refusal)
            self._trail.page_refused(visit.asked, refusal, denied)
            return self._error(visit, ErrorKind.CROSS_SITE, denied.reference)
        session = self._session_to_end(visit)
        if session is not None:
            await self._keeper.revoke_family(session, visit.now)
        return redirect(SIGN_OUT, cookies=[build_cookie_deletion(LOGIN_SESSION)])

    def _key_set(self, visit: LoginVisit, path: str) -> web.Response:
        name = path.removeprefix(f"{KEY_SET.removesuffix('.json')}/").removesuffix(".json")
        served = visit.snapshot.served.get(name)
        if served is None or served.signer is None or not path.endswith(".json"):
            return self._error(visit, ErrorKind.NOT_FOUND)
        return json_answer(served.signer.key_set(), cache_seconds=_KEY_SET_SECONDS)

    def _refused_order(self, visit: LoginVisit, error: AuthsrvError) -> web.Response:
        denied = Denied.because(error)
        self._trail.page_refused(visit.asked, error, denied)
        return self._error(visit, ErrorKind.HAND_OVER, denied.reference)

    def _error(self, visit: LoginVisit, kind: ErrorKind, reference: str = "-") -> web.Response:
        return self._page(visit, ErrorPage(kind, reference))

    def _page(self, visit: LoginVisit, page: Page, **more: Any) -> web.Response:
        return page_answer(page, visit.fields, visit.snapshot.look, **more)


def _suits(visit: LoginVisit, order: Order, session: Session) -> bool:
    """Whether the site that the browser came from would begin a session by this one."""
    if order.is_fresh:
        return False
    served = visit.snapshot.served[order.audience.site]
    try:
        continue_session(session, served.lengths, visit.now)
    except SessionError:
        return False
    return True


async def _read_form(visit: LoginVisit, request: web.Request) -> _Typed:
    """Read the form: each of its fields once, and no other.

    Raises:
        BlockedRequestError: It is another kind of body, or too large, or has other fields.
    """
    if request.content_type != _FORM_TYPE:
        raise BlockedRequestError("the body is no form")
    # A form has as long as a header has.
    body = await _read_body(request, visit.snapshot.settings.limits.header_seconds)
    try:
        found = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_MAX_FORM_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise BlockedRequestError("the form cannot be read") from None
    names = sorted(name for name, _ in found)
    if names != ["csrf", "order", "password", "username"]:
        raise BlockedRequestError("the form has other fields than ours")
    return _Typed(**dict(found))


async def _read_body(request: web.Request, seconds: float) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > _MAX_FORM_BYTES:
                    raise BlockedRequestError(f"the form has more than {_MAX_FORM_BYTES} bytes")
    except TimeoutError:
        raise BlockedRequestError(f"the form did not come within {seconds:g} s") from None
    return bytes(body)


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
