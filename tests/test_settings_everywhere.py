"""Every public setting is validated where it is given: walked through, so that none is forgotten.

A class or function with a parameter that is an enum, flags, a Limits or ChannelBindings stands in
GIVEN, with what it needs besides, or in NO_SETTINGS, where nobody who sets anything up calls it.
"""

from __future__ import annotations

import enum
import importlib
import pkgutil
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

import authsrv
from authsrv import sspi
from authsrv.aiohttp import AccessRules, AppRunner, NegotiateAuth, run_app, server_settings, setup
from authsrv.client import NegotiateClient, Negotiation
from authsrv.client.hosts import HostList
from authsrv.client.policy import ClientPolicy
from authsrv.core.bindings import ChannelBindings, tls_server_end_point
from authsrv.core.limits import Limits
from authsrv.errors import ConfigError
from authsrv.handshake.acceptor import Acceptor
from authsrv.handshake.initiator import Initiator
from authsrv.handshake.pool import WorkerPool
from authsrv.http.forwarded import Host, Scheme
from authsrv.providers.base import ContextRequest, InitiatorRequest
from authsrv.providers.gssapi.acceptor import GssapiProvider
from authsrv.providers.gssapi.initiator import GssapiInitiatorProvider
from authsrv.providers.kerberos.keytab import KeytabFile
from authsrv.providers.kerberos.password import PasswordChecker
from authsrv.providers.pyspnego import PyspnegoProvider
from authsrv.providers.registry import Keytab
from authsrv.providers.scripted import ScriptedProvider
from authsrv.providers.sspi.provider import SspiProvider
from authsrv.service.asks.conventions import NGINX
from authsrv.service.config.settings import Endpoint, Login, Settings
from authsrv.service.key_files import KeyFile
from authsrv.service.sign_in.passwords import PasswordLogin
from authsrv.service.sign_in.tries import Tries, TryLimits
from authsrv.service.sites.headers import Attribute, HeaderField, HeaderMap
from authsrv.service.sites.rule import Rule
from authsrv.service.sites.rules import RuleList
from authsrv.service.sites.site import NegotiatePolicy, Site, SiteHost, Sites
from authsrv.sessions.keyring import KeyRing, RingKey, parse_ring
from authsrv.stores.machine import MachineStore
from authsrv.stores.memory import MemoryStore

PACKAGE = ScriptedProvider()
HANDLE = sspi.CredentialHandle()

# What is called, and what it needs besides the setting that is tried.
GIVEN: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "AccessRules": (AccessRules, {}),
    "Acceptor": (Acceptor, {"provider": PACKAGE}),
    "AppRunner": (AppRunner, {"app": web.Application()}),
    "ChannelBindings": (ChannelBindings, {"application_data": b"x"}),
    "ClientContext": (sspi.ClientContext, {"credential": HANDLE, "target_name": "HTTP/x"}),
    "ClientPolicy": (
        ClientPolicy,
        {"hosts": HostList(["x"]), "delegates": HostList([]), "services": {}},
    ),
    "ContextRequest": (ContextRequest, {}),
    "GssapiInitiatorProvider": (GssapiInitiatorProvider, {}),
    "Initiator": (Initiator, {"provider": GssapiInitiatorProvider()}),
    "InitiatorRequest": (InitiatorRequest, {"target": "HTTP/x"}),
    "KeyFile": (KeyFile, {"path": "/missing/sealing.json"}),
    "KeyRing": (KeyRing, {"keys": (RingKey(bytes(32), 0),)}),
    "NegotiateAuth": (NegotiateAuth, {"acceptor": Acceptor(PACKAGE), "rules": AccessRules()}),
    "NegotiateClient": (NegotiateClient, {"hosts": ["x"]}),
    "PasswordLogin": (
        PasswordLogin,
        {
            "checker": PasswordChecker(GssapiProvider("/keytab")),
            "tries": Tries(MemoryStore(), TryLimits()),
        },
    ),
    "PyspnegoProvider": (PyspnegoProvider, {}),
    "SspiProvider": (SspiProvider, {}),
    "HeaderField": (HeaderField, {"name": "X-User", "attribute": Attribute.NAME}),
    "Login": (Login, {}),
    "Rule": (Rule, {"name": "x"}),
    "RuleList": (RuleList, {"rules": ()}),
    "Settings": (
        Settings,
        {
            "digest": "",
            "keytab": "x",
            "asks": Endpoint("/a"),
            "pages": Endpoint("/b"),
            "convention": NGINX,
            "sites": Sites(()),
        },
    ),
    "Site": (
        Site,
        {
            "name": "x",
            "scheme": Scheme.HTTPS,
            "hosts": (SiteHost(Host("x")),),
            "rules": RuleList(()),
            "negotiate": NegotiatePolicy(()),
            "headers": HeaderMap(),
        },
    ),
    "ServerContext": (sspi.ServerContext, {"credential": HANDLE}),
    "parse_ring": (parse_ring, {"content": b"", "name": "sealing.json"}),
    "server_settings": (server_settings, {"app": web.Application()}),
    "setup": (lambda **given: setup(web.Application(), **given), {"provider": PACKAGE}),
    "tls_server_end_point": (tls_server_end_point, {"certificate": b""}),
}

