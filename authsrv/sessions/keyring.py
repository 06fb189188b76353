"""Key rings: several generations of one secret, of which the newest makes and all check.

A new generation is known before it is used: whoever reads the same file, or a copy of it, opens
what the others make from the first moment on. All of it is a value; `authsrv.service.key_files`
keeps it in a file.
"""

from __future__ import annotations

import base64
import datetime
import enum
import hashlib
import itertools
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from authsrv.core.settings import as_instance, as_member
from authsrv.errors import ConfigError

__all__ = [
    "MAX_GENERATIONS",
    "MAX_RING_BYTES",
    "SECRET_BYTES",
    "KeyKind",
    "KeyRing",
    "RingKey",
    "parse_ring",
    "serialise_ring",
]

MAX_GENERATIONS: Final = 16
"""How many keys a ring holds."""

MAX_RING_BYTES: Final = 16 * 1024
"""A longer text is no ring."""

SECRET_BYTES: Final = 32
"""The length of a key."""

_ID_BYTES = 8
_FORMAT = 1
_RING_MEMBERS = {"format", "kind", "keys"}
_KEY_MEMBERS = {"id", "used_from", "secret"}
_MAX_TIME = 2**32 - 1


class KeyKind(enum.Enum):
    """What the keys of a ring are for; a ring of one kind is none of the other."""

    SEALING = "sealing"
    SIGNING = "signing"


@dataclass(frozen=True, slots=True)
class RingKey:
    """A generation of a secret.

    Args:
        secret: 32 random bytes.
        used_from: From when on it is the one that seals or signs; Unix seconds. It opens at once.

    Raises:
        ConfigError: The secret has another length, or the time is none.
    """

    secret: bytes = field(repr=False)
    used_from: int
    key_id: bytes = field(init=False)
    """Eight bytes that tell it from others, and that a damaged secret does not fit to."""

    def __post_init__(self) -> None:
        if len(as_instance(bytes, self.secret, "secret")) != SECRET_BYTES:
            raise ConfigError(f"the secret of a key must have {SECRET_BYTES} bytes")
        if not 0 <= as_instance(int, self.used_from, "used_from") <= _MAX_TIME:
            raise ConfigError("used_from must be a time in Unix seconds")
        digest = hashlib.sha256(b"authsrv key id\0" + self.secret).digest()
        object.__setattr__(self, "key_id", digest[:_ID_BYTES])

    @classmethod
    def new(cls, used_from: int) -> RingKey:
        """Make a key at random."""
        return cls(secrets.token_bytes(SECRET_BYTES), used_from)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The generations of a secret.

    Args:
        kind: What they are for.
        keys: From the newest to the oldest, each used later than the one after it.

    Raises:
        ConfigError: There is none or there are too many, they are out of order, or one is there
            twice.
    """

    kind: KeyKind
    keys: tuple[RingKey, ...]
    by_id: Mapping[bytes, RingKey] = field(init=False, repr=False, compare=False)
    """Every key by its `key_id`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", as_member(KeyKind, self.kind, "kind"))
        keys = as_instance(tuple, self.keys, "keys")
        for key in keys:
            as_instance(RingKey, key, "keys")
        if not 0 < len(keys) <= MAX_GENERATIONS:
            raise ConfigError(f"a key ring has 1 to {MAX_GENERATIONS} keys, not {len(keys)}")
        if any(one.used_from <= other.used_from for one, other in _neighbours(keys)):
            raise ConfigError("the keys of a ring must be ordered, the newest first")
        by_id = {key.key_id: key for key in keys}
        if len(by_id) != len(keys):
            raise ConfigError("a key is in the ring twice")
        object.__setattr__(self, "by_id", MappingProxyType(by_id))

    @classmethod
    def new(cls, kind: KeyKind, now: float) -> KeyRing:
        """Make a ring of one key, which is used at once."""
        return cls(kind, (RingKey.new(int(now)),))

    def current(self, now: float) -> RingKey:
        """The key to seal or sign with: the newest whose time has come.

        Where the clock says that none's has, it is the oldest.
        """
        for key in self.keys:
            if key.used_from <= now:
                return key
        return self.keys[-1]

    def rotated(self, now: float, *, delay_seconds: float, keep_seconds: float) -> KeyRing:
        """Add a generation, and leave out those that nothing was made with for long.

        Args:
            now: Unix seconds.
            delay_seconds: After what time the new key is used; by then everybody must know it.
            keep_seconds: How long what a key made is good for at most. A key is left out when it
                was replaced so long ago.

        Raises:
            ConfigError: The newest key is not in use yet, or there is no room for another.
        """
        newest = self.keys[0]
        used_from = int(now + delay_seconds)
        if newest.used_from > now or newest.used_from >= used_from:
            since = datetime.datetime.fromtimestamp(newest.used_from, datetime.UTC)
            raise ConfigError(f"its newest key is used from {since:%Y-%m-%d %H:%M:%S} UTC on")
        kept = [newest]
        kept += [
            key for newer, key in _neighbours(self.keys) if newer.used_from + keep_seconds > now
        ]
        if len(kept) >= MAX_GENERATIONS:
            raise ConfigError(
                f"it is full: what {len(kept)} keys made may still be in use; rotate later"
            )
        return KeyRing(self.kind, (RingKey.new(used_from), *kept))


