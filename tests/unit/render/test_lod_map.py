import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style

from mctool.core.records import FocusEntry, FocusIteration
from mctool.render import palette
from mctool.render.lod_cells import Places
from mctool.render.lod_map import render_lod_map, step_title

SNAPSHOTS = Path(__file__).parent / "snapshots"

DOCUMENTS = [
    ("src/harbour/__init__.py", 320),
    ("src/harbour/lighthouse.py", 9_600),
    ("src/harbour/tides.py", 6_400),
    ("docs/manual.md", 32_000),
    ("tests/test_tides.py", 4_800),
]
STARTS = [0, 320, 9_920, 16_320, 48_320]
PLACES = Places(STARTS, lambda start, end: (start // 10 + 1, end // 10))
RAW = {("src/harbour/lighthouse.py", 2_240): 3, ("src/harbour/lighthouse.py", 2_944): 1, ("docs/manual.md", 640): 40}


def entries_of(raw, fine_documents):
    """LOD2 or coarser everywhere, LOD1 in some documents, raw text at some places in them."""
    entries = []
    for (path, n_tokens), start in zip(DOCUMENTS, STARTS, strict=True):
        token, end = start, start + n_tokens
        while token < end:
            offset = token - start
            is_raw = any(name == path and at <= offset < at + 32 * n for (name, at), n in raw.items())
            lod = 0 if is_raw else 1 if path in fine_documents else 2
            stop = min(token + (1024 if lod == 2 else 32), end)
            score = 1.0 + offset / 10_000 if is_raw else 0.0
            entries.append(FocusEntry(lod, token, stop, stop - token if is_raw else 1, score, path, 0, 1))
            token = stop
    return entries


BEFORE = entries_of({}, {"src/harbour/tides.py"})
AFTER = entries_of(RAW, {"src/harbour/lighthouse.py", "docs/manual.md"})
TITLE = step_title(3, FocusIteration(expanded=46, collapsed=200, swap_rate=0.125, cost=2_700, seconds=0.0123))


def lod_map(width, **changes):
    arguments = {"w_max": 4_096, "cost": 2_700, "previous": BEFORE, "title": TITLE, "places": PLACES}
    return render_lod_map(AFTER, width=width, **(arguments | changes))


@pytest.mark.parametrize("width", [60, 100, 160])
def test_looks_as_it_did(width, draw):
    drawn = "\n".join(draw(lod_map(width), width)) + "\n"
    assert drawn == (SNAPSHOTS / f"lod_map_{width}.txt").read_text(encoding="utf-8")


def forget_codes():
    """Styles keep the codes of the first terminal that they were drawn on; other tests draw on others."""
    for value in vars(palette).values():
        for style in value if isinstance(value, tuple) else [value]:
            if isinstance(style, Style):
                style._ansi = None
    Style.parse.cache_clear()
    Style._add.cache_clear()


@pytest.mark.parametrize("width", [60, 100, 160])
def test_looks_as_it_did_in_colour(width):
    Console(file=io.StringIO(), color_system="standard", force_terminal=True).print(lod_map(width))
    forget_codes()
    console = Console(
        file=io.StringIO(), width=width, color_system="truecolor", force_terminal=True, no_color=False, highlight=False
    )
    console.print(lod_map(width))
    expected = (SNAPSHOTS / f"lod_map_{width}_colour.txt").read_text(encoding="utf-8")
    assert console.file.getvalue().replace("\x1b", "␛") == expected


@pytest.mark.parametrize("width", [1, 7, 20, 59, 200])
def test_no_line_is_wider_than_the_terminal(width, draw):
    for soft_wrap in (False, True):
        lines = draw(lod_map(width), width, soft_wrap=soft_wrap)
        assert lines[1].strip()
        assert width < 59 or all(cell_len(line) <= width for line in lines)


def test_a_raw_block_shows_in_any_timeline(tile, draw):
    entries = tile((4, 404_000, 0.0, "a"), (0, 32, 1.0, "a"), (4, 600_000, 0.0, "a"))
    scores, cells, *_ = draw(render_lod_map(entries, w_max=64, cost=34, width=80), 80)
    assert cells.count("█") == 1
    assert scores.index("█") == cells.index("█")


def test_marks_tell_expanded_from_collapsed(tile, draw):
    before = tile((2, 1024, 0.0, "a"), (1, 1024, 0.0, "a"), (2, 2048, 0.0, "a"))
    after = tile((1, 1024, 0.0, "a"), (2, 1024, 0.0, "a"), (2, 2048, 0.0, "a"))
    lines = draw(render_lod_map(after, w_max=64, cost=3, width=40, previous=before), 40)
    assert lines[:2] == ["▒" * 10 + "░" * 30, "^" * 10 + "v" * 10]
    unchanged = draw(render_lod_map(after, w_max=64, cost=3, width=40, previous=after), 40)
    assert not any("^" in line for line in unchanged)


def test_a_cell_of_both_kinds_says_so(tile, draw):
    before, after = tile((2, 4, 0, "a"), (1, 4, 0, "a")), tile((1, 4, 0, "a"), (2, 4, 0, "a"))
    assert draw(render_lod_map(after, w_max=64, cost=2, width=1, previous=before), 1)[1] == "±"


def test_without_places_runs_are_told_by_tokens(draw):
    text = "\n".join(draw(lod_map(120, places=None), 120))
    assert "lighthouse.py tokens 2,560-2,656" in text


def test_only_the_best_runs_get_a_lane(tile, draw):
    spans = [span for score in range(12) for span in ((0, 32, float(score), "a.py"), (1, 32, 0.0, "a.py"))]
    lines = draw(render_lod_map(tile(*spans), w_max=999, cost=396, width=100), 100)
    assert sum("tokens +" in line for line in lines) == 8
    assert not any("+3.00" in line for line in lines)
    assert "and 4 more raw runs with lower scores" in lines


def test_an_ascii_terminal_gets_ascii(draw):
    lines = draw(lod_map(100, title=None), 100, encoding="ascii")
    assert "###" in lines[1]
    assert set(lines[0]) <= set(" 12345678")
    assert set("█▒░─┴╰") & set("".join(lines)) == set()


def test_colours_follow_the_score(tile):
    entries = tile((1, 32, 3.0, "a"), (1, 32, 0.2, "a"), (1, 32, -1.0, "a"), (1, 32, 0.0, "a"))
    drawn = render_lod_map(entries, w_max=64, cost=4, width=4)
    console = Console(width=4, color_system="truecolor", force_terminal=True, no_color=False)
    lines = console.render_lines(drawn)
    assert [segment.style.color.name for segment in lines[1] if segment.style] == [
        *("#dc322f", "#a08000", "#5f87af", "#839496")
    ]
    assert "".join(segment.text for segment in lines[0]).rstrip() == "█▁"


def test_what_all_paths_share_is_told_once(draw):
    places = Places(STARTS, PLACES.line_range, "src/harbour/")
    lines = draw(lod_map(100, places=places), 100)
    assert any(line.startswith("lighthouse.py:257-265") for line in lines)
    assert lines[-1].endswith("all below src/harbour/")
    assert sum("src/harbour" in line for line in lines) == 1


def test_an_empty_timeline_and_a_spent_budget(draw):
    lines = draw(render_lod_map([], w_max=64, cost=70, width=60), 60)
    assert "70 of 64 tokens (109%) over budget" in lines[0]


@pytest.mark.parametrize("change", [{"w_max": 0}, {"width": 0}, {"cost": -1}])
def test_numbers_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match="must be at least 1"):
        lod_map(**({"width": 80} | change))


def test_another_timeline_is_not_compared(tile):
    with pytest.raises(ValueError, match="those before"):
        lod_map(80, previous=tile((1, 32, 0.0, "a")))


@given(st.integers(1, 220), st.text(max_size=20))
def test_draws_at_every_width_and_path(draw, width, path):
    entries = [FocusEntry(0, 0, 32, 32, 1.0, path, 0, 9), FocusEntry(1, 32, 50, 1, 0.0, path, 9, 12)]
    lines = draw(render_lod_map(entries, w_max=64, cost=33, width=width, title=path), width)
    assert len(lines) >= 3
