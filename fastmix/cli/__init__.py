"""The command line: one module a command, each with ``add_parser(subparsers)`` and ``run(arguments)``.

Results go to stdout; progress, notes and errors to stderr. The entry point is ``fastmix.cli.main:main``.
"""
