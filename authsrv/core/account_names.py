"""What people type as their name, and as their password: one strict reading of each.

Typed text never goes to libkrb5's parser of names, which takes a backslash for an escape, a NUL for
the end, and what follows an "@" for a realm whose KDC it then asks. Here it is taken apart first,
and what is not plainly an account of our own domain is refused before anybody is asked.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from authsrv.core.settings import as_instance, as_texts
from authsrv.errors import ConfigError, LogonDeniedError

__all__ = [
    "MAX_NAME_CHARACTERS",
    "MAX_PASSWORD_BYTES",
    "AccountName",
    "HomeDomain",
    "encode_password",
    "fold_account",
    "parse_account_name",
]

MAX_NAME_CHARACTERS = 256
"""How long a typed name may be, its domain included."""

MAX_PASSWORD_BYTES = 1024
"""How long a password may be, in UTF-8."""


@dataclass(frozen=True, slots=True)
class HomeDomain:
    r"""The domain whose accounts may be typed, and the names that it goes by.

    Args:
        realm: The Kerberos realm, such as "EXAMPLE.ORG".
        netbios_names: What may stand before a backslash, as in "EXAMPLE\alice", beside the realm
            and its first label. Case does not matter.
        upn_suffixes: What may stand behind the "@" beside the realm, such as "example.com" where
            people log in by their mail address. The KDC resolves such names. Case does not matter.

    Raises:
        ConfigError: A name is empty, not printable, or has a separator in it.
    """

    realm: str
    netbios_names: tuple[str, ...] = ()
    upn_suffixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        as_instance(str, self.realm, "realm")
        for setting in ("netbios_names", "upn_suffixes"):
            object.__setattr__(self, setting, as_texts(getattr(self, setting), setting))
        for name in (self.realm, *self.netbios_names, *self.upn_suffixes):
            if not name.strip() or not name.isprintable() or set(name) & set("\\/@"):
                raise ConfigError(f"{name!r} is no name of a domain")

    def is_known_before_backslash(self, name: str) -> bool:
        r"""Whether DOMAIN in "DOMAIN\alice" is this domain."""
        known = (self.realm, self.realm.partition(".")[0], *self.netbios_names)
        return name.casefold() in map(str.casefold, known)

    def is_realm(self, name: str) -> bool:
        """Whether what stands behind the "@" is the realm itself."""
        return name.casefold() == self.realm.casefold()

    def is_upn_suffix(self, name: str) -> bool:
        """Whether what stands behind the "@" is another suffix of this domain."""
        return name.casefold() in map(str.casefold, self.upn_suffixes)


@dataclass(frozen=True, slots=True)
class AccountName:
    """An account of the home domain, as it was typed.

    Args:
        account: The name without any domain; printable, without "/", "@" and backslash.
        upn_suffix: The suffix that was typed with it, of those that the home domain has beside its
            realm; the KDC is to resolve the whole. None for an account's plain name.
    """

    account: str
    upn_suffix: str | None = None


def parse_account_name(typed: str, home: HomeDomain) -> AccountName:
    r"""Read a typed name: "alice", "DOMAIN\alice" or "alice@suffix".

    Args:
        typed: What was typed; blanks around it are dropped, as telephones add them.
        home: The domain whose accounts are let in.

    Raises:
        LogonDeniedError: It is too long, has a character that no account has, or is of another
            domain. The cause never quotes what was typed: some type their password there.
    """
    name = typed.strip(" ")
    if not name or len(name) > MAX_NAME_CHARACTERS:
        raise LogonDeniedError("the typed name is empty or too long")
    # Control characters and NUL, unpaired surrogates, and what nobody sees.
    if not name.isprintable():
        raise LogonDeniedError("the typed name has unprintable characters")
    domain, backslash, account = name.rpartition("\\")
    if backslash:
        if not home.is_known_before_backslash(domain):
            raise LogonDeniedError("the typed name is of a domain that is not let in")
        return AccountName(_plain(account))
    account, at, suffix = name.partition("@")
    if not at or home.is_realm(suffix):
        return AccountName(_plain(account))
    if home.is_upn_suffix(suffix):
        return AccountName(_plain(account), suffix)
    raise LogonDeniedError("the typed name is of a domain that is not let in")


def _plain(account: str) -> str:
    # A slash would make a service or an administrator's second name of it.
    if not account.strip() or set(account) & set("/@\\"):
        raise LogonDeniedError("the typed name is none that an account has")
    return account


def encode_password(password: str) -> bytes:
    """Read a typed password.

    Raises:
        LogonDeniedError: It is empty, longer than 1 KiB, has a NUL, at which libkrb5 would end it,
            or is no text that UTF-8 can encode.
    """
    try:
        encoded = password.encode()
    except UnicodeEncodeError:
        raise LogonDeniedError("the typed password is not text") from None
    if not encoded or len(encoded) > MAX_PASSWORD_BYTES or b"\0" in encoded:
        raise LogonDeniedError("the typed password is empty, too long, or has a NUL in it")
    return encoded


def fold_account(typed: str) -> str:
    r"""What a typed name is counted by: equal for all ways to type one account.

    Domain, case, width and accents do not tell accounts apart in Active Directory, nor do blanks
    around a name or the "$" of a machine. So these are dropped, and too many names may become one,
    which counts too much; never the other way round. A UPN that differs from the account's plain
    name is counted apart: nobody but the KDC knows that both are one.

    Args:
        typed: What was typed, of any length and content.
    """
    account = typed[: 4 * MAX_NAME_CHARACTERS].rpartition("\\")[2].partition("@")[0]
    apart = unicodedata.normalize("NFKD", account)
    seen = "".join(each for each in apart if not unicodedata.combining(each) and each.isprintable())
    return unicodedata.normalize("NFKC", "".join(seen.casefold().split())).rstrip("$")
