"""Which functions and classes a stretch of source code belongs to, told by its lines alone.

A definition goes on until a line that is indented no deeper than its own: right for Python, and for languages with
braces as they are usually laid out. Broken code, and languages that no parser is at hand for, are read all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_DEFINITION = re.compile(
    r"(?P<indent>[ \t]*)(?:(?:export|default|public|private|protected|internal|static|async|pub(?:\([^)]*\))?|final"
    r"|abstract|unsafe|inline|virtual|override|extern|const)\s+)*"
    r"(?:(?P<function>def|fn|func|function|macro_rules!)|class|interface|struct|enum|trait|impl|type|module)"
    r"(?:<[^>]*>)?\s+"
    r"(?:\([^)]*\)\s*)?(?P<name>[^\W\d]\w*)"
)


class _Definition(NamedTuple):
    indent: int
    name: str
    is_function: bool


class DefinedLine(NamedTuple):
    """A line, characters [start, end) of a text, and the names of what it belongs to, as in ``Class.method``."""

    start: int
    end: int
    names: list[str]


def defined_lines(text: str, start: int) -> Iterator[DefinedLine]:
    """The lines that end after a character, and what each belongs to: the innermost definition, and functions around.

    Args:
        text: Source code, from its first character.
        start: The character.
    """
    open_definitions: list[_Definition] = []
    place = 0
    for line in text.splitlines(keepends=True):
        code = line.strip()
        if code and code[0] not in "#}])/*":  # comments and closing brackets end no definition
            indent = len(line) - len(line.lstrip())
            while open_definitions and open_definitions[-1].indent >= indent:
                open_definitions.pop()
            if match := _DEFINITION.match(line):
                open_definitions.append(_Definition(indent, match["name"], bool(match["function"])))
        begin, place = place, place + len(line)
        if place > start:
            names = [
                ".".join(outer.name for outer in open_definitions[:n])
                for n, one in enumerate(open_definitions, 1)
                if one.is_function or n == len(open_definitions)
            ]
            yield DefinedLine(begin, place, names)
