"""Gets a page with tokens of pyspnego: by_pyspnego.py URL CERTIFICATE [bindings]"""

from __future__ import annotations

import hashlib
import ssl
import sys
from pathlib import Path

import spnego
from spnego.channel_bindings import GssChannelBindings
from wire import exchange, open_connection

url, certificate, *mode = sys.argv[1:]
der = ssl.PEM_cert_to_DER_cert(Path(certificate).read_text())
prefix = b"tls-server-end-point:"
bindings = GssChannelBindings(application_data=prefix + hashlib.sha256(der).digest())
initiator = spnego.client(
    hostname="localhost",
    service="HTTP",
    options=spnego.NegotiateOptions.use_negotiate,
    channel_bindings=bindings if mode else None,
)


def step(token: bytes | None) -> bytes | None:
    return None if initiator.complete else initiator.step(token)


print(exchange(open_connection(url, certificate), step))
