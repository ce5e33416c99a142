"""Running Python in a process of its own: for what an environment variable, a signal or a fork decides."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import fastmix

PACKAGE = Path(fastmix.__file__).parent


def environment(site=PACKAGE.parent, **changes):
    """This process's environment with fastmix importable from ``site``; a change to None removes a variable."""
    variables = os.environ | {"PYTHONPATH": str(site)} | changes
    return {name: value for name, value in variables.items() if value is not None}


def run_python(code, folder, *options, site=PACKAGE.parent, **changes):
    """The output of a piece of code, which must succeed; the message of a failure is its standard error."""
    finished = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        cwd=folder,
        env=environment(site, **changes),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, f"exit status {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout


@contextmanager
def started(command, **how):
    """A process of its own with pipes, to which Ctrl-C can be sent; ended, if need be, when the context is.

    A process inherits that a signal is ignored, as Ctrl-C is by whatever a shell starts in the background.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def copy_package(folder, with_caches=False):
    """A copy of the package, by default without its caches, as an installation of its own; returns what to put on the path."""
    site = folder / "site"
    left_out = (".*",) if with_caches else ("__pycache__", ".*")
    shutil.copytree(PACKAGE, site / "fastmix", ignore=shutil.ignore_patterns(*left_out))
    return site


def listing(folder):
    """Every file below the folder with its size and time of change: equal listings mean that nothing was written."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }
