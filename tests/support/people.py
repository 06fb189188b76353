"""The people who come to a server of the tests."""

from __future__ import annotations

from dataclasses import dataclass

from serving import clean_environment

from authsrv.devrealm import Realm

__all__ = ["Person", "appear"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who uses a client.

    Args:
        principal: The name in the realm.
        environment: What puts a client into the person's hands.
    """

    principal: str
    environment: dict[str, str]


def appear(realm: Realm, user: str) -> Person:
    """Add a user to a realm, who has not logged in yet."""
    realm.add_user(user)
    variables = realm.environment(user)
    # A client has no business with the service's keys.
    del variables["KRB5_KTNAME"]
    return Person(f"{user}@{realm.name}", clean_environment(variables))
