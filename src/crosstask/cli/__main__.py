"""`python -m crosstask.cli`."""

import sys

from crosstask.cli.main import main

sys.exit(main())
