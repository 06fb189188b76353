"""`python -m authsrv` is the command `authsrv`."""

from authsrv.cli.main import main

raise SystemExit(main())
