from authsrv.cli import main

raise SystemExit(main())
