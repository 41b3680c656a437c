"""Which functions and classes a stretch of source code belongs to, told by its lines alone.

A definition goes on until a line that is indented no deeper than its own: right for Python, and for languages with
braces as they are usually laid out. Broken code, and languages that no parser is at hand for, are read all the same.
"""

from __future__ import annotations

import re

_DEFINITION = re.compile(
    r"(?P<indent>[ \t]*)(?:(?:export|default|public|private|protected|internal|static|async|pub(?:\([^)]*\))?|final"
    r"|abstract|unsafe|inline|virtual|override|extern|const)\s+)*"
    r"(?:def|class|fn|func|function|interface|struct|enum|trait|impl|type|module|macro_rules!)(?:<[^>]*>)?\s+"
    r"(?:\([^)]*\)\s*)?(?P<name>[^\W\d]\w*)"
)


def definitions_around(text: str, start: int, end: int) -> list[str]:
    """Names of the definitions to which the lines of a stretch belong, inner and outer ones.

    Args:
        text: Source code.
        start: First character of the stretch.
        end: One past the last.

    Returns:
        Each once, as in ``Class`` and ``Class.method``, in order of appearance; none for lines outside any definition.
    """
    found: dict[str, None] = {}
    open_definitions: list[tuple[int, str]] = []
    place = 0
    for line in text[:end].splitlines(keepends=True):
        code = line.strip()
        if code and code[0] not in "#}])/*":  # comments and closing brackets end no definition
            indent = len(line) - len(line.lstrip())
            while open_definitions and open_definitions[-1][0] >= indent:
                open_definitions.pop()
            if match := _DEFINITION.match(line):
                open_definitions.append((indent, match["name"]))
        place += len(line)
        if place > start:
            names = [name for _, name in open_definitions]
            found |= {".".join(names[: n + 1]): None for n in range(len(names))}
    return list(found)
