"""Lines of a document, as the tree holds them."""

from __future__ import annotations

from dataclasses import dataclass

from mctool.core.errors import UsageError
from mctool.core.records import Record
from mctool.sources.names import matches
from mctool.tree import Document, Tree

MOST_LINES = 400
"""Of one reading."""


@dataclass(frozen=True)
class DocumentLines(Record):
    """Lines of a document: counted from 1, both ends inclusive; ``lines`` is the number that the document has."""

    path: str
    start_line: int
    end_line: int
    lines: int
    text: str


def read_lines(tree: Tree, path: str, start_line: int, end_line: int) -> DocumentLines:
    """Lines of a document; what lies beyond its last line is left out.

    Args:
        tree: The tree that holds it.
        path: Its path, or an end of it that no other document has.
        start_line: From 1.
        end_line: Inclusive.

    Raises:
        UsageError: There is no such document or line, or they are too many.
    """
    if not 1 <= start_line <= end_line:
        raise UsageError(f"lines {start_line} to {end_line} are no range of lines", "lines count from 1")
    if end_line - start_line >= MOST_LINES:
        raise UsageError(f"{end_line - start_line + 1} lines are too many to read", f"read {MOST_LINES} at a time")
    document = _find(tree, path)
    lines = tree.text(document.first_block, document.end_block).split("\n")
    if not lines[-1]:
        lines.pop()  # the end of the last line begins no line
    if start_line > len(lines):
        raise UsageError(f"{document.path} has {len(lines)} lines, none is {start_line}")
    end_line = min(end_line, len(lines))
    text = "\n".join(lines[start_line - 1 : end_line])
    return DocumentLines(document.path, start_line, end_line, len(lines), text)


def _find(tree: Tree, path: str) -> Document:
    exact = [document for document in tree.documents if document.path == path]
    found = exact or [document for document in tree.documents if matches(document.path, path)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"the tree holds no document {path}", "`mctool inspect` lists them")
    raise UsageError(f"{len(found)} documents match {path}", f"write more of the path, as in {found[0].path}")
