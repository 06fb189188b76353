"""Help for the tests of applications that use authsrv.

`authsrv.testing.fixtures` is a pytest plugin; it is the only module here that needs pytest.
"""

from __future__ import annotations

__all__: list[str] = []
