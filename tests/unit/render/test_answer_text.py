import pytest

from mctool.core.records import Citation
from mctool.render.answer import citation_place, render_citations, render_nearest


def citation(text, path="docs/tides.md", lines=(3, 9), delta_nats=None):
    return Citation(path, *lines, 0, len(text), text, delta_nats)


def test_citations_are_numbered_with_place_text_and_worth(draw):
    lines = draw(render_citations([citation("High water\n  at noon.\n", delta_nats=1.844), citation("[b]low[/b]")]), 60)
    assert lines == [
        "[1] docs/tides.md:3-9  worth 1.84 nats",
        "    High water",
        "      at noon.",
        "[2] docs/tides.md:3-9",
        "    [b]low[/b]",
    ]


def test_long_text_is_shortened_in_the_middle(draw):
    text = "\n".join(f"line {number}" for number in range(20))
    lines = draw(render_citations([citation(text)], max_lines=5), 60)
    assert lines[1:] == ["    line 0", "    line 1", "    … 16 more lines …", "    line 18", "    line 19"]


def test_text_that_just_fits_is_whole(draw):
    lines = draw(render_citations([citation("a\nb\nc")], max_lines=3), 60)
    assert lines[1:] == ["    a", "    b", "    c"]


def test_one_long_line_counts_as_it_is_wrapped(draw):
    lines = draw(render_citations([citation("word " * 200)], max_lines=4), 40)
    assert len(lines) == 5
    assert all(len(line) <= 40 for line in lines)


def test_control_characters_never_reach_the_terminal(draw):
    evil = citation("\x1b]0;title\x07text", path="a\x1b[2J\n.md")
    assert draw(render_citations([evil]), 60) == ["[1] a␛[2J␊.md:3-9", "    ␛]0;title␇text"]
    assert citation_place(evil) == "a␛[2J␊.md:3-9"


def test_no_citations(draw):
    assert draw(render_citations([]), 60) == ["no citations"]


def test_nearest_passages_are_headed_so_that_they_are_not_taken_for_citations(draw):
    assert draw(render_nearest([citation("Low water.")]), 60) == [
        "Nearest passages:",
        "[1] docs/tides.md:3-9",
        "    Low water.",
    ]


def test_too_few_lines_are_refused():
    with pytest.raises(ValueError, match="2 lines cannot show"):
        render_citations([citation("text")], max_lines=2)