# Calls of SSPI answer what is wrong by a status; the rest are results, tables, codecs, and what the
# acceptor, the initiator, the integrations and the service of ours make and call.
NO_SETTINGS = set(
    """
    accept_security_context_async Acceptors acquire_credentials
    acquire_credentials_handle_async AdmittedEvent adopt Ask AskedRequest Attempt attribute_of
    attributes_of BoundedParser build_error_response build_neg_token_resp CallResult
    Candidates ChallengedEvent Claim Claimant conclude ContextGuard Convention deadline decide
    Decision encode_list encode_text ErrorPage ErrorResponse Finding handler_runner Handshake
    HandshakeMachine HandshakeRegistry Identity initialize_security_context_async InsecurePage
    isc_ret_from_asc json_answer largest_field Leg Listener LoginPage LoopPage MessageChannel
    most_rows NativeContext NegotiatePolicy NegTokenResp NoSignOnPage open_note open_session
    outcome_of pack_channel_bindings page_headers PasswordLogin PasswordRefusal Problem
    query_context query_context_attributes query_native QueryResult queue
    read_channel_bindings read_session refusal_of ReloadEvent render RenderedHeaders
    ResponseRule RuleTrace Ruling run_app ScriptedContext seal_note seal_session SecBuffer
    set_up_logs SignedInEvent SignedOutPage StatusReport Step Subject TokenPeek
    UnavailablePage unpack_channel_bindings UserPattern WhoamiPage WorkerPool
    """.split()
)
SETTINGS = (Limits, ChannelBindings)


