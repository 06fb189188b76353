"""SPNEGO through pyspnego: the portable fallback, with guards around what its acceptor gets wrong.

It works wherever pyspnego does: through python-gssapi where that is installed, through SSPI on
Windows, and in pure Python for NTLM. It cannot choose a keytab or a replay cache; it uses those of
the process (KRB5_KTNAME, KRB5RCACHENAME). Where MIT's libraries are at hand, `providers.gssapi` is
the better choice.

The guards, each for a behaviour of pyspnego 0.12 that was seen:

- Its acceptor reports `complete` when the client says `accept_complete`, before anybody has
  authenticated. Here the mechanism's own context must be complete too, a principal must be named,
  a first message must be one that begins a handshake, and the checksum over the mechanism list must
  have come where one is due.
- Malformed tokens escape as struct.error, ValueError, IndexError, KeyError or StopIteration. They
  are refused tokens here, not faults; and SPNEGO that is cut off is not read at all.
- Where Kerberos refuses (a replay, a foreign key), python-gssapi puts the error aside and pyspnego
  stumbles over the missing context with an AttributeError. The error is brought back here.
- An unknown user and a wrong password raise different errors. They are one answer here.
- NTLM version 1 is accepted unless the environment says LM_COMPAT_LEVEL=5, and it bypasses the
  channel bindings. NTLM is off unless switched on, and then that setting is demanded.
- Where it has no credential it says that the client offered a wrong mechanism. That is our fault
  here, and not the client's.
- It logs whole tokens at DEBUG. What its loggers have to say at that level is dropped.
"""

from __future__ import annotations

import enum
import functools
import logging
import os
import struct
from typing import Any

import spnego
import spnego.channel_bindings
import spnego.exceptions

from authsrv.codecs.inspect import Framing, Mechanism, TokenPeek, begins_handshake, peek
from authsrv.codecs.spnego import NegState, build_neg_token_resp, is_spnego, parse_spnego
from authsrv.core.attributes import (
    ContextAttribute,
    NegotiationInfo,
    PackageInfo,
    SessionKey,
    attribute_of,
)
from authsrv.core.bindings import BindingPolicy, ChannelBindings
from authsrv.core.flags import asc_ret_from_gss
from authsrv.core.identity import Identity
from authsrv.core.results import Continue, Established, Refused, Result
from authsrv.core.settings import as_member
from authsrv.errors import (
    AuthsrvError,
    BadBindingsError,
    ConfigError,
    InvalidTokenError,
    KeytabError,
    LogonDeniedError,
    MechanismError,
    ReplayCacheError,
    StateError,
    UnexpectedTokenError,
)
from authsrv.providers.base import ContextRequest
from authsrv.providers.kerberos.library import load_libkrb5
from authsrv.providers.kerberos.profile import process_replay_cache
from authsrv.providers.kerberos.service_names import ServiceNames
from authsrv.providers.replay import find_cache_fault

__all__ = ["NTLMPolicy", "PyspnegoProvider"]

_MALFORMED = (struct.error, ValueError, IndexError, KeyError, StopIteration, TypeError)
_KNOWN_FLAGS = 0xFFFF


class NTLMPolicy(enum.Enum):
    """Whether NTLM is accepted."""

    OFF = "off"
    """NTLM is refused, and the refusal says so."""
    ON = "on"
    """NTLM version 2 is accepted, against the users of NTLM_USER_FILE."""


class PyspnegoProvider:
    """Accepts SPNEGO and Kerberos, and NTLM where it is switched on, through pyspnego.

    Raises:
        ConfigError: ntlm is no NTLMPolicy; NTLM is on, and the environment would let version 1 in;
            or the environment or krb5.conf switches MIT's replay cache off, which is looked at for
            each context again.
    """

    name = "pyspnego"

    def __init__(self, *, ntlm: NTLMPolicy = NTLMPolicy.OFF) -> None:
        self.ntlm = as_member(NTLMPolicy, ntlm, "ntlm")
        if self.ntlm is NTLMPolicy.ON and os.environ.get("LM_COMPAT_LEVEL") != "5":
            raise ConfigError("NTLM through pyspnego needs LM_COMPAT_LEVEL=5, to refuse version 1")
        _demand_replay_cache()
        _silence()

    def __repr__(self) -> str:
        return f"<PyspnegoProvider NTLM {self.ntlm.value}>"

    def create_context(self, request: ContextRequest) -> _Context:
        """See SecurityProvider.create_context.

        Raises:
            ConfigError: Channel bindings are required: pyspnego does not tell whether a Kerberos
                client sent them, so this could not be kept.
        """
        bindings = request.bindings
        if bindings is not None and bindings.policy is BindingPolicy.REQUIRE:
            raise ConfigError(
                "the provider 'pyspnego' cannot require channel bindings; 'gssapi' can"
            )
        return _Context(self.ntlm, bindings)

    def check(self) -> None:
        """See SecurityProvider.check: the file of users where NTLM is on, else keytab and cache."""
        if self.ntlm is NTLMPolicy.ON:
            _check_users()
            return
        _check_kerberos()
        # Reading it logs who else can read the keytab.
        _default_keys()
        fault = find_cache_fault(process_replay_cache().encode())
        if fault is not None:
            raise ReplayCacheError(fault)


