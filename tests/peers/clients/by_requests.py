"""Gets a page with requests-gssapi: by_requests.py URL CERTIFICATE [bindings|without]"""

from __future__ import annotations

import sys

import requests
from requests_gssapi import REQUIRED, HTTPSPNEGOAuth

url, certificate, *mode = sys.argv[1:]
bindings = "tls-server-end-point" if mode == ["bindings"] else None
auth = HTTPSPNEGOAuth(mutual_authentication=REQUIRED, channel_bindings=bindings)
with requests.Session() as session:
    session.trust_env = False
    session.verify = certificate
    answer = session.get(url, auth=None if mode == ["without"] else auth, timeout=30)
    print(answer.status_code, answer.text)
