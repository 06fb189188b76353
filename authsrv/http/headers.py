"""The two header fields that carry tokens: Authorization from the client, WWW-Authenticate to it.

`parse_authorization` is the server's side and runs for every request; `parse_challenges` is the
client's side, for tests, probes and command-line tools. Both take the field's values as the HTTP
library gives them, one string for each line of the message. The fields are those of RFC 9110
section 11, and what Negotiate puts into them is that of RFC 4559 section 4.

Only one reading of a field is accepted. Where it is unclear which scheme or which token is meant,
the field is malformed, and is not "no credentials".
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from authsrv.errors import InvalidHeaderError, InvalidTokenError, TokenTooLargeError

__all__ = [
    "MAX_TOKEN_BYTES",
    "ParsedChallenge",
    "build_challenge",
    "negotiate_token",
    "parse_authorization",
    "parse_challenges",
]

MAX_TOKEN_BYTES: Final = 65_536
"""Bytes of a token where no other limit is given; Windows' MaxTokenSize is 65,535 at most: MS-KILE
section 3.1.1.3."""

_SCHEME: Final = "negotiate"

# Every repetition is possessive: what it took it never gives back, so a match, or a failure, takes
# time linear in the characters read. RFC 9110 sections 5.6.2 (token), 5.6.4 (quoted-string), 11.2
# (token68 and auth-param) and 5.6.1.2 (empty elements of a list).
_TCHAR: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_SCHEME_NAME: Final = re.compile(rf"{_TCHAR}++")
_SPACES: Final = re.compile(r" ++")
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]++=*+(?=[ \t]*+(?:,|\Z))")
_PARAM_NAME: Final = re.compile(rf"({_TCHAR}++)[ \t]*+=[ \t]*+")
_PARAM_VALUE: Final = re.compile(
    rf'({_TCHAR}++)|"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x08\x0a-\x1f\x7f])*+)"'
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_ELEMENT_END: Final = re.compile(r"[ \t]*+(?:,[ \t,]*+|\Z)")
_LIST_START: Final = re.compile(r"[ \t,]*+")


@dataclass(frozen=True, slots=True, repr=False)
class ParsedChallenge:
    """One challenge of a server.

    Args:
        scheme: The authentication scheme as the server wrote it; its case means nothing.
        token68: The token behind the scheme, still in its encoding, if there is one.
        params: The parameters behind the scheme, names as written, values without quotes.
    """

    scheme: str
    token68: str | None = None
    params: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Show the length of the token in its place, and no values of parameters."""
        token = "no token" if self.token68 is None else f"token of {len(self.token68)} characters"
        names = ", ".join(name for name, _ in self.params) or "no parameters"
        return f"<ParsedChallenge {self.scheme}; {token}; {names}>"


def parse_authorization(
    values: Sequence[str], *, max_token_bytes: int = MAX_TOKEN_BYTES
) -> bytes | None:
    """Read the client's Negotiate token out of a request.

    Args:
        values: All values of the request's Authorization field, from the client, untrusted.
        max_token_bytes: How many bytes the decoded token may have; at least 1.

    Returns:
        The token, 1 to max_token_bytes bytes; None if there is no such field, or if it is of
        another scheme.

    Raises:
        InvalidHeaderError: There are two such fields, or the field has no scheme.
        InvalidTokenError: The token is empty, or is not base64 in its one strict form.
        TokenTooLargeError: The token is larger than the limit.
    """
    if not values:
        return None
    # RFC 9110 section 5.3: a field that is no list must not be sent twice.
    if len(values) > 1:
        raise InvalidHeaderError("the request has more than one Authorization field")
    scheme, _, credentials = values[0].strip(" \t").partition(" ")
    if scheme.lower() != _SCHEME:
        _demand_scheme(scheme)
        return None
    try:
        token = _decode(credentials.lstrip(" "), max_token_bytes)
    except InvalidHeaderError as error:
        raise InvalidTokenError(error.detail) from None
    if not token:
        raise InvalidTokenError("the Authorization field has an empty Negotiate token")
    return token


def build_challenge(token: bytes | None = None) -> str:
    """Build the value of a WWW-Authenticate field: "Negotiate", and the token if there is one."""
    if not token:
        return "Negotiate"
    return "Negotiate " + binascii.b2a_base64(token, newline=False).decode("ascii")


