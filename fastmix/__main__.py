"""``python -m fastmix`` is the command line."""

import sys

from fastmix.cli.main import main

sys.exit(main())
