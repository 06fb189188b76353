"""Shows a page in Chromium: by_chromium.py PROGRAM PROFILE URL [switches]

The first start that sees a Negotiate challenge only takes note that such things exist; from the
second one on, the browser loads its GSS-API library in time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

LIMIT_S = 60
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
    "--no-proxy-server --disable-background-networking --disable-component-update --disable-sync "
    "--password-store=basic --ignore-certificate-errors"
).split()


def show(program: str, profile: str, url: str, *switches: str) -> str:
    command = [program, *SWITCHES, f"--user-data-dir={profile}", *switches, "--dump-dom", url]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=LIMIT_S)[0]
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


show(*sys.argv[1:])
print(show(*sys.argv[1:]))
