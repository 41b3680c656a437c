from hypothesis import given
from hypothesis import strategies as st

from mctool.render.labels import Hooks, Label, place_labels

HOOKS = Hooks("╰ ", " ╯", "│")


def test_names_hang_below_their_columns():
    rows, left_out = place_labels([Label(0, "a.py"), Label(3, "b.py"), Label(30, "c.py")], 36, 3, HOOKS)
    assert (rows, left_out) == (["│  ╰ b.py                     ╰ c.py", "╰ a.py"], 0)


def test_a_name_at_the_right_edge_hangs_to_the_left():
    rows, _ = place_labels([Label(38, "src/long_name.py")], 40, 3, HOOKS)
    assert rows == [" " * 21 + "src/long_name.py ╯"]


def test_names_without_a_place_are_counted():
    rows, left_out = place_labels([Label(column, "name.py") for column in range(0, 12, 2)], 40, 2, HOOKS)
    assert len(rows) == 2
    assert left_out == 4


@given(
    st.integers(1, 80).flatmap(
        lambda width: st.tuples(
            st.just(width), st.dictionaries(st.integers(0, width - 1), st.text("abc/東", min_size=1, max_size=30))
        )
    ),
    st.integers(1, 4),
)
def test_nothing_overlaps_or_leaves_the_width(drawn, max_rows):
    width, names = drawn
    labels = [Label(column, name) for column, name in sorted(names.items())]
    rows, left_out = place_labels(labels, width, max_rows, HOOKS)
    assert len(rows) <= max_rows
    hooks = sum(row.count("╰") + row.count("╯") for row in rows)
    assert hooks + left_out == len(labels)
