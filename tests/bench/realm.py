"""provisional"""

from __future__ import annotations
import sys
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, "/tmp/x")


@contextmanager
def open_realm(folder):
    from realm0 import run

    p, env = run(str(folder / "realm"))
    try:
        yield env, folder / "realm" / "kt"
    finally:
        p.terminate()
        p.wait()
