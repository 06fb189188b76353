"""The service: what one process of it is made of, from its settings to its listeners."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import aiohttp.http_parser
from aiohttp import hdrs, web

from authsrv.audit.log import log_event
from authsrv.audit.records import AuditSink
from authsrv.errors import (
    AuthsrvError,
    BlockedRequestError,
    ConfigError,
    CrossSiteError,
    DeniedError,
    HandOverError,
    InsecureSchemeError,
    MetadataError,
    PeerError,
    ProviderFaultError,
    UnavailableError,
    UnknownSiteError,
)
from authsrv.http.forwarded import AskedRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.kerberos.password import PasswordChecker
from authsrv.service.acceptors import Acceptors
from authsrv.service.asks.answers import Denied
from authsrv.service.asks.asks import Asks
from authsrv.service.asks.claimants import Claimants
from authsrv.service.asks.conventions import read_page
from authsrv.service.asks.fields import Fields
from authsrv.service.asks.leading import visit_of
from authsrv.service.asks.served import Ask
from authsrv.service.asks.wrong_paths import WrongPaths
from authsrv.service.config.settings import Settings
from authsrv.service.key_files import FILE_NAMES, KeyFile
from authsrv.service.listeners import Listener, make_tls
from authsrv.service.pages.look import Look, load_look
from authsrv.service.pages.page import (
    ErrorKind,
    ErrorPage,
    InsecurePage,
    Page,
    UnavailablePage,
    load_templates,
)
from authsrv.service.sign_in.login_pages import LoginPages, LoginVisit
from authsrv.service.sign_in.own_paths import ASSETS
from authsrv.service.sign_in.page_answers import page_answer
from authsrv.service.sign_in.passwords import PasswordLogin
from authsrv.service.sign_in.session_cookies import SessionCookies
from authsrv.service.sign_in.session_keeper import SessionKeeper
from authsrv.service.sign_in.site_pages import SitePages
from authsrv.service.sign_in.tries import Tries, TryLimits
from authsrv.service.sites.site import LOGIN_SITE
from authsrv.service.snapshot import Keys, Snapshot, make_snapshot
from authsrv.service.store_choice import make_store
from authsrv.service.trail import Trail
from authsrv.sessions.keyring import KeyKind
from authsrv.stores.base import Store

__all__ = ["Service"]

_LOG = logging.getLogger("authsrv")

_NOT_KEPT = {"Cache-Control": "no-store"}

# The first that fits; what is none of them is our fault.
_ERROR_PAGES: tuple[tuple[type[AuthsrvError], ErrorKind], ...] = (
    (HandOverError, ErrorKind.HAND_OVER),
    (CrossSiteError, ErrorKind.CROSS_SITE),
    (MetadataError, ErrorKind.BAD_REQUEST),
    (PeerError, ErrorKind.BAD_REQUEST),
    (DeniedError, ErrorKind.FORBIDDEN),
)


class Service:
    """One process of the service.

    Args:
        settings: The settings to begin with.
        audit: Where decisions are told.
        clock: Unix seconds.

    Raises:
        ConfigError: Something can never work with these settings.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        audit: AuditSink = log_event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _demand_fast_parser()
        self._clock = clock
        self._convention = settings.convention
        self._wrong_paths = WrongPaths(settings.convention, time.monotonic)
        # Settings and keys are renewed on threads; neither may bring back what the other replaced.
        self._renewing = threading.Lock()
        self._store = make_store(settings)
        self._acceptors = Acceptors(self._store, settings.limits)
        self._keys = _open_keys(settings)
        self._snapshot = make_snapshot(settings, self._acceptors, self._keys, _load(settings))
        trail = Trail(audit)
        self._trail = trail
        keeper, cookies = SessionKeeper(self._store), SessionCookies(trail)
        claimants = Claimants(keeper)
        self._asks = Asks(self.current, claimants, cookies, trail, clock)
        self._site_pages = SitePages(claimants, cookies, keeper, self._store, trail)
        self._passwords = _make_passwords(settings, self._store)
        self._login_pages = LoginPages(self._passwords, keeper, self._store, trail)
        tls = None if settings.tls is None else make_tls(settings.tls)
        self.asks = Listener(self._answer_ask, settings.asks, settings.limits, tls)
        self.pages = Listener(self._page_app(), settings.pages, settings.limits, tls)
        self._loading = asyncio.Lock()
        self._has_templates = False

    def __repr__(self) -> str:
        return f"<Service {self._snapshot.settings.digest[:12]}>"

    def current(self) -> Snapshot:
        """The configuration in force."""
        return self._snapshot

    def use(self, settings: Settings) -> None:
        """Put other settings in force: for every request from now on, whole. It blocks.

        Listeners, store, and what passwords are checked with stay until the process ends.

        Raises:
            ConfigError: Something can never work with them; those before stay in force.
        """
        with self._renewing:
            self._snapshot = make_snapshot(settings, self._acceptors, self._keys, _load(settings))

    def refresh_keys(self) -> bool:
        """Take over keys whose files changed; says whether there are others now. It blocks.

        Raises:
            ConfigError: What a file is now cannot be used; those before stay in force.
        """
        keys = self._keys
        with self._renewing:
            before = keys.sealing.ring, keys.signing.ring
            try:
                keys.sealing.refresh()
                keys.signing.refresh()
            finally:
                # Of two files, one may be good.
                has_changed = (keys.sealing.ring, keys.signing.ring) != before
                if has_changed:
                    now = self._snapshot
                    self._snapshot = make_snapshot(now.settings, self._acceptors, keys, now.look)
        return has_changed

    async def start(self) -> None:
        """Open the store and listen.

        Raises:
            ConfigError: It cannot listen, or somebody else does.
            StoreError: The store cannot be used.
        """
        await asyncio.to_thread(lambda: self._store.born_at)
        await self.pages.start()
        try:
            await self.asks.start()
        except BaseException:
            await self.pages.stop()
            raise

    async def stop(self) -> None:
        """Let requests end, and close everything."""
        await self.asks.stop()
        await self.pages.stop()
        self._passwords.close()
        self._acceptors.close()
        await self._store.close()

    async def _answer_ask(self, request: web.BaseRequest) -> web.Response:
        convention = self._convention
        if not convention.is_ask(request.raw_path):
            self._wrong_paths.note(request.raw_path)
            return _closing(request, web.Response(status=HTTPStatus.NOT_FOUND, headers=_NOT_KEPT))
        return _closing(request, await self._asks.handle(convention, request))

    def _page_app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._show)
        return app

    async def _show(self, request: web.Request) -> web.Response:
        response = await self._answer_page(request)
        if hdrs.UPGRADE in request.headers:
            response.force_close()
        return response

    async def _answer_page(self, request: web.Request) -> web.Response:
        """Answer a request for a page; every fault on the way is an error page."""
        snapshot, fields = self._snapshot, Fields(request.raw_headers)
        if not self._has_templates:
            # A worker that is never asked for a page does without them.
            async with self._loading:
                await asyncio.to_thread(load_templates)
            self._has_templates = True
        try:
            return await self._find_page(request, snapshot, fields)
        except asyncio.CancelledError:
            raise
        except AuthsrvError as error:
            return self._show_error(request, snapshot, fields, error)
        except Exception:
            _LOG.exception("a page could not be shown")
            fault = ProviderFaultError("a page failed: see the log")
            return self._show_error(request, snapshot, fields, fault)

    async def _find_page(
        self, request: web.Request, snapshot: Snapshot, fields: Fields
    ) -> web.Response:
        snapshot.check_peer(request)
        settings = snapshot.settings
        reading = read_page(
            settings.convention,
            request.method,
            request.raw_path,
            request.raw_headers,
            trusted_proxies=settings.trusted_proxies,
        )
        asked = reading.asked
        if fields.has(b"service-worker"):
            raise BlockedRequestError("a script asks for a page of ours as its service worker")
        asset = _asset_of(asked.target.path, snapshot.look)
        if asset is not None:
            return asset
        if str(asked.host) == snapshot.login_host:
            if asked.site != LOGIN_SITE or asked.scheme is not settings.login.scheme:
                raise UnknownSiteError("the proxy names another site or scheme than the login host")
            visit = LoginVisit(asked, fields, snapshot, snapshot.login_host, self._clock())
            return await self._login_pages.answer(visit, request)
        try:
            served = snapshot.find(asked)
        except InsecureSchemeError as error:
            return self._show_insecure(request, asked, snapshot, fields, error)
        visit_kind = visit_of(asked, fields)
        ask = Ask(served, asked, fields, visit_kind, self._clock())
        return await self._site_pages.answer(ask, snapshot)

    def _show_insecure(
        self,
        request: web.Request,
        asked: AskedRequest,
        snapshot: Snapshot,
        fields: Fields,
        error: AuthsrvError,
    ) -> web.Response:
        """Say that the site, whose host it is, is there by https alone."""
        self._trail.denied(request, None, error, Denied.because(error))
        host = asked.host.name
        return page_answer(InsecurePage(host, f"https://{host}/"), fields, snapshot.look)

    def _show_error(
        self, request: web.Request, snapshot: Snapshot, fields: Fields, error: AuthsrvError
    ) -> web.Response:
        denied = Denied.because(error)
        self._trail.denied(request, None, error, denied)
        page: Page
        if isinstance(error, UnavailableError):
            page = UnavailablePage(denied.reference)
        else:
            kinds = [kind for family, kind in _ERROR_PAGES if isinstance(error, family)]
            page = ErrorPage(kinds[0] if kinds else ErrorKind.INTERNAL, denied.reference)
        response = page_answer(page, fields, snapshot.look)
        if request.body_exists:
            response.force_close()
        return response


