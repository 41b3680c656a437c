"""Names of places."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.places import place_of

PAGES = ((5, "p. 1"), (20, "p. 2"), (30, "p. 10"))
CHAPTERS = ((0, "front matter"), (9, 'ch. "One"'), (20, 'ch. "Two"'))


@pytest.mark.parametrize(
    ("marks", "start", "end", "place"),
    [
        (PAGES, 5, 20, "p. 1"),
        (PAGES, 6, 21, "p. 1-2"),
        (PAGES, 6, 99, "p. 1-10"),
        (PAGES, 4, 10, None),
        (PAGES, 25, 25, "p. 2"),
        (CHAPTERS, 9, 30, 'ch. "One" to "Two"'),
        (CHAPTERS, 0, 12, 'front matter to ch. "One"'),
        ((), 0, 9, None),
    ],
)
def test_place(marks, start, end, place):
    assert place_of(marks, start, end) == place


@given(st.sets(st.integers(0, 50), min_size=1), st.integers(0, 60), st.integers(1, 60))
def test_first_and_last_place_hold_the_first_and_the_last_character(starts, start, length):
    marks = tuple((at, f"p. {at}") for at in sorted(starts))
    begun = [max((at for at in starts if at <= char), default=None) for char in (start, start + length - 1)]
    expected = None if begun[0] is None else f"p. {begun[0]}" if begun[0] == begun[1] else f"p. {begun[0]}-{begun[1]}"
    assert place_of(marks, start, start + length) == expected
