"""Parse the arguments, run the command, turn every failure into one line on stderr and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from fastmix.cli import demo, fit, hmm, impute, info, kmeans, output, predict, profile, sample, score

__all__ = ["main"]

_OK, _CLOSED_PIPE, _BAD_INPUT, _INTERRUPTED, _TERMINATED = 0, 1, 2, 130, 143


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints look like every other error of the command line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see '{self.prog} --help'")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; by default the process's own.

    Returns
    -------
    int
        The exit status: 0 done, 1 stdout was closed by its reader, 2 bad input or usage, 130 interrupted by Ctrl-C,
        143 by SIGTERM.
    """
    output.open_missing_streams()
    with warnings.catch_warnings(), _termination() as terminated:
        # Whatever the interpreter's filters are, a warning is one line here and never an error half-way.
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.showwarning = output.show_warning
        try:
            arguments = _build_parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
            arguments.run(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            status = _CLOSED_PIPE
        except KeyboardInterrupt:
            output.note("terminated" if terminated.is_set() else "interrupted")
            status = _TERMINATED if terminated.is_set() else _INTERRUPTED
        except (ValueError, OSError, MemoryError) as error:
            output.note(f"error: {output.one_line(error)}")
            status = _BAD_INPUT
        except SystemExit as finished:  # argparse's way out of --help and --version
            status = int(finished.code or 0)
        else:
            return _OK
    output.abandon_unwritten()
    return status


@contextlib.contextmanager
def _termination() -> Iterator[threading.Event]:
    """While the block runs, SIGTERM ends it as Ctrl-C does, and sets the event: what is kept then is kept in either case."""
    terminated = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there may signals be handled
        yield terminated
        return

    def interrupt(*_: Any) -> NoReturn:
        terminated.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt) or signal.SIG_DFL
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, before)


def _joined(argv: Sequence[str]) -> list[str]:
    """The arguments with ``--na-values=-99,x`` in place of two: argparse takes what begins with a hyphen for an option."""
    found: list[str] = []
    for argument in argv:
        if found and found[-1] == "--na-values":
            found[-1] += f"={argument}"
        else:
            found.append(argument)
    return found


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastmix",
        description="Fit mixture models by expectation-maximisation on millions of rows.",
        epilog="DATA is a .npy file (memory-mapped), a text, parquet or Arrow file (read once, into a temporary file of numbers "
        "where it is large), or dataset:NAME for a bundled data set.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (fit, kmeans, hmm, predict, score, impute, sample, info, profile, demo):
        command.add_parser(commands)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from fastmix._version import __version__

        print(f"fastmix {__version__}")
        parser.exit()
