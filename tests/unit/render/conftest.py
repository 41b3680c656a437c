"""Working contexts to draw, and a way to draw them as plain text."""

import io

import pytest
from rich.console import Console

from mctool.core.records import FocusEntry


def make_entry(lod, start, end, score=0.0, path="a.py"):
    return FocusEntry(lod, start, end, end - start if lod == 0 else 1, score, path, 0, 1)


@pytest.fixture(scope="session")
def entry():
    return make_entry


@pytest.fixture(scope="session")
def tile():
    """Entries of the levels and spans ``(lod, n_tokens, score, path)`` one after the other."""

    def build(*spans):
        entries, reached = [], 0
        for lod, n_tokens, score, path in spans:
            entries.append(make_entry(lod, reached, reached + n_tokens, score, path))
            reached += n_tokens
        return entries

    return build


@pytest.fixture(scope="session")
def draw():
    """Lines of a renderable without colour, their trailing spaces removed."""

    def lines(renderable, width, *, encoding="utf-8", soft_wrap=False):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        console = Console(file=stream, width=width, color_system=None, highlight=False)
        console.print(renderable, soft_wrap=soft_wrap)
        stream.flush()
        text = stream.buffer.getvalue().decode(encoding)
        assert "\x1b" not in text
        return [line.rstrip() for line in text.splitlines()]

    return lines
