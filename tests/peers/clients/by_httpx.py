"""Gets a page with httpx-gssapi: by_httpx.py URL CERTIFICATE [without]"""

from __future__ import annotations

import ssl
import sys

import httpx
from httpx_gssapi import REQUIRED, HTTPSPNEGOAuth

url, certificate, *mode = sys.argv[1:]
auth = None if mode else HTTPSPNEGOAuth(mutual_authentication=REQUIRED)
trust = ssl.create_default_context(cafile=certificate)
with httpx.Client(auth=auth, trust_env=False, verify=trust, timeout=30) as client:
    answer = client.get(url)
    print(answer.status_code, answer.text)
