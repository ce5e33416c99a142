"""What docs/incomplete.md shows runs as it stands, and prints what it says."""

import contextlib
import io
from pathlib import Path

from test_readme import fenced_blocks

PAGE = Path(__file__).parents[1] / "docs" / "incomplete.md"


def test_examples_print_what_follows_them():
    blocks = fenced_blocks(PAGE.read_text(encoding="utf-8"))
    assert [language for language, _ in blocks] == len(blocks) // 2 * ["python", "text"]
    names = {"__name__": "__main__"}
    for number, ((_, code), (_, shown)) in enumerate(zip(blocks[::2], blocks[1::2], strict=True), 1):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, f"{PAGE.name}, python block {number}", "exec"), names)
        assert printed.getvalue() == shown
