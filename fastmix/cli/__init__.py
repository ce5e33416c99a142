"""The command line: one module a command, each with ``add_parser(subparsers)`` and ``run(arguments)``.

Results go to stdout; progress, notes and errors to stderr.
"""

from fastmix.cli.main import main

__all__ = ["main"]
