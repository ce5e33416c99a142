"""What README shows runs as it stands."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)


def fenced_blocks(text):
    """(language, content) of each fenced block."""
    return FENCE.findall(text)


def python_blocks():
    return [content for language, content in fenced_blocks(README.read_text()) if language == "python"]


def test_readme_has_python_blocks():
    assert python_blocks()


def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A block may go on from the ones before it, as a reader does.
    names = {"__name__": "__main__"}
    for number, content in enumerate(python_blocks(), 1):
        exec(compile(content, f"{README.name}, python block {number}", "exec"), names)


def test_the_page_of_families_runs():
    page = README.parent / "docs" / "families.md"
    blocks = [content for language, content in fenced_blocks(page.read_text()) if language == "python"]
    assert blocks
    names = {}
    for number, content in enumerate(blocks, 1):
        exec(compile(content, f"{page.name}, python block {number}", "exec"), names)
    counts, fit = names["counts"], names["fit"]
    assert round(names["model"].score(names["answers"], sample_weight=names["n"]), 6) == -2.660297
    assert (round(fit.g_squared, 2), fit.degrees_of_freedom) == (34.68, 20)
    assert round(names["two"].bic(counts), 2) == 734.76


def test_two_commands_are_two_fenced_lines():
    section = re.search(r"^## Two commands\n(.*?)(?=^## |\Z)", README.read_text(), re.MULTILINE | re.DOTALL)
    assert section, "README has no section 'Two commands'"
    blocks = fenced_blocks(section[1])
    assert len(blocks) == 2
    for language, content in blocks:
        assert language in ("sh", "bash", "shell", "console")
        assert len(content.splitlines()) == 1
        assert not content.startswith("$")