def parse_challenges(values: Sequence[str]) -> tuple[ParsedChallenge, ...]:
    """Parse the challenges of a response, in their order.

    Args:
        values: All values of the response's WWW-Authenticate field, from the server, untrusted.

    Raises:
        InvalidHeaderError: A value is malformed.
    """
    return tuple(challenge for value in values for challenge in _read_challenges(value))


def negotiate_token(
    values: Sequence[str], *, max_token_bytes: int = MAX_TOKEN_BYTES
) -> bytes | None:
    """Read the server's Negotiate token out of a response.

    Args:
        values: All values of the response's WWW-Authenticate field, from the server, untrusted.
        max_token_bytes: How many bytes the decoded token may have; at least 1.

    Returns:
        The token, at most max_token_bytes bytes; empty if the server asks the client to begin;
        None if it does not offer Negotiate.

    Raises:
        InvalidHeaderError: Negotiate stands there twice or has parameters, its token is not base64
            in its one strict form, or a value is malformed that begins with it. A value that is
            malformed otherwise hides nothing but itself, unless nothing else is there to read.
        TokenTooLargeError: The token is larger than the limit.
    """
    found: list[ParsedChallenge] = []
    malformed: InvalidHeaderError | None = None
    for value in values:
        try:
            challenges = parse_challenges([value])
        except InvalidHeaderError as error:
            if _LIST_START.sub("", value, count=1).lower().startswith(_SCHEME):
                raise
            malformed = error
            continue
        found += [entry for entry in challenges if entry.scheme.lower() == _SCHEME]
    if not found and malformed is not None:
        raise malformed
    if not found:
        return None
    if len(found) > 1 or found[0].params:
        raise InvalidHeaderError("the Negotiate challenge occurs twice or has parameters")
    return _decode(found[0].token68 or "", max_token_bytes)


def _demand_scheme(scheme: str) -> None:
    if _SCHEME_NAME.fullmatch(scheme) is None:
        raise InvalidHeaderError("the Authorization field does not begin with a scheme")


def _decode(encoded: str, max_token_bytes: int) -> bytes:
    """Decode base64 in its one strict form, padding included."""
    whole, rest = divmod(len(encoded), 4)
    if whole * 3 - encoded.count("=", -2) > max_token_bytes:
        raise TokenTooLargeError(f"the token has more than {max_token_bytes} bytes")
    # RFC 4648 section 4. The strict mode of older Pythons takes a fourth group of padding alone.
    if rest or encoded.endswith("==="):
        raise InvalidHeaderError("the token is not base64: its length or padding is wrong")
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:
        raise InvalidHeaderError("the token is not base64") from None


class _Scanner:
    """A position in a field's value."""

    __slots__ = ("_at", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Step over what matches here; stay where nothing does."""
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def demand(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = self.take(pattern)
        if found is None:
            raise InvalidHeaderError("the WWW-Authenticate field is malformed")
        return found


def _read_challenges(value: str) -> Iterator[ParsedChallenge]:
    scanner = _Scanner(value)
    scanner.take(_LIST_START)
    while not scanner.is_at_end:
        yield _read_challenge(scanner)


def _read_challenge(scanner: _Scanner) -> ParsedChallenge:
    scheme = scanner.demand(_SCHEME_NAME).group()
    spaces = scanner.take(_SPACES)
    token68 = scanner.take(_TOKEN68) if spaces else None
    if token68 is not None:
        scanner.demand(_ELEMENT_END)
        return ParsedChallenge(scheme, token68.group())
    name = scanner.take(_PARAM_NAME) if spaces else None
    if name is None:
        # The list of parameters is empty, or it begins with an empty element.
        scanner.demand(_ELEMENT_END)
        name = scanner.take(_PARAM_NAME)
    return ParsedChallenge(scheme, params=tuple(_read_params(scanner, name)))


def _read_params(scanner: _Scanner, name: re.Match[str] | None) -> Iterator[tuple[str, str]]:
    """Read parameters up to an element that is not one: there the next challenge begins."""
    seen: set[str] = set()
    while name is not None:
        key = name.group(1).lower()
        # RFC 9110 section 11.2: a parameter name must not occur twice in one challenge.
        if key in seen:
            raise InvalidHeaderError("a challenge repeats a parameter")
        seen.add(key)
        yield name.group(1), _read_param_value(scanner)
        scanner.demand(_ELEMENT_END)
        name = scanner.take(_PARAM_NAME)


def _read_param_value(scanner: _Scanner) -> str:
    plain, quoted = scanner.demand(_PARAM_VALUE).groups()
    if plain is not None:
        return str(plain)
    return _QUOTED_PAIR.sub(r"\1", quoted)
