"""Windows' own providers, through sspilib: secur32 on Windows, sspi-rs elsewhere.

Elsewhere, the wheel of sspilib brings Devolutions' sspi-rs, the same API over code of its own. It
is for tests: as an acceptor it is refused unless a test asks for it by SspiRsUse.FOR_TESTS. What is
different there, of the sspi-rs in sspilib 0.6.0:

- It accepts raw NTLM alone, of one user, whose password it is given. Negotiate takes no raw NTLM
  (SEC_E_INVALID_TOKEN), and fails in the second leg of SPNEGO (SEC_E_INTERNAL_ERROR).
- Names of packages are compared with their case, and it has no credential of its own
  (SEC_E_INVALID_PARAMETER).
- The last token is answered by SEC_I_COMPLETE_NEEDED, and CompleteAuthToken is what denies a
  logon. Windows says SEC_E_OK or SEC_E_LOGON_DENIED to the token.
- It never compares the client's proof of the password, but a checksum that the client may leave
  out. So the proof is compared here, and nobody is let in without it.
- It checks the password and not the name: whoever knows alice's could be let in as bob. So the
  name must be the one that the password was given for, and is told as it was given.
- The attributes that it tells are the flags that it was asked for, MUTUAL_AUTH and DELEGATE
  included. So they are told here from what both messages of NTLM agree on.
- It tells no expiry, and sspilib hands over what lay in memory; a context never expires.
- It accepts a client that sent no channel bindings although we gave some; requiring them is
  refused as a setting that cannot be kept.
- It writes past the end of an output buffer that is too small. A client's last message repeats
  what its server sent, so that buffers are larger than the token by what any message needs.
- It keeps some 2,000 bytes for good of each first token that it cannot read at all, and 112 of
  each context; so what does not begin a handshake is refused before it sees it.

On every system:

- An anonymous client is denied, whatever SSPI says.
- A client of NTLM has not authenticated its server, whatever the flags say.
- No text of SSPI enters an error: its code does, and words of our own.
- Output buffers are allocated here and not by SSPI (ASC_REQ_ALLOCATE_MEMORY is never passed on):
  Wine ignores the flag and writes to nowhere.
- sspilib does not read back input buffers, so that SECBUFFER_MISSING and SECBUFFER_EXTRA, which
  Windows documents for other packages than these, are not seen.
- The native context is deleted with the last reference to its handle, which is ours.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from typing import Any

from authsrv.codecs.inspect import begins_handshake
from authsrv.codecs.ntlm.proof import agreed_attributes, is_known_user, verify_proof
from authsrv.core.bindings import BindingPolicy
from authsrv.core.credentials import Password
from authsrv.core.flags import AscReq, AscRet, IscReq
from authsrv.core.identity import Identity
from authsrv.core.results import Refused, Result
from authsrv.core.settings import as_instance, as_member, as_optional
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    ConfigError,
    InvalidTokenError,
    LogonDeniedError,
    ProviderFaultError,
    UnavailableError,
    UnexpectedTokenError,
)
from authsrv.providers.base import ContextRequest, InitiatorRequest, SecurityContext
from authsrv.providers.sspi.codes import error_from_native

try:
    import sspilib.raw as raw

    from authsrv.providers.sspi.attributes import (
        attributes_from_client,
        package_info,
        user_name,
    )
    from authsrv.providers.sspi.context import IS_SSPI_RS, NativeContext
except ImportError as missing:
    raise ConfigError(
        f"the provider 'sspi' needs the extra authsrv[sspi]: {missing.name} is not installed"
    ) from missing

__all__ = ["SspiInitiatorProvider", "SspiProvider", "SspiRsUse"]

_S = SecurityStatus
# Anonymous clients are never asked for, as they are never let in.
_ASC_OURS = ~int(AscReq.ALLOCATE_MEMORY | AscReq.ALLOW_NULL_SESSION)
_ISC_OURS = ~int(IscReq.ALLOCATE_MEMORY)
_NULL_SESSION = int(AscRet.NULL_SESSION)
_ANONYMOUS = ("", "anonymous logon")
_INBOUND = int(raw.CredentialUse.SECPKG_CRED_INBOUND)
_OUTBOUND = int(raw.CredentialUse.SECPKG_CRED_OUTBOUND)
_NTLM = "ntlm"


class SspiRsUse(enum.Enum):
    """Whether sspi-rs may accept clients. On Windows, where SSPI is secur32, it says nothing."""

    REFUSED = "refused"
    """A provider that accepts clients cannot be made where SSPI is sspi-rs."""
    FOR_TESTS = "for tests"
    """It can be made. It knows one user and frees no memory, and is no server for others."""


class SspiInitiatorProvider:
    """The initiator of a package of SSPI: "Negotiate", "Kerberos" or "NTLM".

    Args:
        package: Its name; sspi-rs distinguishes upper and lower case.
        credential: A name and a password, or None for what the system holds ready. sspi-rs holds
            nothing ready.

    Raises:
        ConfigError: One of these is of a wrong type.
    """

    name = "sspi"

    def __init__(self, package: str = "Negotiate", *, credential: Password | None = None) -> None:
        self.package = as_instance(str, package, "package")
        self.credential = as_optional(Password, credential, "credential")
        self._guard = threading.Lock()
        self._handles: dict[int, Any] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.package}>"

    def create_initiator(self, request: InitiatorRequest) -> SecurityContext:
        """See InitiatorProvider.create_initiator."""
        return _Initiator(self, request)

    def handle(self, use: int) -> Any:
        """The native credential, a sspilib.raw.CredHandle, acquired once. It may block.

        Args:
            use: SECPKG_CRED_INBOUND or SECPKG_CRED_OUTBOUND.

        Raises:
            UnavailableError: SSPI gives none; its status and code are SSPI's.
            ConfigError: There is no package of this name, or it needs other settings.
        """
        with self._guard:
            held = self._handles.get(use)
            if held is None:
                held = self._handles[use] = self._acquire(use)
            return held

    def _acquire(self, use: int) -> Any:
        try:
            # sspilib's object shows the password in its repr: no frame of ours holds it.
            return raw.acquire_credentials_handle(
                None, self.package, use, auth_data=self._make_auth_data()
            ).credential
        except OSError as failed:
            error = error_from_native(failed)
        wrong_setting = _S.SEC_E_SECPKG_NOT_FOUND, _S.SEC_E_INVALID_PARAMETER
        kind = ConfigError if error.status in wrong_setting else UnavailableError
        cause = f"SSPI gives no credential for {self.package}: {error.detail}"
        raise kind(cause, status=error.status, native=error.native)

    def _make_auth_data(self) -> Any:
        known = self.credential
        if known is None:
            return None
        return raw.WinNTAuthIdentity(
            username=known.user, domain=known.domain, password=known.password
        )


class SspiProvider(SspiInitiatorProvider):
    """A package of SSPI: "Negotiate", "Kerberos" or "NTLM". It accepts clients, and is one.

    Args:
        package: As of SspiInitiatorProvider.
        credential: As of SspiInitiatorProvider. For sspi-rs it is the one user who is let in.
        sspi_rs: Whether it is made where SSPI is sspi-rs.

    Raises:
        ConfigError: SSPI is sspi-rs, and no test asked for it (SEC_E_UNSUPPORTED_FUNCTION); or one
            of these is of a wrong type.
    """

    def __init__(
        self,
        package: str = "Negotiate",
        *,
        credential: Password | None = None,
        sspi_rs: SspiRsUse = SspiRsUse.REFUSED,
    ) -> None:
        super().__init__(package, credential=credential)
        use = as_member(SspiRsUse, sspi_rs, "sspi_rs")
        if IS_SSPI_RS and use is not SspiRsUse.FOR_TESTS:
            raise ConfigError(
                "SSPI on this system is sspi-rs, which is for tests: as a server it is refused; "
                "'gssapi' accepts Kerberos here, and SSPI does on Windows",
                status=_S.SEC_E_UNSUPPORTED_FUNCTION,
            )

    def create_context(self, request: ContextRequest) -> SecurityContext:
        """See SecurityProvider.create_context.

        Raises:
            ConfigError: Channel bindings are required, and SSPI is sspi-rs, which cannot require
                them.
        """
        bindings = request.bindings
        requires = bindings is not None and bindings.policy is BindingPolicy.REQUIRE
        if requires and IS_SSPI_RS:
            raise ConfigError("sspi-rs cannot require channel bindings; 'gssapi' can")
        return _Acceptor(self, request)

    def check(self) -> None:
        """See SecurityProvider.check."""
        self.handle(_INBOUND)
        if IS_SSPI_RS and self.package.casefold() != _NTLM:
            raise ConfigError(f"sspi-rs does not accept {self.package}, but NTLM; 'gssapi' does")


class _Acceptor(NativeContext):
    def __init__(self, provider: SspiProvider, request: ContextRequest) -> None:
        super().__init__(request.bindings)
        self._provider = provider
        flags = int(request.flags) & _ASC_OURS
        if request.bindings is not None and request.bindings.policy is BindingPolicy.ALLOW:
            flags |= int(AscReq.ALLOW_MISSING_BINDINGS)
        self._flags = flags
        self._representation = int(request.representation)

    def step(self, token: bytes) -> Result:
        if not token:
            return Refused(UnexpectedTokenError("the token is empty"))
        if self._context is None and not begins_handshake(token):
            return Refused(InvalidTokenError("the first token does not begin a handshake"))
        return super().step(token)

    def _call(self, given: Any) -> Any:
        return raw.accept_security_context(
            self._provider.handle(_INBOUND),
            self._context,
            given,
            self._flags,
            self._representation,
            self._output,
        )

    def _identify(self) -> Identity:
        principal = _native(lambda: user_name(self._context))
        attributes = int(self._answer.attributes)
        if attributes & _NULL_SESSION or principal.rpartition("\\")[2].casefold() in _ANONYMOUS:
            raise LogonDeniedError("the client is anonymous")
        if IS_SSPI_RS:
            principal = self._verify(principal)
            attributes &= int(agreed_attributes(*self._last_messages()))
        return Identity(
            principal=principal,
            mechanism=_native(lambda: package_info(self._context)).name.casefold(),
            attributes=AscRet(attributes),
            expires_at=self._expires_at(),
        )

    def _verify(self, principal: str) -> str:
        """Verify what sspi-rs does not; return the name that the password was given for."""
        known = self._provider.credential
        domain, _, user = principal.rpartition("\\")
        if known is None or not is_known_user(known, user, domain):
            raise LogonDeniedError("the password belongs to another user than the client names")
        verify_proof(known, *self._last_messages())
        return known.user if known.domain is None else f"{known.domain}\\{known.user}"


class _Initiator(NativeContext):
    def __init__(self, provider: SspiInitiatorProvider, request: InitiatorRequest) -> None:
        super().__init__(request.bindings)
        self._provider = provider
        self._target = request.target
        flags = request.flags
        if request.required & AscRet.MUTUAL_AUTH:
            flags |= IscReq.MUTUAL_AUTH
        self._flags = int(flags) & _ISC_OURS
        self._representation = int(request.representation)

    def step(self, token: bytes) -> Result:
        if self._context is not None and not token:
            return Refused(UnexpectedTokenError("the token is empty"))
        return super().step(token)

    def _call(self, given: Any) -> Any:
        return raw.initialize_security_context(
            self._provider.handle(_OUTBOUND),
            self._context,
            self._target,
            self._flags,
            self._representation,
            given if len(given) else None,
            self._output,
        )

    def _identify(self) -> Identity:
        mechanism = _native(lambda: package_info(self._context)).name.casefold()
        attributes = attributes_from_client(int(self._answer.attributes))
        if IS_SSPI_RS:
            attributes &= agreed_attributes(*self._last_messages())
        if mechanism == _NTLM:
            # MS-NLMP section 1.1: NTLM authenticates clients to servers, and no server.
            attributes &= ~AscRet.MUTUAL_AUTH
        return Identity(
            principal=self._target,
            mechanism=mechanism,
            service=self._target,
            attributes=attributes,
            expires_at=self._expires_at(),
        )


def _native(ask: Callable[[], Any]) -> Any:
    """Ask what SSPI must know of an established context, or raise: then nobody is let in."""
    try:
        return ask()
    except OSError as failed:
        why = error_from_native(failed).detail
    except UnicodeError:
        why = "the name is not in Unicode"
    # Raised out here, it holds no frame that holds the handle.
    raise ProviderFaultError(f"SSPI establishes a context and does not name the client: {why}")
