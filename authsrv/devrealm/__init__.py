"""A throw-away MIT realm on this machine, for development and for tests.

A `Realm` is a real KDC with users, services and a keytab, alive as long as a ``with`` block::

    with Realm(services=("HTTP/localhost",), users=("alice",)) as realm:
        realm.login("alice")
        environment = {**os.environ, **realm.environment()}
        subprocess.run(["curl", "--negotiate", "-u:", url], env=environment)

It needs no root, listens on 127.0.0.1 only, and leaves nothing behind: neither the process nor the
folder, also if the program that started it is killed. It is synchronous and blocks: start it
outside an event loop, or in a thread. Do not use it for anything but development and tests.

Why not k5test: that is one more dependency, its KDC listens on every interface, its ports are
counted up from a fixed number, so that realms of parallel test processes meet, and it serves
`unittest`. This package drives the programs of MIT krb5 itself (``kdb5_util``, ``kadmin.local``,
``krb5kdc``, ``kinit``, ``kvno``). It needs nothing but the standard library, takes ports that are
free, and works from a command line: ``authsrv realm run -- COMMAND``. Debian has the programs in
``krb5-kdc``, ``krb5-admin-server`` and ``krb5-user``, and what makes a KDC's clock wrong in
``libfaketime``.
"""

from __future__ import annotations

from authsrv.devrealm.database import AccountMark
from authsrv.devrealm.errors import MissingProgramError, ProgramError, RealmError
from authsrv.devrealm.keytab import EncryptionType
from authsrv.devrealm.realm import Realm

__all__ = [
    "AccountMark",
    "EncryptionType",
    "MissingProgramError",
    "ProgramError",
    "Realm",
    "RealmError",
]
