"""Questions that source code brings with it: what the docstring of a Python function says that it does."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

MIN_WORDS, MAX_WORDS = 5, 35

_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")
_LINE_END = re.compile(r"\r\n?|\n")


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
    def is_question(self) -> bool:
        """Whether the sentence asks for the function: it is neither a signature nor too short or too long."""
        is_signature = f"{self.name.rpartition('.')[2]}(" in self.sentence
        return not is_signature and MIN_WORDS <= len(self.sentence.split()) <= MAX_WORDS


def documented(text: str) -> Iterator[Documented]:
    """The functions of a Python file that have a docstring and more; none of a text that Python cannot read."""
    line_starts = [0, *(match.end() for match in _LINE_END.finditer(text)), len(text)]

    def place(line: int | None, byte: int | None) -> int:
        start, end = line_starts[(line or 1) - 1 : (line or 1) + 1]
        return start + len(text[start:end].encode()[:byte].decode())

    try:
        with warnings.catch_warnings(action="ignore"):
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two for what is nested too deep
        return
    for name, node in _functions(module):
        docstring = ast.get_docstring(node)
        if docstring is None or len(node.body) < 2:
            continue
        first, second, last = node.body[0], node.body[1], node.body[-1]
        yield Documented(
            name,
            first_sentence(docstring),
            place(node.lineno, node.col_offset),
            (place(first.lineno, first.col_offset), place(first.end_lineno, first.end_col_offset)),
            (place(second.lineno, second.col_offset), place(last.end_lineno, last.end_col_offset)),
            (last.end_lineno or 0) - second.lineno + 1,
        )


def _functions(module: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions in the order of the text, with their names as in ``Class.method``."""
    left: list[tuple[ast.AST, str]] = [(module, "")]
    while left:
        node, owner = left.pop()
        if isinstance(node, _NAMED):
            if not isinstance(node, ast.ClassDef):
                yield f"{owner}{node.name}", node
            owner = f"{owner}{node.name}."
        left += [(child, owner) for child in ast.iter_child_nodes(node)][::-1]


def first_sentence(docstring: str) -> str:
    """The first sentence of the first paragraph of a docstring, on one line."""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return _SENTENCE_END.split(paragraph, maxsplit=1)[0]
