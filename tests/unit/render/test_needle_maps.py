import importlib.util
import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from mctool.render.needle import needle_maps

ROWS = [
    {"tokens": tokens, "depth": depth, "opened": 1.0, "correct": correct, "kind": kind, "n": 2, "rag_correct": None}
    for kind in ("pass-key", "fact")
    for tokens, depth, correct in ((4000, 0.0, 1.0), (4000, 50.0, 0.5), (128_000, 0.0, 0.0), (128_000, 50.0, 1.0))
]


def drawn(rows, width=80):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    for table in needle_maps(rows, "a [b]book[/b]"):
        console.print(table)
    return console.file.getvalue()


def test_the_map_reads_without_colour():
    text = drawn(ROWS)
    assert "pass-key: 62 % answered right, 100 % opened, 8 needles in a [b]book[/b]" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["depth", "4,000", "128,000"] in lines
    assert ["0", "%", "█████", "100/100", "░░░░░", "0/100"] in lines
    assert ["50", "%", "██░░░", "50/100", "█████", "100/100"] in lines


def test_ordinary_retrieval_stands_in_the_title():
    rows = [row | {"rag_correct": 0.25} for row in ROWS]
    assert "pass-key: 62 % answered right, from BM25 chunks 25 %, 100 % opened" in drawn(rows, width=100)


def test_it_fits_a_narrow_terminal():
    assert max(len(line.rstrip()) for line in drawn(ROWS, width=60).splitlines()) <= 60


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
def test_the_picture_says_the_same(tmp_path):
    from mctool.render.needle_plot import plot_needle

    file = tmp_path / "needle.svg"
    plot_needle(ROWS, "a book", file)
    text = " ".join(ElementTree.parse(file).getroot().itertext())
    assert all(words in text for words in ("pass-key: 62 % answered right", "128,000", "opened 100 %", "a book"))
