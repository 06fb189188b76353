"""`authsrv serve`, as a proxy asks it; its log has no line for each request that is let in.

usage: service_server.py CONFIG
"""

from __future__ import annotations

import logging
import sys

from authsrv.cli.main import main

if __name__ == "__main__":
    # A line for each request would be measured too; its peers write none.
    logging.getLogger("authsrv.audit").setLevel(logging.WARNING)
    sys.exit(main(["serve", "--config", sys.argv[1]]))