def kinds_in(annotation: Any) -> Iterator[type]:
    """The types in an annotation whose values must not be mistaken."""
    if isinstance(annotation, type) and issubclass(annotation, (enum.Enum, *SETTINGS)):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from kinds_in(inner)


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public class and function, each once, but for enums and exceptions."""
    for module in pkgutil.walk_packages(authsrv.__path__, "authsrv."):
        if module.name.endswith("__main__"):
            continue
        found = importlib.import_module(module.name)
        for name in getattr(found, "__all__", ()):
            thing = getattr(found, name)
            if getattr(thing, "__module__", None) != module.name or not callable(thing):
                continue
            if not (isinstance(thing, type) and issubclass(thing, (enum.Enum, BaseException))):
                yield name, thing


def settings() -> Iterator[tuple[str, str, type]]:
    for name, thing in public():
        function = thing.__init__ if isinstance(thing, type) else thing  # type: ignore[misc]
        for parameter, annotation in typing.get_type_hints(function).items():
            for kind in kinds_in(annotation) if parameter != "return" else ():
                yield name, parameter, kind


ALL = sorted(set(settings()), key=str)
TRIED = [each for each in ALL if each[0] in GIVEN]
MEMBERS = [
    each for each in TRIED if issubclass(each[2], enum.Enum) and not issubclass(each[2], enum.Flag)
]
WRONG: dict[str, Any] = {
    "another spelling": "no such value",
    "bytes": b"required",
    "a list": [],
    "a class": object,
    "a float": 1.5,
}


def outcome(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ConfigError as error:
        return error


def test_every_setting_is_tried_or_is_none() -> None:
    assert {name for name, _, _ in ALL} - GIVEN.keys() - NO_SETTINGS == set()
    assert GIVEN.keys() - {name for name, _, _ in ALL} == set()


@pytest.mark.parametrize(("name", "parameter", "kind"), TRIED)
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_no_value_is_refused_and_the_setting_named(
    name: str, parameter: str, kind: type, wrong: Any
) -> None:
    make, given = GIVEN[name]
    with pytest.raises(ConfigError, match=parameter):
        make(**{**given, parameter: wrong})


@pytest.mark.parametrize(("name", "parameter", "kind"), MEMBERS)
def test_the_value_of_a_member_is_as_good_as_the_member(
    name: str, parameter: str, kind: type[enum.Enum]
) -> None:
    make, given = GIVEN[name]
    for member in kind:
        for value in (member, member.value):
            made = outcome(lambda value=value: make(**{**given, parameter: value}))
            # What is refused has another reason: no environment for NTLM, no certificate.
            assert parameter not in str(made) or not isinstance(made, ConfigError)
            assert getattr(made, parameter, member) is member


def test_what_the_trials_found_open() -> None:
    """A text where an enum belongs acted as another member."""
    assert AccessRules(default="required") == AccessRules()  # type: ignore[arg-type]
    bound = ChannelBindings(b"x", policy="require")  # type: ignore[arg-type]
    assert bound == ChannelBindings(b"x")
    with pytest.raises(ConfigError, match="proof must be one of 'required', 'always', 'optional'"):
        NegotiateClient(["x"], proof="allways")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        {"max_rounds": "8"},
        {"max_rounds": 8.5},
        {"max_rounds": True},
        {"max_rounds": None},
        {"step_seconds": "10"},
        {"step_seconds": float("inf")},
        {"max_pending": 0},
    ],
)
def test_limits_are_numbers(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"the limit {next(iter(given))} must be"):
        Limits(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"default": None},
        {"preflight": "PASS"},
        {"open_methods": "GET"},
        {"open_methods": [7]},
        {"open_paths": "/health"},
        {"optional_paths": "/health"},
        {"open_paths": ["health"]},
        {"open_paths": 7},
    ],
)
def test_access_rules_are_what_they_say(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AccessRules(**given)


OTHERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("keytab", GssapiProvider),
    ("keytab", lambda wrong: setup(web.Application(), keytab=wrong or 7)),
    ("settle_seconds", lambda wrong: KeytabFile("/keytab", settle_seconds=wrong)),
    ("path", Keytab),
    ("hosts", lambda wrong: ClientPolicy(wrong, HostList([]), {})),
    ("delegates", lambda wrong: ClientPolicy(HostList(["x"]), wrong, {})),
    ("initiator", lambda wrong: Negotiation(wrong, CLIENT.policy)),
    ("policy", lambda wrong: Negotiation(CLIENT.initiator, wrong)),
    ("limits", WorkerPool),
    ("max_claims", lambda wrong: MemoryStore(max_claims=wrong)),
    ("max_claims", lambda wrong: MachineStore("/x/store", max_claims=wrong)),
    ("patience", lambda wrong: MachineStore("/x/store", patience=wrong)),
    ("path", lambda wrong: MachineStore(wrong or 7)),
    ("replay", lambda wrong: GssapiProvider("/keytab", replay=wrong or 7)),
    ("store", lambda wrong: Acceptor(PACKAGE, store=wrong or 7)),
    ("ssl_context", lambda wrong: start(ssl_context=wrong or 7)),
    ("port", lambda wrong: start(port="80" if wrong is None else wrong)),
]
CLIENT = NegotiateClient(["x"])


def start(**given: Any) -> None:
    """Run an application that cannot run: nothing is bound where a setting is not refused."""
    run_app(web.Application(), host="127.0.0.1", sock=NO_SOCKET, **given)


NO_SOCKET: Any = object()


@pytest.mark.parametrize(("setting", "make"), OTHERS)
@pytest.mark.parametrize("wrong", [None, True, float("nan"), [], {}, b"/keytab"])
def test_other_settings_are_of_their_type(
    setting: str, make: Callable[[Any], Any], wrong: Any
) -> None:
    with pytest.raises(ConfigError, match=setting):
        make(wrong)
