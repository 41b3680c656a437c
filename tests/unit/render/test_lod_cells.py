from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.records import FocusEntry
from mctool.render.lod_cells import (
    Cell,
    cell_of,
    cut_into_cells,
    find_boundaries,
    find_changes,
    find_raw_runs,
    total_tokens,
)


@st.composite
def tilings(draw, total):
    cuts = sorted(draw(st.sets(st.integers(1, total - 1), max_size=12))) if total > 1 else []
    bounds = [0, *cuts, total]
    return [
        FocusEntry(draw(st.integers(0, 4)), a, b, 1, draw(st.floats(-2, 2)), None, None, None)
        for a, b in pairwise(bounds)
    ]


@given(st.integers(1, 300).flatmap(tilings), st.integers(1, 80))
def test_each_cell_shows_the_finest_level_in_its_share(entries, n_cells):
    total = total_tokens(entries)
    for place, cell in enumerate(cut_into_cells(entries, 0, total, n_cells)):
        # Integers, so that no rounding hides an error: shares meet at place * total / n_cells.
        inside = [
            entry
            for entry in entries
            if entry.start_token * n_cells < (place + 1) * total and entry.end_token * n_cells > place * total
        ]
        finest = min(entry.lod for entry in inside)
        assert cell == Cell(finest, max(entry.score for entry in inside if entry.lod == finest))


def test_cells_outside_the_timeline_are_empty(tile):
    cells = cut_into_cells(tile((1, 64, 0.0, "a")), -64, 128, 6)
    assert [cell is not None for cell in cells] == [False, False, True, True, False, False]


@given(st.integers(1, 200).flatmap(lambda total: st.tuples(tilings(total), tilings(total))))
def test_changes_are_where_levels_differ(pair):
    before, after = pair
    level = [[entry.lod for entry in entries for _ in range(entry.start_token, entry.end_token)] for entries in pair]
    expected = [(old > new) - (old < new) for old, new in zip(*level, strict=True)]
    found = [0] * len(expected)
    for change in find_changes(before, after):
        assert change.start < change.end
        for token in range(change.start, change.end):
            assert found[token] == 0
            found[token] = 1 if change.finer else -1
    assert found == expected


def test_timelines_of_other_lengths_are_not_compared(tile):
    with pytest.raises(ValueError, match="tile 32 tokens, those before 64"):
        find_changes(tile((1, 64, 0.0, "a")), tile((1, 32, 0.0, "a")))


@pytest.mark.parametrize(
    ("spans", "told"),
    [([(1, 0, 32), (1, 40, 64)], "where they reach 32"), ([(1, 0, 0)], "spans"), ([(5, 0, 32)], "LOD5")],
)
def test_entries_that_do_not_tile_are_refused(entry, spans, told):
    with pytest.raises(ValueError, match=told):
        total_tokens([entry(*span) for span in spans])


def test_raw_runs_end_with_their_document(tile):
    entries = tile((0, 32, 0.5, "a"), (0, 20, 2.0, "a"), (0, 32, 1.0, "b"), (1, 32, 9.0, "b"), (0, 32, 0.1, "b"))
    runs = find_raw_runs(entries)
    assert [(run.path, run.start_token, run.end_token, run.score) for run in runs] == [
        ("a", 0, 52, 2.0),
        ("b", 52, 84, 1.0),
        ("b", 116, 148, 0.1),
    ]
    assert runs[0].n_tokens == 52


def test_boundaries_are_known_only_between_known_documents(tile):
    assert find_boundaries(tile((1, 32, 0, "a"), (1, 32, 0, "b"), (2, 99, 0, None), (1, 32, 0, "c"))) == [32]


def test_the_last_token_is_in_the_last_cell():
    assert [cell_of(token, 10, 4) for token in range(10)] == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
