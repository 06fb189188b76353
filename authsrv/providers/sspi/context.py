"""A security context of SSPI, of either side: its legs, its completion, its end."""

from __future__ import annotations

import abc
import datetime
import sys
from typing import Any, Final

import sspilib.raw as raw

from authsrv.core.attributes import ContextAttribute, attribute_of
from authsrv.core.bindings import ChannelBindings
from authsrv.core.identity import Identity
from authsrv.core.results import (
    CompleteAndContinue,
    CompleteNeeded,
    Continue,
    Established,
    Incomplete,
    Refused,
    Result,
)
from authsrv.core.status import SecurityStatus
from authsrv.errors import (
    AuthsrvError,
    ProviderFaultError,
    StateError,
    UnexpectedTokenError,
    UnsupportedFunctionError,
)
from authsrv.providers.sspi.attributes import NATIVE_ATTRIBUTES, expiry_of, query_native
from authsrv.providers.sspi.codes import error_from_native, error_from_windows

__all__ = ["IS_SSPI_RS", "NativeContext"]

IS_SSPI_RS: Final[bool] = bool(sys.platform != "win32")
"""Whether SSPI is sspi-rs, which sspilib brings along everywhere but on Windows."""

_S = SecurityStatus
_MAX_TOKEN = 65_536
_TOKEN, _EMPTY = int(raw.SecBufferType.SECBUFFER_TOKEN), int(raw.SecBufferType.SECBUFFER_EMPTY)
_MISSING, _EXTRA = (
    int(raw.SecBufferType.SECBUFFER_MISSING),
    int(raw.SecBufferType.SECBUFFER_EXTRA),
)


class NativeContext(abc.ABC):
    """What the contexts of both sides have in common; see SecurityContext."""

    def __init__(self, bindings: ChannelBindings | None) -> None:
        self._bindings = bindings
        self._context: Any = None
        self._identity: Identity | None = None
        self._answer: Any = None
        self._output: Any = None
        self._transcript: list[bytes] = []
        self._ended = False
        self._completes = False

    def step(self, token: bytes) -> Result:
        """See SecurityContext.step."""
        if self._ended or self._completes:
            return Refused(UnexpectedTokenError("a token arrived where none is expected"))
        # An exception ends the context, too: only an answer that goes on takes this back.
        self._ended = True
        given = self._input(token)
        # sspi-rs writes past the end of a buffer; a client's answer repeats what it was sent.
        room = bytearray(_MAX_TOKEN + len(token))
        self._output = raw.SecBufferDesc([raw.SecBuffer(room, _TOKEN)])
        try:
            self._answer = self._call(given)
            # SSPI hands over the same handle in every leg, so none is lost here.
            self._context = self._answer.context
            self._note(token, self._token())
            return self._conclude(int(self._answer.status) & 0xFFFF_FFFF, _count(given, _EXTRA))
        except AuthsrvError as error:
            return Refused(error)
        except OSError as failed:
            fatal = error_from_native(failed)
            if fatal.status is not _S.SEC_E_INCOMPLETE_MESSAGE:
                return Refused(fatal)
            self._ended = False
            return Incomplete(_count(given, _MISSING) or None)

    def complete(self) -> Result:
        """See SecurityContext.complete."""
        if not self._completes:
            return Refused(StateError("CompleteAuthToken was not asked for"))
        self._completes = False
        was_last = self._ended
        self._ended = True
        try:
            raw.complete_auth_token(self._context, self._output)
            if was_last:
                return self._establish(0)
        except AuthsrvError as error:
            return Refused(error)
        except OSError as failed:
            return Refused(error_from_native(failed))
        self._ended = False
        return Continue(self._token())

    def query(self, attribute: ContextAttribute) -> object:
        """See SecurityContext.query."""
        if self._identity is None or self._context is None:
            raise StateError("only an established context has attributes")
        if attribute not in NATIVE_ATTRIBUTES:
            return attribute_of(self._identity, attribute)
        try:
            return query_native(self._context, attribute)
        except OSError:
            pass
        # Raised out here, it holds no frame that holds the handle: `delete` has the last reference.
        raise UnsupportedFunctionError(f"SSPI does not tell {attribute.name}")

    def delete(self) -> None:
        """See SecurityContext.delete."""
        self._ended = True
        self._completes = False
        self._transcript.clear()
        # sspilib calls DeleteSecurityContext when the last reference goes, and only then.
        self._answer = self._output = self._context = None

    @abc.abstractmethod
    def _call(self, given: Any) -> Any:
        """Call SSPI with the input buffers; the output goes into `_output`."""

    @abc.abstractmethod
    def _identify(self) -> Identity:
        """Tell whom the context authenticates, or raise the AuthsrvError that says why nobody."""

    def _conclude(self, status: int, unused: int) -> Result:
        match status:
            case _S.SEC_E_OK:
                return self._establish(unused)
            case _S.SEC_I_CONTINUE_NEEDED:
                self._ended = False
                return Continue(self._token(), unused)
            case _S.SEC_I_COMPLETE_NEEDED:
                self._completes = True
                return CompleteNeeded(self._token(), unused)
            case _S.SEC_I_COMPLETE_AND_CONTINUE:
                self._ended, self._completes = False, True
                return CompleteAndContinue(self._token(), unused)
        raise error_from_windows(status)

    def _establish(self, unused: int) -> Established:
        self._identity = self._identify()
        self._transcript.clear()
        return Established(self._identity, self._token(), unused)

    def _expires_at(self) -> datetime.datetime | None:
        # sspi-rs leaves ptsExpiry as it is, and sspilib then hands over what lay on the stack.
        return None if IS_SSPI_RS else expiry_of(int(self._answer.expiry))

    def _last_messages(self) -> tuple[bytes, bytes]:
        """The last two messages, whoever sent them: of NTLM, CHALLENGE and AUTHENTICATE."""
        if len(self._transcript) < 2:
            raise ProviderFaultError("sspi-rs ends a handshake that has not begun")
        return self._transcript[-2], self._transcript[-1]

    def _note(self, *messages: bytes) -> None:
        if IS_SSPI_RS:
            self._transcript += [message for message in messages if message]

    def _token(self) -> bytes:
        buffer = self._output[0]
        made: bytes = buffer.data
        return made[: buffer.count]

    def _input(self, token: bytes) -> Any:
        buffers = []
        if token:  # only the first call of an initiator has none
            buffers = [raw.SecBuffer(bytearray(token), _TOKEN), raw.SecBuffer(None, _EMPTY)]
        if self._bindings is not None:
            native = raw.SecChannelBindings(application_data=self._bindings.application_data)
            buffers.append(native.get_sec_buffer_copy())
        return raw.SecBufferDesc(buffers)


def _count(buffers: Any, kind: int) -> int:
    """The length of the first buffer of a kind, which SSPI made of our empty one.

    With sspilib 0.6 this is 0: it does not read back the buffers that were SSPI's input.
    """
    for buffer in buffers:
        if int(buffer.buffer_type) == kind:
            return int(buffer.count)
    return 0