class _Context:
    """One acceptor context of pyspnego."""

    __slots__ = (
        "_bindings",
        "_context",
        "_ended",
        "_error_token",
        "_framing",
        "_identity",
        "_legs",
        "_ntlm",
    )

    def __init__(self, ntlm: NTLMPolicy, bindings: ChannelBindings | None) -> None:
        self._ntlm = ntlm
        self._bindings = bindings
        self._context: Any = None
        self._ended = False
        self._error_token = b""
        self._framing = Framing.RAW
        self._legs = 0
        self._identity: Identity | None = None

    def step(self, token: bytes) -> Result:
        if self._ended:
            return Refused(UnexpectedTokenError("a token came after the end of the context"))
        # Whatever happens now ends it, unless it is to go on.
        self._ended = True
        try:
            self._screen(token)
            if self._context is None:
                # The configuration may have changed since the start.
                _demand_replay_cache()
                self._context = spnego.server(
                    protocol="negotiate", channel_bindings=self._native_bindings()
                )
            self._legs += 1
            answer = self._ask(token)
            if not self._context.complete:
                going_on = _go_on(answer)
                self._ended = False
                return going_on
            self._identity = self._identify()
            return Established(self._identity, answer or b"")
        except AuthsrvError as error:
            return Refused(error, self._error_token)

    def complete(self) -> Result:
        return Refused(StateError("pyspnego has no CompleteAuthToken"))

    def query(self, attribute: ContextAttribute) -> object:
        if self._identity is None or self._context is None:
            raise StateError("only an established context has attributes")
        match attribute:
            case ContextAttribute.SESSION_KEY:
                return SessionKey(self._context.session_key)
            case ContextAttribute.NEGOTIATION_INFO:
                return NegotiationInfo(PackageInfo(self._identity.mechanism))
            case _:
                return attribute_of(self._identity, attribute)

    def delete(self) -> None:
        self._ended = True
        self._context = None

    def _screen(self, token: bytes) -> None:
        """Refuse what pyspnego must not even see."""
        if not token:
            raise InvalidTokenError("the token is empty")
        if self._context is None and not begins_handshake(token):
            raise InvalidTokenError("the first token does not begin a handshake")
        self._framing = Framing.SPNEGO if is_spnego(token) else Framing.RAW
        if self._framing is Framing.SPNEGO:
            parse_spnego(token)
        if self._ntlm is NTLMPolicy.OFF and peek(token).mechanism is Mechanism.NTLM:
            raise MechanismError(
                "the client sent NTLM, which is off here: "
                "it has no Kerberos ticket for this service"
            )

    def _native_bindings(self) -> Any:
        if self._bindings is None:
            return None
        return spnego.channel_bindings.GssChannelBindings(
            application_data=self._bindings.application_data
        )

    def _ask(self, token: bytes) -> bytes | None:
        try:
            answer: bytes | None = self._context.step(token)
        except spnego.exceptions.SpnegoError as failed:
            raise self._cause(failed, token) from None
        except _MALFORMED:
            if self._ntlm is NTLMPolicy.ON:
                _check_users()
            raise InvalidTokenError("the token is malformed") from None
        except OSError:
            raise KeytabError("pyspnego cannot read the users of NTLM_USER_FILE") from None
        except AttributeError:
            deferred = self._deferred_error()
            if deferred is None:
                raise
            raise self._by_gss(deferred, token) from None
        return answer

    def _by_gss(self, native: Any, token: bytes) -> AuthsrvError:
        """Tell what an error of GSS-API means, and keep what its mechanism tells the client."""
        made: bytes = getattr(native, "token", None) or b""
        if made and self._framing is Framing.SPNEGO and not is_spnego(made):
            # pyspnego negotiates by itself, and has nothing to say once the mechanism refuses.
            self._error_token = build_neg_token_resp(NegState.REJECT, response_token=made)
        else:
            self._error_token = made
        return _by_gss(native, token, made)

    def _deferred_error(self) -> Any:
        """The error that python-gssapi put aside when it had a token for the client beside it."""
        return getattr(getattr(self._inner(), "_context", None), "_last_err", None)

    def _cause(self, failed: Any, token: bytes) -> AuthsrvError:
        if isinstance(failed, spnego.exceptions.BadBindingsError):
            return BadBindingsError("the client's channel bindings name another channel")
        if isinstance(failed, spnego.exceptions.BadMechanismError):
            return self._without_mechanism(peek(token))
        native = getattr(failed, "base_error", None)
        if getattr(native, "maj_code", None) is not None:
            return self._by_gss(native, token)
        if self._legs == 1:
            return InvalidTokenError("the token is malformed")
        if self._ntlm is NTLMPolicy.ON:
            _check_users()
        # One answer for an unknown user, a wrong password and a broken message, so that nobody can
        # find out which users there are.
        return LogonDeniedError("the credentials were refused")

    def _without_mechanism(self, seen: TokenPeek) -> AuthsrvError:
        """The error for a client that offers nothing usable; raises where we have no credential."""
        names = {*seen.offered, seen.mechanism.label}
        if self._ntlm is NTLMPolicy.ON and "NTLM" in names:
            _check_users()
        if names & {"Kerberos", "MS-Kerberos"} and _has_kerberos():
            _check_kerberos()
        return MechanismError("the client offers no mechanism that is accepted here")

    def _identify(self) -> Identity:
        inner = self._inner()
        try:
            principal = inner.client_principal if inner is not None and inner.complete else None
            protocol = inner.negotiated_protocol if principal else None
        except (spnego.exceptions.SpnegoError, *_MALFORMED):
            principal = protocol = None
        if not principal or not protocol:
            raise LogonDeniedError("the client claims to be done, and nobody has authenticated")
        if self._lacks_mic():
            raise LogonDeniedError("the client left out the checksum over its list of mechanisms")
        # RFC 6112 section 3: the name of those who do not tell theirs.
        if str(principal).startswith("WELLKNOWN/ANONYMOUS@"):
            raise LogonDeniedError("the client is anonymous")
        if protocol != "kerberos" and self._ntlm is NTLMPolicy.OFF:
            raise MechanismError("the handshake ended in a mechanism that is not accepted here")
        attributes = asc_ret_from_gss(int(self._context.context_attr) & _KNOWN_FLAGS)
        return Identity(principal=str(principal), mechanism=str(protocol), attributes=attributes)

    def _lacks_mic(self) -> bool:
        # RFC 4178 section 5: when the client must send a mechListMIC.
        if self._framing is Framing.RAW:
            return False
        demanded = getattr(self._context, "_mic_required", False)
        return bool(demanded) and not getattr(self._context, "_mic_recv", False)

    def _inner(self) -> Any:
        """The context of the mechanism inside pyspnego's Negotiate context."""
        try:
            return self._context._context
        except (AttributeError, *_MALFORMED):
            return None


