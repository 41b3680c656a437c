"""What a reader gives: text with marks, or the reason why there is none."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mctool.core.places import Marks

MAX_CHARS = 64_000_000
"""Most characters that are extracted from one file."""

BEFORE_FIRST = "start"
"""The place of what comes before the first mark, where there are any."""

_LABEL_CHARS = 80
_NOT_CHARACTERS = re.compile("[\0\ud800-\udfff]")


class UnreadableError(Exception):
    """A file that its reader cannot open: damaged, encrypted, or beyond the bounds."""


@dataclass(frozen=True)
class Extracted:
    """The text of a document, and its places: see :data:`mctool.core.places.Marks`."""

    text: str
    marks: Marks


class TextBuilder:
    """Text that grows from start to end, with marks on the way."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._marks: list[tuple[int, str]] = []
        self.n_chars = 0

    def add(self, text: str) -> None:
        """Append text.

        Raises:
            UnreadableError: There is too much of it.
        """
        self.n_chars += len(text)
        if self.n_chars > MAX_CHARS:
            raise UnreadableError(f"it holds more than {MAX_CHARS:,} characters of text")
        self._parts.append(text)

    def mark(self, label: str) -> None:
        """Say how the place is called that begins here; the later of two marks at one place holds."""
        if self._marks and self._marks[-1][0] == self.n_chars:
            self._marks.pop()
        if not self._marks or self._marks[-1][1] != label:
            self._marks.append((self.n_chars, label))

    def result(self) -> Extracted:
        """All of it; code points that are no characters are replaced one by one, so that marks stay right."""
        before = [(0, BEFORE_FIRST)] if self._marks and self._marks[0][0] else []
        return Extracted(_NOT_CHARACTERS.sub("\ufffd", "".join(self._parts)), (*before, *self._marks))


def quoted(name: str) -> str:
    """A name for a label: on one line, in quotes, shortened when it is long."""
    name = " ".join(name.split())
    return f'"{name}"' if len(name) <= _LABEL_CHARS else f'"{name[: _LABEL_CHARS - 1]}…"'
