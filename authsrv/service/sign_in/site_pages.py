"""The service's pages on an application's own host: no password is typed there.

Negotiate, the way to the login host and back, the end of a session, and who one is. The host is
the application's, whose scripts own all that is on it; so nothing here shows a secret.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from authsrv.audit.records import SignInWay
from authsrv.core.identity import Identity
from authsrv.errors import (
    AuthsrvError,
    ClockSkewError,
    CrossSiteError,
    HandOverError,
    MechanismError,
    SessionError,
    TicketExpiredError,
    UnavailableError,
)
from authsrv.http.cookies import build_set_cookie
from authsrv.http.exchange import Negotiate, Requirement, decide
from authsrv.http.headers import build_challenge
from authsrv.http.origins import OriginPolicy
from authsrv.service.asks.answers import Denied
from authsrv.service.asks.claimants import Claimant, Claimants
from authsrv.service.asks.leading import Visit, provenance_of
from authsrv.service.asks.served import Ask
from authsrv.service.asks.tokens import sign_token
from authsrv.service.pages.page import (
    ErrorKind,
    ErrorPage,
    InsecurePage,
    LoopPage,
    NoSignOnPage,
    SignedOutPage,
    SignOnTrouble,
    UnavailablePage,
    WhoamiPage,
)
from authsrv.service.sign_in.cookie_names import NONCE, OUT, SESSION, TRIED
from authsrv.service.sign_in.hand_over import place_order, redeem
from authsrv.service.sign_in.own_paths import (
    CHECK,
    HAND_OVER,
    KEY_SET,
    RENEW,
    SIGN_IN,
    SIGN_OUT,
    TOKEN,
    WHOAMI,
    read_query,
    read_return,
    return_path,
)
from authsrv.service.sign_in.page_answers import json_answer, page_answer, redirect
from authsrv.service.sign_in.session_cookies import SessionCookies
from authsrv.service.sign_in.session_keeper import SessionKeeper
from authsrv.service.sites.rule import RuledRequest
from authsrv.service.sites.site import NegotiateAt
from authsrv.service.snapshot import Snapshot
from authsrv.service.trail import Trail
from authsrv.sessions.session import Session
from authsrv.stores.base import Store

__all__ = ["SitePages"]

_SAME_ORIGIN = OriginPolicy()
_AT_LOGIN = frozenset({NegotiateAt.LOGIN, NegotiateAt.BOTH})
_NONCE_SECONDS = 1_800
_KEY_SET_SECONDS = 300


@dataclass(frozen=True, slots=True)
class _Visiting:
    """A request for a page: what is asked, its query, and the configuration in force."""

    ask: Ask
    query: dict[str, str]
    snapshot: Snapshot

    @property
    def is_step_up(self) -> bool:
        """Whether the client is to prove once more who it is, whatever session it has."""
        return self.query.get("step") == "up"

    @property
    def is_again(self) -> bool:
        """Whether the user asks for it after a sign-out or a failure; other sites' links do not."""
        site = self.ask.fields.joined(b"sec-fetch-site")
        return "again" in self.query and site in (b"", b"same-origin", b"none")

    def sign_in(self, **more: str) -> str:
        """The path by which the browser goes on signing in."""
        step = {"step": "up"} if self.is_step_up else {}
        return return_path(SIGN_IN, self.return_to, **step, **more)

    @property
    def return_to(self) -> str:
        """The path of the application to go back to, checked."""
        return read_return(self.query.get("return", ""))


_Handler = Callable[[_Visiting], Awaitable[web.Response]]


