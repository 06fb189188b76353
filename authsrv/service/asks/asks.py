"""The ask: may this request of a client go on to the application, and who sends it?

The order: what the proxy tells is read; host and site name the site; its rules say what the request
needs; a ticket or a session says who the client is; the rules decide; the cross-site rule may still
refuse. Whatever is raised on the way, by whatever fault, is a denial. `_admit` is the one place
that lets anybody in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from aiohttp import web

from authsrv.audit.records import SignInWay
from authsrv.core.identity import Identity
from authsrv.errors import AuthsrvError, CrossSiteError, ProviderFaultError, SessionError
from authsrv.http.exchange import Negotiate, Requirement, decide
from authsrv.http.headers import build_challenge
from authsrv.http.origins import OriginPolicy, is_harmless
from authsrv.service.asks.answers import Admitted, Answer, Denied, SignIn, render
from authsrv.service.asks.claimants import Claimant, Claimants, TicketRefused
from authsrv.service.asks.conventions import Convention, read
from authsrv.service.asks.fields import Fields
from authsrv.service.asks.leading import Visit, provenance_of, visit_of
from authsrv.service.asks.served import Ask
from authsrv.service.asks.tokens import sign_token
from authsrv.service.sign_in.own_paths import RENEW, SIGN_IN, with_return
from authsrv.service.sign_in.session_cookies import SessionCookies
from authsrv.service.sites.headers import Facts
from authsrv.service.sites.rule import RuledRequest
from authsrv.service.sites.rules import Candidates, Ruling, Verdict
from authsrv.service.sites.site import TOKEN_HEADER, NegotiateAt
from authsrv.service.snapshot import Snapshot
from authsrv.service.trail import Trail
from authsrv.sessions.session import PASSWORD, Session

__all__ = ["Asks"]

_LOG = logging.getLogger("authsrv")

_STEP_SECONDS = 600.0
_OWN_PAGES_ONLY = OriginPolicy()
_AT_ASK = frozenset({NegotiateAt.ASK, NegotiateAt.BOTH})


class Asks:
    """Answers the asks of one kind of proxy.

    Args:
        current: Gives the configuration in force; an ask takes it once.
        claimants: Who finds out who sends requests.
        cookies: Who begins and renews sessions.
        trail: Where decisions are told.
        clock: Unix seconds.
    """

    def __init__(
        self,
        current: Callable[[], Snapshot],
        claimants: Claimants,
        cookies: SessionCookies,
        trail: Trail,
        clock: Callable[[], float],
    ) -> None:
        self._current = current
        self._claimants = claimants
        self._cookies = cookies
        self._trail = trail
        self._clock = clock

    async def handle(self, convention: Convention, request: web.BaseRequest) -> web.Response:
        """Answer one ask; every fault on the way is a denial."""
        try:
            return render(await self._answer(convention, request), convention)
        except asyncio.CancelledError:
            raise
        except Exception:
            # Even the denial failed; and what is 5xx, a proxy may take for a yes.
            _LOG.exception("an answer could not be made, and is a denial")
            return web.Response(status=HTTPStatus.FORBIDDEN)

    async def _answer(self, convention: Convention, request: web.BaseRequest) -> Answer:
        ask: Ask | None = None
        try:
            ask = self._read(convention, request)
            return await self._decide(convention, ask)
        except AuthsrvError as error:
            return self._deny(request, ask, error)
        except Exception:
            _LOG.exception("an ask could not be answered, and is denied")
            return self._deny(request, ask, ProviderFaultError("an ask failed: see the log"))

    def _read(self, convention: Convention, request: web.BaseRequest) -> Ask:
        """Read what the proxy tells, and find the site that it is about."""
        snapshot = self._current()
        snapshot.check_peer(request)
        fields = Fields(request.raw_headers)
        reading = read(
            convention,
            request.method,
            request.raw_path,
            fields.raw,
            names=fields.names,
            trusted_proxies=snapshot.settings.trusted_proxies,
        )
        served = snapshot.find(reading.asked)
        snapshot.identity_names.check(fields.raw, fields.names)
        self._trail.count_foreign(reading.foreign)
        visit = visit_of(reading.asked, fields)
        return Ask(served, reading.asked, fields, visit, self._clock())

    async def _decide(self, convention: Convention, ask: Ask) -> Answer:
        site = ask.served.site
        candidates = site.rules.candidates(RuledRequest.of(ask.asked, ask.fields.names))
        if not candidates.needs_identity:
            ruling = candidates.rule_on(None)
            return self._admit(ask, ruling, None, None)
        claimant = await self._find_claimant(convention, ask)
        if not isinstance(claimant, Claimant):
            return claimant
        return await self._decide_on(convention, ask, candidates, claimant)

    async def _decide_on(
        self, convention: Convention, ask: Ask, candidates: Candidates, claimant: Claimant
    ) -> Answer:
        ruling = candidates.rule_on(claimant.subject)
        if ruling.verdict is Verdict.STEP_UP:
            return self._step_up(ask, ruling, claimant)
        if not ruling.is_yes:
            raise ruling.refusal()
        if not is_harmless(ask.asked.method, "websocket" if ask.asked.is_websocket else None):
            refusal = _OWN_PAGES_ONLY.refusal(provenance_of(ask.asked, ask.fields))
            if refusal is not None:
                raise refusal
        if claimant.identity is not None:
            before = await self._claimants.end_session_beside(ask)
            cookie = self._begin(convention, ask, claimant.identity, before)
        elif self._is_renewal_due(ask, claimant):
            if not convention.on_acceptance.cookies:
                return self._send(ask, with_return(RENEW, ask.asked.target), "renew")
            cookie = self._cookies.renew(ask, claimant)
        else:
            cookie = None
        return self._admit(ask, ruling, claimant, cookie)

    def _admit(
        self, ask: Ask, ruling: Ruling, claimant: Claimant | None, set_cookie: str | None
    ) -> Admitted:
        """Let a request in. Nothing else makes an Admitted."""
        if not ruling.is_yes or (claimant is None and ruling.verdict is not Verdict.OPEN):
            raise ruling.refusal()
        headers = self._tell(ask, claimant)
        self._trail.admitted(ask, ruling, claimant)
        return Admitted(
            headers,
            ask.cookies.rest,
            challenge=None if claimant is None else claimant.challenge,
            set_cookie=set_cookie,
        )

    def _tell(self, ask: Ask, claimant: Claimant | None) -> tuple[tuple[bytes, bytes], ...]:
        """What the application is told of the client; every field, empty where nothing is known."""
        site = ask.served.site
        if claimant is None:
            rendered, token = site.headers.render_nobody(), ""
        else:
            facts = Facts(claimant.subject, claimant.authenticated_at(ask.now))
            rendered = site.headers.render(facts)
            self._trail.left_out(ask, rendered.events)
            token = sign_token(ask, claimant) if site.sends_token else ""
        if not site.sends_token:
            return rendered.encoded
        return (*rendered.encoded, (TOKEN_HEADER.encode(), token.encode()))

    async def _find_claimant(self, convention: Convention, ask: Ask) -> Claimant | Answer:
        """Find out who sends the request, or how its client is to be led to saying so."""
        asked = self._read_token(ask)
        if isinstance(asked, Negotiate) and not self._is_signed_out(ask):
            if ask.visit is Visit.FOREIGN:
                raise CrossSiteError("a page of another site made the request, and it has a token")
            found = await self._claimants.by_ticket(ask, asked.token)
            return found if isinstance(found, Claimant) else self._refuse_ticket(ask, found)
        try:
            claimant = await self._claimants.by_session(ask)
        except SessionError as error:
            self._trail.session_ignored(ask, error)
            claimant = None
        return self._lead(convention, ask) if claimant is None else claimant

    def _read_token(self, ask: Ask) -> object:
        if not ask.fields.has(b"authorization"):
            return None
        fields = ask.fields.texts(b"authorization")
        return decide(fields, Requirement.REQUIRED, limits=ask.served.acceptor.limits)

    def _lead(self, convention: Convention, ask: Ask) -> Answer:
        """Lead a client that nobody knows to where it says who it is."""
        site = ask.served.site
        is_led = ask.visit is Visit.PAGE and ask.served.has_sessions
        where = with_return(SIGN_IN, ask.asked.target) if is_led else None
        at = site.negotiate.at(ask.asked.address)
        # Where no session can begin with an acceptance, a page of ours begins it.
        is_better_there = is_led and at is NegotiateAt.BOTH and not convention.on_acceptance.cookies
        if at not in _AT_ASK or is_better_there or ask.visit is Visit.FOREIGN:
            return self._send(ask, where, "sign-in")
        if is_led and (self._is_signed_out(ask) or self._cookies.was_tried(ask)):
            return self._send(ask, where, "sign-in")
        self._trail.challenged(ask)
        tried = self._cookies.tried(ask) if is_led else None
        return SignIn(build_challenge(), where, tried)

    def _send(self, ask: Ask, where: str | None, step: str) -> Answer:
        self._trail.led(ask, step if where else "nowhere")
        return SignIn(location=where)

    def _step_up(self, ask: Ask, ruling: Ruling, claimant: Claimant) -> Answer:
        """Have a client prove once more, in another way, who it is; once, and then it is no."""
        rule, session = ruling.step_up, claimant.session
        can_be_led = ask.visit is Visit.PAGE and ask.served.has_sessions
        if rule is None or not can_be_led or self._cookies.has_stepped_up(ask, session):
            raise ruling.refusal()
        # A ticket does not help where a password is wanted, nor does a second one after the first.
        wants_password = rule.mechanisms == {PASSWORD}
        if session is None and not wants_password:
            raise ruling.refusal()
        more = {"on": "1"} if wants_password else {}
        where = with_return(SIGN_IN, ask.asked.target, step="up", **more)
        seconds = min(_STEP_SECONDS, rule.max_age_seconds or _STEP_SECONDS)
        self._trail.led(ask, "step-up")
        return SignIn(location=where, set_cookie=self._cookies.step_up(ask, session, seconds))

    def _refuse_ticket(self, ask: Ask, refused: TicketRefused) -> Answer:
        """Lead a browser to the form instead of challenging it again; tell a program no."""
        denied = Denied.because(refused.error)
        self._trail.refused(ask, refused.error, denied, leg=refused.leg, sent=refused.sent)
        if denied.status != 401:
            return denied
        if ask.visit is Visit.PAGE and ask.served.has_sessions:
            where = with_return(SIGN_IN, ask.asked.target)
            return SignIn(location=where, set_cookie=self._cookies.tried(ask))
        return replace(denied, challenge=build_challenge(refused.token or None))

    def _begin(
        self, convention: Convention, ask: Ask, identity: Identity, before: Session | None
    ) -> str | None:
        """Begin a session for a person; programs send their ticket with each request."""
        if ask.visit is not Visit.PAGE or not ask.served.has_sessions:
            return None
        if not convention.on_acceptance.cookies:
            return None
        return self._cookies.begin(ask, identity, SignInWay.TICKET, before)

    def _is_renewal_due(self, ask: Ask, claimant: Claimant) -> bool:
        session = claimant.session
        return session is not None and ask.visit is Visit.PAGE and session.is_renewal_due(ask.now)

    def _is_signed_out(self, ask: Ask) -> bool:
        """Whether the user has signed out in this browser; it holds for what people open."""
        return ask.visit is Visit.PAGE and self._cookies.is_out(ask)

    def _deny(self, request: web.BaseRequest, ask: Ask | None, error: AuthsrvError) -> Denied:
        denied = Denied.because(error)
        self._trail.denied(request, ask, error, denied)
        return denied
