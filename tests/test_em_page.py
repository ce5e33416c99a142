"""What docs/em.md shows runs as it stands, comes to the numbers known, and its own checks hold."""

from pathlib import Path

import pytest
from test_readme import fenced_blocks

PAGE = Path(__file__).parents[1] / "docs" / "em.md"


def test_the_code_of_the_page_runs(capsys):
    blocks = [code for language, code in fenced_blocks(PAGE.read_text(encoding="utf-8")) if language == "python"]
    names = {}
    for number, code in enumerate(blocks, 1):
        exec(compile(code, f"{PAGE.name}, python block {number}", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert float(printed[0]) == pytest.approx(0.626821)
    assert printed[1] == "[0.7968 0.5196] -31.5702"
    assert printed[-1] == "m_step"