def _demand_replay_cache() -> None:
    """Refuse to accept where environment or krb5.conf switch libkrb5's replay cache off."""
    try:
        load_libkrb5()
    except OSError:
        return  # no Kerberos by MIT's libraries, and so no cache of theirs
    if process_replay_cache().startswith("none"):
        raise ConfigError(
            "KRB5RCACHENAME, or default_rcache_name in krb5.conf, switches the protection against "
            "replays off"
        )


def _go_on(answer: bytes | None) -> Continue:
    if not answer:
        raise InvalidTokenError("the mechanism has no answer to this token")
    return Continue(answer)


def _by_gss(native: Any, token: bytes, error_token: bytes) -> AuthsrvError:
    # It needs the extra authsrv[kerberos].
    from authsrv.providers.gssapi.diagnosis import Failure, diagnose

    failure = Failure(native.maj_code, native.min_code, token, error_token)
    return diagnose(failure, _default_keys(), ServiceNames())


def _default_keys() -> Any:
    """What the process's own keytab holds, for the diagnosis; nothing where it cannot be read."""
    import krb5

    from authsrv.providers.kerberos.keytab import KeytabSnapshot

    name = os.fsdecode(krb5.kt_default_name(krb5.init_context()))
    try:
        return _keytab_file(name.removeprefix("FILE:")).snapshot()
    except (KeytabError, ConfigError):
        return KeytabSnapshot("", (), None)


# What is wrong with a file is said once, and not with each refusal.
@functools.lru_cache(maxsize=4)
def _keytab_file(path: str) -> Any:
    from authsrv.providers.kerberos.keytab import KeytabFile

    return KeytabFile(path)


def _has_kerberos() -> bool:
    return "kerberos" in spnego._negotiate.NegotiateProxy.available_protocols()


def _check_kerberos() -> None:
    try:
        spnego.server(protocol="kerberos")
    except (spnego.exceptions.SpnegoError, spnego.exceptions.FeatureMissingError, ValueError):
        raise KeytabError(
            "pyspnego finds no credential for Kerberos; is KRB5_KTNAME set?"
        ) from None


def _check_users() -> None:
    try:
        with open(os.environ.get("NTLM_USER_FILE", ""), encoding="utf-8") as file:
            file.read()
    except (OSError, ValueError):
        raise KeytabError("pyspnego cannot read the users of NTLM_USER_FILE") from None


class _NoTokens(logging.Filter):
    """Drops what pyspnego logs at DEBUG, whatever level anybody gives its loggers later."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


_NO_TOKENS = _NoTokens()


def _silence() -> None:
    # A filter holds for the logger it is on, not for those below it.
    for name in tuple(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "spnego":
            logging.getLogger(name).addFilter(_NO_TOKENS)
