"""Questions that source code brings with it: what the docstring of a Python function says that it does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

MIN_WORDS, MAX_WORDS = 5, 35
MIN_LINES, MAX_LINES = 4, 150

_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


@dataclass(frozen=True)
class Documented:
    """A function with a docstring and more; all places in characters of the text.

    Attributes:
        name: As in ``Class.method``.
        sentence: The first one of the docstring.
        start: Where its definition begins.
        docstring: Half-open range.
        body: Half-open range of what comes after the docstring.
        body_lines: Lines of that.
    """

    name: str
    sentence: str
    start: int
    docstring: tuple[int, int]
    body: tuple[int, int]
    body_lines: int

    @property
    def is_asked(self) -> bool:
        """Whether the sentence makes a question: a sentence, no signature, about a function that does something."""
        if f"{self.name.rpartition('.')[2]}(" in self.sentence:
            return False
        n_words = len(self.sentence.split())
        return MIN_WORDS <= n_words <= MAX_WORDS and MIN_LINES <= self.body_lines <= MAX_LINES


def documented(text: str) -> Iterator[Documented]:
    """The functions of a Python file that have a docstring and more.

    Raises:
        SyntaxError: It is not Python.
    """
    lines = text.split("\n")  # not splitlines, which knows more line ends than Python's grammar
    line_starts = [0, *accumulate(len(line) + 1 for line in lines)]

    def place(line: int, byte: int) -> int:
        return line_starts[line - 1] + len(lines[line - 1].encode()[:byte].decode())

    for name, node in _functions(ast.parse(text)):
        docstring = ast.get_docstring(node)
        if docstring is None or len(node.body) < 2:
            continue
        first, second, last = node.body[0], node.body[1], node.body[-1]
        yield Documented(
            name,
            first_sentence(docstring),
            place(node.lineno, node.col_offset),
            (place(first.lineno, first.col_offset), place(first.end_lineno or 0, first.end_col_offset or 0)),
            (place(second.lineno, second.col_offset), place(last.end_lineno or 0, last.end_col_offset or 0)),
            (last.end_lineno or 0) - second.lineno + 1,
        )


def _functions(node: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions with their names as in ``Class.method``."""
    for child in ast.iter_child_nodes(node):
        name = f"{owner}{child.name}" if isinstance(child, _NAMED) else ""
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        yield from _functions(child, f"{name}." if name else owner)


def first_sentence(docstring: str) -> str:
    """The first sentence of the first paragraph of a docstring, on one line."""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return _SENTENCE_END.split(paragraph, maxsplit=1)[0]
