from authsrv.cli.main import main

raise SystemExit(main())
