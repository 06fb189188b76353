from __future__ import annotations

import sys

# These speak to an SSPI of Windows, or of Wine; on other systems there is nothing to collect.
collect_ignore = [] if sys.platform == "win32" else ["test_wine_sspi.py"]
