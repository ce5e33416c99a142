"""``python -m fastmix`` is the command line."""

import sys

from fastmix.cli import main

sys.exit(main())
