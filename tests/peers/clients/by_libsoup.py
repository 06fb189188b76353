"""Gets a page with libsoup 3, by the system's Python: by_libsoup.py URL CERTIFICATE"""

import sys

import gi

gi.require_version("Soup", "3.0")
from gi.repository import Gio, Soup  # noqa: E402

url, certificate = sys.argv[1:]
session = Soup.Session(timeout=30, proxy_resolver=None)
session.add_feature_by_type(Soup.AuthNegotiate)
session.set_tls_database(Gio.TlsFileDatabase.new(certificate))
message = Soup.Message.new("GET", url)
body = session.send_and_read(message, None)
print(int(message.get_status()), body.get_data().decode())
