"""Text files, as blocks of rows."""

from __future__ import annotations

from collections.abc import Sequence

from fastmix.files.tables.block import Block, Blocks
from fastmix.files.tables.layout import Layout, layout_of
from fastmix.files.tables.lines import open_text
from fastmix.files.tables.parsing import Parser
from fastmix.files.tables.reading import Reading
from fastmix.files.tables.selection import select

__all__ = ["read_text"]


def read_text(path: str, reading: Reading, expected: Sequence[str] | None, is_tsv: bool) -> Blocks:
    """The rows of a text file, or of stdin for ``-``, piece by piece, each with the columns that were chosen.

    Raises
    ------
    ValueError : for the first cell or line that is not as it should be.
    OSError : if the file cannot be read.
    """
    with open_text(path, reading.encoding) as pieces:
        layout: Layout | None = None
        line = 1
        for piece in pieces:
            text = piece.text
            if layout is None:
                layout = layout_of(path, text, reading, is_tsv)
                if layout is None:
                    line += text.count(b"\n")
                    continue
                selection = select(path, layout.names, layout.n_columns, reading, expected)
                parser = Parser(layout, selection, reading)
                line += layout.first_line - 1
                text = text[layout.begin :]
            if text.strip():
                found = parser(text, line)
                n = len(selection.features)
                weights = None if selection.weights is None else found.numbers[:, n]
                yield selection, Block(found.numbers[:, :n], weights, found.labels, share=piece.share)
            line += text.count(b"\n")