def _neighbours(keys: Sequence[RingKey]) -> list[tuple[RingKey, RingKey]]:
    """Each key but the oldest, and the one that it replaced."""
    return list(itertools.pairwise(keys))


def serialise_ring(ring: KeyRing) -> str:
    """Write a ring as JSON, secrets in the clear: for a file that nobody else can read."""
    keys = [
        {
            "id": key.key_id.hex(),
            "used_from": key.used_from,
            "secret": base64.urlsafe_b64encode(key.secret).decode(),
        }
        for key in ring.keys
    ]
    whole = {"format": _FORMAT, "kind": ring.kind.value, "keys": keys}
    return json.dumps(whole, indent=2) + "\n"


def parse_ring(content: bytes, kind: KeyKind, name: str) -> KeyRing:
    """Read what `serialise_ring` wrote, strictly.

    Args:
        content: All of the file.
        kind: What the keys must be for.
        name: The file's name, for the error.

    Raises:
        ConfigError: It is no ring, is of another kind or format, or a secret is damaged. The error
            holds no byte of the file.
    """
    kind = as_member(KeyKind, kind, "kind")
    if len(content) > MAX_RING_BYTES:
        raise ConfigError(f"the key file {name} is larger than {MAX_RING_BYTES} bytes")
    try:
        whole = json.loads(content.decode("ascii"), object_pairs_hook=_without_doubles)
        keys = _members(whole, _RING_MEMBERS, kind)
        ring = KeyRing(kind, tuple(_parse_key(key) for key in keys))
    except ConfigError as error:
        raise ConfigError(f"the key file {name} is broken: {error.detail}") from None
    except (ValueError, RecursionError):
        # The exception shows what it could not read, which may be a secret.
        raise ConfigError(f"the key file {name} is broken: it is not JSON in ASCII") from None
    return ring


def _members(whole: Any, names: set[str], kind: KeyKind) -> list[Any]:
    if not isinstance(whole, dict) or whole.keys() != names:
        raise ConfigError(f"it must have the members {', '.join(sorted(names))}, and no others")
    if type(whole["format"]) is not int or whole["format"] != _FORMAT:
        raise ConfigError(f"this release reads format {_FORMAT} only")
    if whole["kind"] != kind.value:
        raise ConfigError(f"its keys are not for {kind.value}")
    if not isinstance(whole["keys"], list):
        raise ConfigError("its keys are not a list")
    keys: list[Any] = whole["keys"]
    return keys


def _parse_key(told: Any) -> RingKey:
    if not isinstance(told, dict) or told.keys() != _KEY_MEMBERS:
        raise ConfigError(f"a key must have the members {', '.join(sorted(_KEY_MEMBERS))}")
    # What is wrong is not shown: it may be a secret in the wrong place.
    text, used_from = told["secret"], told["used_from"]
    if type(text) is not str or type(used_from) is not int:
        raise ConfigError("a key must have a text as secret and a number as used_from")
    try:
        secret = base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError:
        raise ConfigError("a secret is not base64url") from None
    key = RingKey(secret, used_from)
    if told["id"] != key.key_id.hex():
        raise ConfigError("a secret does not fit to its id")
    return key


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ConfigError("it has a member twice")
    return members
