"""The development realm itself."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Self

from authsrv.devrealm.ccache import write_clock_offset
from authsrv.devrealm.clients import fetch_ticket, log_in, log_in_anonymously
from authsrv.devrealm.database import AccountMark, check_principal
from authsrv.devrealm.errors import RealmError
from authsrv.devrealm.installation import Installation, install
from authsrv.devrealm.keytab import EncryptionType, Key

__all__ = ["Realm"]

_NAME = re.compile(r"[A-Z0-9][A-Z0-9.-]*")

_HOUR_S = 3600
_SHORT_LIFE_S = 300
_MOST_SKEW_S = 23 * _HOUR_S


class Realm:
    """A throw-away MIT realm with a real KDC; for development and tests only.

    A context manager: the KDC runs, and the files exist, as long as the block. All calls block, for
    some 10 ms each. One realm must not be used from several threads at once; any number of realms
    can run at once.

    Args:
        name: The realm's name, in capital letters.
        services: Services as "class/host"; the keytab has their keys.
        users: Names of users, without the realm; each gets a random password (see `password`).
        clock_offset_s: By how many seconds the KDC's clock is ahead of the machine's; negative for
            behind. What is not 0 needs libfaketime. Clients follow the KDC's clock.
        configuration: What else stands in krb5.conf, in its format; it wins over what is there.

    Raises:
        RealmError: A name is not of the form that it must have.
    """

    def __init__(
        self,
        name: str = "AUTHSRV.TEST",
        services: Iterable[str] = ("HTTP/localhost",),
        users: Iterable[str] = ("alice",),
        clock_offset_s: int = 0,
        configuration: str = "",
    ) -> None:
        if not _NAME.fullmatch(name):
            raise RealmError(f"{name!r} is no name for a development realm")
        self.name = name
        self._services = [_check_service(service) for service in services]
        self._passwords = {check_principal(user): _new_password() for user in users}
        self._options = clock_offset_s, configuration
        self._cleanup = contextlib.ExitStack()
        self._state: Installation | None = None

    def __enter__(self) -> Self:
        if self._state is not None:
            raise RealmError(f"the realm {self.name} is running already")
        realm = install(self.name, self._services, self._passwords, *self._options)
        self._state = self._cleanup.enter_context(realm)
        return self

    def __exit__(self, *_: object) -> None:
        self._state = None
        self._cleanup.close()

    def __repr__(self) -> str:
        return f"<Realm {self.name} {'stopped' if self._state is None else 'running'}>"

    @property
    def keytab(self) -> Path:
        """A keytab with the keys that the services had at the start.

        Raises:
            RealmError: The realm is not running.
        """
        return self._running.layout.keytab

    def environment(self, user: str | None = None) -> dict[str, str]:
        """The variables that put a program into the realm, as client and as acceptor.

        They name files that belong to the realm: configuration, credential cache, keytab, replay
        cache. The C library reads them when a context is made.

        Args:
            user: Whose credential cache it is to be; the first user's if it is not given.

        Returns:
            KRB5_CONFIG, KRB5_KDC_PROFILE, KRB5CCNAME, KRB5_KTNAME, KRB5_CLIENT_KTNAME and
            KRB5RCACHEDIR.

        Raises:
            RealmError: The realm is not running, or there is no such user.
        """
        cache = self._credential_cache(next(iter(self._passwords), "") if user is None else user)
        layout = self._running.layout
        return {
            **self._running.clock.environment,
            "KRB5CCNAME": f"FILE:{cache}",
            "KRB5_KTNAME": f"FILE:{layout.keytab}",
            "KRB5_CLIENT_KTNAME": f"FILE:{layout.nothing}",
            "KRB5RCACHEDIR": str(layout.replay_caches),
        }

    def password(self, user: str) -> str:
        """A user's password, for clients that want one.

        Raises:
            RealmError: There is no such user.
        """
        try:
            return self._passwords[user]
        except KeyError:
            raise RealmError(f"the realm {self.name} has no user {user!r}") from None

    def add_user(self, name: str, password: str | None = None) -> None:
        """Add a user.

        Args:
            name: The user's name without the realm.
            password: Without control characters; a random one if it is not given.

        Raises:
            ProgramError: There is such a user already.
            RealmError: The realm is not running, or the name or the password is not usable.
        """
        chosen = _new_password() if password is None else password
        self._running.database.add({name: chosen}, ())
        self._passwords[name] = chosen

    def mark_user(self, name: str, mark: AccountMark) -> None:
        """Make something wrong with a user's account.

        Raises:
            RealmError: The realm is not running, or there is no such user.
        """
        self.password(name)  # it refuses strangers
        self._running.database.mark(name, mark)

    def rekey_user(self, name: str, *, enctypes: Collection[EncryptionType]) -> None:
        """Give a user keys of these types alone; the password stays as it is.

        Raises:
            RealmError: The realm is not running, or there is no such user.
        """
        self._running.database.set_password(name, self.password(name), enctypes)

    def add_service(self, name: str) -> None:
        """Add a service, "class/host". `keytab` stays as it is: `write_keytab` writes the new keys.

        Raises:
            ProgramError: There is such a service already.
            RealmError: The realm is not running, or the name is not usable.
        """
        self._running.database.add({}, [_check_service(name)])
        self._services.append(name)
        self._running.serve_hosts(self._services)

    def rotate_key(self, service: str, *, enctypes: Collection[EncryptionType] = ()) -> int:
        """Give a service new keys, which the KDC uses from now on; keytabs stay as they are.

        Tickets that clients have already are encrypted with the old keys: `forget_tickets`.

        Returns:
            The version of the new keys, which are of the usual types if none is given.

        Raises:
            ProgramError: There is no such service.
            RealmError: The realm is not running.
        """
        return self._running.database.rotate(service, enctypes)

    def drop_old_keys(self, service: str) -> None:
        """Drop all keys of a service, or of "krbtgt/REALM", but the newest.

        Raises:
            ProgramError: There is no such service.
            RealmError: The realm is not running.
        """
        self._running.database.purge(service)

    def write_keytab(
        self,
        path: Path,
        services: Iterable[str],
        *,
        enctypes: Collection[EncryptionType] = (),
        kvnos: Collection[int] = (),
    ) -> Path:
        """Write keys of services, old ones and new ones, to a keytab. The keys do not change.

        Without `enctypes` those of all types are written, without `kvnos` those of all versions. A
        file that is there is replaced at once, by renaming.

        Returns:
            The path.

        Raises:
            ProgramError: There is no such service, or the file cannot be written.
            RealmError: The realm is not running, or no key is of these types and versions.
        """
        numbers = {enctype.number for enctype in enctypes}

        def wanted(key: Key) -> bool:
            right_type = not numbers or key.enctype in numbers
            return right_type and (not kvnos or key.kvno in kvnos)

        self._running.write_keytab(path, services, wanted)
        return path

    def login(self, user: str, *, lifetime_s: int | None = None, forwardable: bool = False) -> Path:
        """Get a user a fresh ticket-granting ticket; whatever tickets the user had are dropped.

        Args:
            user: A user of the realm.
            lifetime_s: How long the ticket lives; a day if it is not given.
            forwardable: Whether clients can delegate it to a service.

        Returns:
            The user's credential cache.

        Raises:
            ProgramError: The KDC refused.
            RealmError: The realm is not running, or there is no such user.
        """
        cache, password = self._credential_cache(user), self.password(user)
        clock = self._running.clock
        log_in(clock, cache, user, password, lifetime_s=lifetime_s, forwardable=forwardable)
        return cache

    def ticket(self, user: str, service: str) -> int:
        """Get a user who is logged in a ticket for a service, into the credential cache.

        Returns:
            The version of the key that the ticket is encrypted with.

        Raises:
            ProgramError: The user is not logged in, or there is no such service.
            RealmError: The realm is not running, or there is no such user.
        """
        cache = self._credential_cache(user)
        return fetch_ticket(self._running.clock, cache, check_principal(service))

    def anonymous_login(self) -> Path:
        """Log in anonymously, as `kinit -n` does. The realm needs the user WELLKNOWN/ANONYMOUS.

        Returns:
            A credential cache.

        Raises:
            ProgramError: The KDC refused: see authsrv.devrealm.pkinit for what it needs.
            RealmError: The realm is not running.
        """
        cache = self._running.layout.credential_cache("nobody")
        log_in_anonymously(self._running.clock, cache)
        return cache

    def configure(self, configuration: str) -> None:
        """Put more into krb5.conf, in place of what was put there before; the KDC runs on as it is.

        It wins over what else is there.

        Raises:
            RealmError: The realm is not running.
        """
        self._running.configure(configuration, self._services)

    def trust(self, other: Realm) -> None:
        """Let users of another realm get tickets for the services of this one.

        The clients of the other learn where this realm's KDC is; what else was put into the other's
        krb5.conf is gone.

        Raises:
            ProgramError: It trusts that realm already.
            RealmError: One of them is not running.
        """
        password = _new_password()
        for realm in (self, other):
            realm._running.database.add_trust(self.name, other.name, password)
        port = self._running.port
        other.configure(f"[realms]\n {self.name} = {{\n  kdc = 127.0.0.1:{port}\n }}")

    def forget_tickets(self, user: str) -> None:
        """Log a user out, if logged in.

        Raises:
            RealmError: The realm is not running, or there is no such user.
        """
        self._credential_cache(user).unlink(missing_ok=True)

    def set_clock_skew(self, cache: Path, seconds: int) -> None:
        """Make clients that use a credential cache believe that the machine's clock is wrong.

        MIT's clients add the offset in the cache to the machine's time, for all they do. The KDC
        refuses them, too, so get the service's `ticket` before. With a negative offset they hold
        that ticket for not yet valid, and send nothing. `skewed_login` takes care of both.

        Args:
            cache: A credential cache that `login` made.
            seconds: What clients add to the machine's time.

        Raises:
            RealmError: There is no such cache.
        """
        write_clock_offset(cache, seconds)

    def skewed_login(self, user: str, seconds: int) -> Path:
        """Log a user in whose clock is wrong, while the tickets are good.

        The cache has a ticket for each service of the realm. MIT's acceptor refuses them with
        KRB_AP_ERR_SKEW (37) when `seconds` is more than 300 either way, and only then.

        Args:
            user: A user of the realm.
            seconds: By how much the user's clock is ahead, up to 82,800 (23 hours, for the tickets
                live 24); negative for behind, which needs libfaketime.

        Returns:
            The user's credential cache.

        Raises:
            MissingProgramError: libfaketime is needed, and not installed.
            ProgramError: A KDC with that clock does not start, or refuses.
            RealmError: The realm is not running, there is no such user, or it is too much.
        """
        if abs(seconds) > _MOST_SKEW_S:
            raise RealmError(f"a clock cannot be wrong by more than {_MOST_SKEW_S} seconds here")
        # A clock that is behind needs tickets as old as it is. One that is ahead must not have
        # tickets from a KDC that is ahead, too: those are not yet valid, which is another error.
        cache = self._login_at(min(seconds, 0), user)
        write_clock_offset(cache, seconds)
        return cache

    def expired_login(self, user: str) -> Path:
        """Log a user in with tickets that have expired, for each service of the realm.

        They come from a KDC whose clock is an hour behind, and lived five minutes. The client
        follows that clock, so it uses them. MIT's acceptor looks at the ticket's times before it
        looks at the client's clock, so it answers KRB_AP_ERR_TKT_EXPIRED (32), not a clock skew.

        Returns:
            The user's credential cache.

        Raises:
            MissingProgramError: libfaketime is not installed.
            ProgramError: A KDC with that clock does not start, or refuses.
            RealmError: The realm is not running, or there is no such user.
        """
        return self._login_at(-_HOUR_S, user, _SHORT_LIFE_S)

    def premature_login(self, user: str) -> Path:
        """Log a user in with tickets whose life has not begun, for each service of the realm.

        They come from a KDC whose clock is an hour ahead. MIT's acceptor answers
        KRB_AP_ERR_TKT_NYV (33).

        Returns:
            The user's credential cache.

        Raises:
            MissingProgramError: libfaketime is not installed.
            ProgramError: A KDC with that clock does not start, or refuses.
            RealmError: The realm is not running, or there is no such user.
        """
        return self._login_at(_HOUR_S, user)

    @property
    def _running(self) -> Installation:
        if self._state is None:
            raise RealmError(f"the realm {self.name} is not running")
        return self._state

    def _credential_cache(self, user: str) -> Path:
        self.password(user)  # it refuses strangers
        return self._running.layout.credential_cache(user)

    def _login_at(self, offset_s: int, user: str, lifetime_s: int | None = None) -> Path:
        # The realm's own KDC gives no tickets to clients that live in another time, so they get
        # all of them here.
        cache = self._credential_cache(user)
        with self._running.run_clock(offset_s, self._services) as clock:
            log_in(clock, cache, user, self.password(user), lifetime_s=lifetime_s)
            for service in self._services:
                fetch_ticket(clock, cache, service)
        return cache


def _check_service(name: str) -> str:
    if "/" not in check_principal(name):
        raise RealmError(f"{name!r} is no service: it must be class/host")
    return name


def _new_password() -> str:
    return secrets.token_urlsafe(12)