def _closing(request: web.BaseRequest, response: web.Response) -> web.Response:
    """See to it that what a request announces to follow does not become somebody else's ask."""
    if request.body_exists or hdrs.UPGRADE in request.headers:
        response.force_close()
    return response


def _asset_of(path: str, look: Look) -> web.Response | None:
    if not path.startswith(f"{ASSETS}/"):
        return None
    asset = look.assets.get(path.removeprefix(f"{ASSETS}/"))
    if asset is None:
        return None
    return web.Response(body=asset.content, headers=asset.headers)


def _demand_fast_parser() -> None:
    """Refuse aiohttp's parser in Python, whose reading of odd requests is another one.

    Raises:
        ConfigError: It is the one in use.
    """
    parser = aiohttp.http_parser
    if parser.HttpRequestParser is parser.HttpRequestParserPy:
        raise ConfigError("aiohttp runs without its C extension: install a wheel of it")


def _open_keys(settings: Settings) -> Keys:
    folder = settings.keys_folder
    return Keys(
        KeyFile(f"{folder}/{FILE_NAMES[KeyKind.SEALING]}", KeyKind.SEALING),
        KeyFile(f"{folder}/{FILE_NAMES[KeyKind.SIGNING]}", KeyKind.SIGNING),
    )


def _load(settings: Settings) -> Look:
    login = settings.login
    texts = {} if login.texts is None else {login.language: login.texts}
    return load_look(
        texts=texts,
        stylesheet=login.css,
        logo=login.logo,
        default_language=login.language,
        assets_path=ASSETS,
    )


def _make_passwords(settings: Settings, store: Store) -> PasswordLogin:
    login = settings.login
    checker = PasswordChecker(
        GssapiProvider(settings.keytab, replay=store),
        realm=login.realm,
        netbios_names=login.netbios_names,
        upn_suffixes=login.upn_suffixes,
    )
    tries: dict[str, Any] = dict(settings.tries)
    limits = TryLimits(**tries)
    return PasswordLogin(checker, Tries(store, limits))