class SitePages:
    """Answers requests for pages below the service's prefix, on hosts of sites.

    Args:
        claimants: Who finds out who sends requests.
        cookies: Who begins and renews sessions.
        keeper: Who revokes them.
        store: Where hand-overs are remembered.
        trail: Where decisions are told.
    """

    def __init__(
        self,
        claimants: Claimants,
        cookies: SessionCookies,
        keeper: SessionKeeper,
        store: Store,
        trail: Trail,
    ) -> None:
        self._claimants = claimants
        self._cookies = cookies
        self._keeper = keeper
        self._store = store
        self._trail = trail
        self._pages: dict[tuple[str, str], _Handler] = {
            ("GET", SIGN_IN): self._sign_in,
            ("GET", HAND_OVER): self._hand_over,
            ("GET", CHECK): self._check,
            ("GET", RENEW): self._renew,
            ("GET", SIGN_OUT): self._ask_to_sign_out,
            ("POST", SIGN_OUT): self._sign_out,
            ("GET", WHOAMI): self._whoami,
            ("POST", TOKEN): self._token,
            ("GET", KEY_SET): self._key_set,
        }

    async def answer(self, ask: Ask, snapshot: Snapshot) -> web.Response:
        """Answer a request for a page.

        Raises:
            AuthsrvError: It is refused, and there is no page for it.
        """
        path = ask.asked.target.path
        # RFC 9110 section 9.3.2: as GET; the server leaves out the body.
        method = "GET" if ask.asked.method == "HEAD" else ask.asked.method
        handler = self._pages.get((method, path))
        if handler is None:
            known = any(known == path for _, known in self._pages)
            kind = ErrorKind.METHOD if known else ErrorKind.NOT_FOUND
            return page_answer(ErrorPage(kind, "-"), ask.fields, snapshot.look)
        visiting = _Visiting(ask, read_query(ask.asked.target.query), snapshot)
        if not ask.served.has_sessions and path not in (WHOAMI, KEY_SET, TOKEN):
            return self._insecure(visiting)
        return await handler(visiting)

    # Signing in.

    async def _sign_in(self, visiting: _Visiting) -> web.Response:
        ask = visiting.ask
        if not visiting.is_step_up and await self._session_of(ask) is not None:
            return redirect(visiting.return_to, cookies=self._cookies.forget(TRIED))
        if self._cookies.is_out(ask) and not visiting.is_again:
            return self._signed_out(visiting)
        token = self._token_of(ask)
        if token is not None:
            return await self._by_ticket(visiting, token)
        return self._lead(visiting)

    def _lead(self, visiting: _Visiting) -> web.Response:
        """Ask for a ticket once; then lead to the form."""
        ask = visiting.ask
        tries = self._cookies.tries(ask)
        goes_on = "on" in visiting.query
        if not goes_on and self._cookies.has_given_up(ask):
            return self._loop(visiting)
        tried = self._cookies.tried(ask)
        is_asked = ask.served.site.negotiate.at(ask.asked.address) in _AT_LOGIN
        wants = visiting.is_again
        if goes_on or not is_asked or ask.visit is Visit.FOREIGN or (tries and not wants):
            return self._to_form(visiting, SignOnTrouble.NOT_TRIED, cookies=[tried])
        page = self._no_sign_on(visiting, SignOnTrouble.NOT_TRIED)
        headers = [("WWW-Authenticate", build_challenge())]
        # A browser shows the page only where it has no ticket, and goes on by itself.
        if page.form is not None:
            headers.append(("Refresh", f"0; url={page.form}"))
        return page_answer(
            page, ask.fields, visiting.snapshot.look, cookies=[tried], headers=headers
        )

    async def _by_ticket(self, visiting: _Visiting, token: bytes) -> web.Response:
        ask = visiting.ask
        if ask.visit is Visit.FOREIGN:
            raise CrossSiteError("a page of another site made the request, and it has a token")
        found = await self._claimants.by_ticket(ask, token)
        if isinstance(found, Claimant):
            return await self._begin(visiting, found)
        denied = Denied.because(found.error)
        self._trail.refused(ask, found.error, denied, leg=found.leg, sent=found.sent)
        if isinstance(found.error, UnavailableError):
            return self._unavailable(visiting, denied.reference)
        return self._to_form(visiting, _trouble_of(found.error), cookies=[self._cookies.tried(ask)])

    async def _begin(self, visiting: _Visiting, claimant: Claimant) -> web.Response:
        ask = visiting.ask
        assert claimant.identity is not None
        before = await self._claimants.end_session_beside(ask)
        cookies = [
            self._cookies.begin(ask, claimant.identity, SignInWay.TICKET, before),
            *self._cookies.forget(TRIED, OUT),
        ]
        proof = claimant.challenge
        headers = [] if proof is None else [("WWW-Authenticate", proof)]
        return redirect(return_path(CHECK, visiting.return_to), cookies=cookies, headers=headers)

    def _to_form(
        self, visiting: _Visiting, trouble: SignOnTrouble, *, cookies: list[str]
    ) -> web.Response:
        """Send the browser to the login host; where there is none, say why it cannot go on."""
        ask, snapshot = visiting.ask, visiting.snapshot
        if snapshot.login_host is None:
            page = self._no_sign_on(visiting, trouble)
            return page_answer(page, ask.fields, snapshot.look, cookies=cookies)
        nonce, order = place_order(
            snapshot.sealer,
            snapshot.login_host,
            ask.audience,
            visiting.return_to,
            ask.now,
            is_fresh=visiting.is_step_up,
            nonce=_nonce_of(ask),
        )
        set_nonce = build_set_cookie(NONCE, nonce, max_age=_NONCE_SECONDS)
        where = f"{snapshot.login_origin}{SIGN_IN}?order={order}&trouble={trouble.value}"
        return redirect(where, cookies=[set_nonce, *cookies])

    async def _hand_over(self, visiting: _Visiting) -> web.Response:
        ask, snapshot = visiting.ask, visiting.snapshot
        code = visiting.query.get("code", "")
        try:
            nonce = ask.cookies.read(NONCE)
            granted = await redeem(self._store, snapshot.sealer, code, nonce, ask.audience, ask.now)
            await self._keeper.check(granted.session)
            await self._check_realm(ask, granted.session)
            begun = self._cookies.take_over(ask, granted.session)
        except (HandOverError, SessionError) as error:
            denied = Denied.because(error)
            self._trail.refused(ask, error, denied)
            page = ErrorPage(ErrorKind.HAND_OVER, denied.reference, back="/")
            return page_answer(page, ask.fields, snapshot.look)
        await self._claimants.end_session_beside(ask)
        # The nonce stays a while: other tabs may still be on their way.
        cookies = [begun, *self._cookies.forget(TRIED, OUT)]
        return redirect(return_path(CHECK, granted.return_to), cookies=cookies)

    async def _check_realm(self, ask: Ask, session: Session) -> None:
        """Hold a password's session against the realms of the site, as its acceptor does tickets.

        Raises:
            ForbiddenRealmError: Its realm is not let in.
            KeytabError: The site names no realms, and the keytab cannot tell them.
        """
        identity = Identity(session.principal, session.mechanism)
        # On a thread: they may stand in the keytab, whose file is looked at.
        await asyncio.to_thread(ask.served.acceptor.realms.check, identity)

    async def _check(self, visiting: _Visiting) -> web.Response:
        """Look whether the browser brings its new cookie; without it, it would go in circles."""
        if await self._session_of(visiting.ask) is None:
            return self._loop(visiting)
        return redirect(visiting.return_to)

    async def _renew(self, visiting: _Visiting) -> web.Response:
        """Renew the cookie for proxies that hand none on with an acceptance."""
        claimant = await self._session_of(visiting.ask)
        # No image of a sibling's page keeps a session alive.
        is_due = claimant is not None and visiting.ask.visit is Visit.PAGE
        renewed = self._cookies.renew(visiting.ask, claimant) if claimant and is_due else None
        return redirect(visiting.return_to, cookies=[] if renewed is None else [renewed])

    # Signing out.

    async def _ask_to_sign_out(self, visiting: _Visiting) -> web.Response:
        if await self._session_of(visiting.ask) is None:
            return self._signed_out(visiting)
        return await self._whoami(visiting)

    async def _sign_out(self, visiting: _Visiting) -> web.Response:
        ask = visiting.ask
        self._refuse_other_sites(ask)
        session = await self._claimants.end_family(ask)
        if session is not None:
            self._trail.signed_out(ask, session)
        cookies = [*self._cookies.forget(SESSION, TRIED), self._cookies.out(ask)]
        return redirect(SIGN_OUT, cookies=cookies)

    # What one is told.

    async def _whoami(self, visiting: _Visiting) -> web.Response:
        ask = visiting.ask
        claimant = await self._session_of(ask)
        wants_page = b"text/html" in ask.fields.joined(b"accept").lower()
        if claimant is None or claimant.session is None:
            if wants_page:
                return redirect(return_path(SIGN_IN, "/"))
            return json_answer({"principal": None}, HTTPStatus.UNAUTHORIZED)
        session = claimant.session
        if not wants_page:
            told = {
                "principal": session.principal,
                "mechanism": session.mechanism,
                "groups": list(session.groups),
                "groups_truncated": session.groups_truncated,
                "authenticated_at": session.authenticated_at,
                "ends_at": session.ends_at,
            }
            return json_answer(told)
        page = WhoamiPage(
            session.principal,
            session.mechanism,
            str(ask.asked.host),
            session.groups,
            session.groups_truncated,
            _moment(session.authenticated_at),
            _moment(session.ends_at),
            SIGN_OUT,
        )
        return page_answer(page, ask.fields, visiting.snapshot.look)

    async def _token(self, visiting: _Visiting) -> web.Response:
        ask = visiting.ask
        if not ask.served.site.has_token_path:
            return page_answer(
                ErrorPage(ErrorKind.NOT_FOUND, "-"), ask.fields, visiting.snapshot.look
            )
        self._refuse_other_sites(ask)
        claimant = await self._session_of(ask)
        if claimant is None:
            return json_answer({"token": None}, HTTPStatus.UNAUTHORIZED)
        # A token opens the application as the proxy does, so the rules have a say here, too.
        candidates = ask.served.site.rules.candidates(RuledRequest.of(ask.asked, ask.fields.names))
        ruling = candidates.rule_on(claimant.subject)
        if not ruling.is_yes:
            raise ruling.refusal()
        return json_answer({"token": sign_token(ask, claimant)})

    async def _key_set(self, visiting: _Visiting) -> web.Response:
        signer = visiting.ask.served.signer
        keys = {"keys": []} if signer is None else signer.key_set()
        return json_answer(keys, cache_seconds=_KEY_SET_SECONDS)

    # Pages that say why not.

    def _signed_out(self, visiting: _Visiting) -> web.Response:
        again = visiting.sign_in(again="1")
        return page_answer(SignedOutPage(again), visiting.ask.fields, visiting.snapshot.look)

    def _no_sign_on(self, visiting: _Visiting, trouble: SignOnTrouble) -> NoSignOnPage:
        has_form = visiting.snapshot.login_host is not None
        return NoSignOnPage(
            trouble,
            str(visiting.ask.asked.host),
            # It is we who lead there, also somebody who has signed out before.
            form=visiting.sign_in(on="1", again="1") if has_form else None,
            retry=visiting.sign_in(again="1"),
        )

    def _loop(self, visiting: _Visiting) -> web.Response:
        error = SessionError("the browser came back again and again without its session")
        denied = Denied.because(error)
        self._trail.refused(visiting.ask, error, denied)
        page = LoopPage(
            str(visiting.ask.asked.host),
            denied.reference,
            visiting.sign_in(on="1", again="1"),
        )
        return page_answer(page, visiting.ask.fields, visiting.snapshot.look)

    def _unavailable(self, visiting: _Visiting, reference: str) -> web.Response:
        page = UnavailablePage(reference, visiting.sign_in())
        headers = [("Retry-After", "5")]
        return page_answer(page, visiting.ask.fields, visiting.snapshot.look, headers=headers)

    def _insecure(self, visiting: _Visiting) -> web.Response:
        page = InsecurePage(str(visiting.ask.asked.host))
        return page_answer(page, visiting.ask.fields, visiting.snapshot.look)

    # What a request carries.

    async def _session_of(self, ask: Ask) -> Claimant | None:
        try:
            return await self._claimants.by_session(ask)
        except SessionError as error:
            self._trail.session_ignored(ask, error)
            return None

    def _token_of(self, ask: Ask) -> bytes | None:
        fields = ask.fields.texts(b"authorization")
        asked = decide(fields, Requirement.OPTIONAL, limits=ask.served.acceptor.limits)
        return asked.token if isinstance(asked, Negotiate) else None

    def _refuse_other_sites(self, ask: Ask) -> None:
        refusal = _SAME_ORIGIN.refusal(provenance_of(ask.asked, ask.fields))
        if refusal is not None:
            raise refusal


def _nonce_of(ask: Ask) -> str | None:
    try:
        return ask.cookies.read(NONCE)
    except SessionError:
        return None


def _trouble_of(error: AuthsrvError) -> SignOnTrouble:
    match error:
        case MechanismError():
            return SignOnTrouble.NTLM
        case ClockSkewError():
            return SignOnTrouble.CLOCK
        case TicketExpiredError():
            return SignOnTrouble.EXPIRED
    return SignOnTrouble.REFUSED


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
