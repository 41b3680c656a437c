"""Where in a document something stands, for documents whose lines nobody knows: pages, chapters, cells, sheets."""

from __future__ import annotations

from bisect import bisect_right

Marks = tuple[tuple[int, str], ...]
"""Places of an extracted text: the character at which each begins, ascending, and what it is called: ``p. 12``."""


def place_of(marks: Marks, start_char: int, end_char: int) -> str | None:
    """The place of the characters [start_char, end_char): ``p. 12``, ``p. 12-13``, ``ch. "One" to "Two"``.

    Returns:
        None where they begin before the first mark.
    """
    first = bisect_right(marks, start_char, key=lambda mark: mark[0]) - 1
    if first < 0:
        return None
    last = max(first, bisect_right(marks, max(end_char - 1, start_char), key=lambda mark: mark[0]) - 1)
    begin, end = marks[first][1], marks[last][1]
    if begin == end:
        return begin
    kind, _, name = end.partition(" ")
    if not begin.startswith(f"{kind} "):
        return f"{begin} to {end}"
    return f"{begin}-{name}" if name.isdecimal() else f"{begin} to {name}"
