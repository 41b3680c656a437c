import numpy as np
import pytest
from focus_strategies import contexts
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.errors import BudgetTooSmallError
from mctool.focus import plan_positions

MODES = ["compact", "absolute", "squeeze"]


@st.composite
def windows(draw):
    """Segments with gaps between them: raw runs, raw runs with a header, and gists."""
    start, end, slots, at = [], [], [], 0
    for gap, tokens, kind in draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1, 50, 4000]), st.integers(1, 200), st.sampled_from(["raw", "header", "gist"])
            ),
            max_size=12,
        )
    ):
        at += gap
        start.append(at)
        at += tokens
        end.append(at)
        slots.append({"raw": tokens, "header": tokens + draw(st.integers(1, 9)), "gist": 1}[kind])
    return np.array(start, np.int64), np.array(end, np.int64), np.array(slots, np.int64)


@given(windows(), st.integers(0, 60), st.integers(0, 3000), st.sampled_from(MODES))
def test_positions_ascend_with_unit_steps_inside_segments_and_stay_bounded(window, tail_slots, room, mode):
    start, end, slots = window
    trained = int(slots.sum()) + tail_slots + room
    positions, tail_start = plan_positions(mode, start, end, slots, tail_slots, trained)

    assert positions.dtype == np.int64
    assert len(positions) == slots.sum()
    assert np.all(np.diff(positions) >= 1)
    assert np.all(positions >= 0)
    for run in np.split(positions, np.cumsum(slots)[:-1]) if len(slots) else []:
        assert np.all(np.diff(run) == 1)
    assert tail_start == (positions[-1] + 1 if len(positions) else 0)
    if mode != "absolute":
        assert tail_start + tail_slots <= trained


@given(windows(), st.integers(0, 60), st.integers(0, 3000))
def test_squeeze_is_absolute_when_that_fits_and_else_uses_every_trained_position(window, tail_slots, room):
    trained = int(window[2].sum()) + tail_slots + room
    squeezed, squeezed_tail = plan_positions("squeeze", *window, tail_slots, trained)
    absolute, absolute_tail = plan_positions("absolute", *window, tail_slots, trained)
    if absolute_tail + tail_slots <= trained:
        assert squeezed.tolist() == absolute.tolist()
    else:
        assert squeezed_tail + tail_slots == trained
        assert np.all(squeezed <= absolute)


@given(windows(), st.integers(1, 60), st.integers(1, 3000))
def test_squeeze_scales_all_gaps_by_one_factor(window, tail_slots, room):
    slots = window[2]
    trained = int(slots.sum()) + tail_slots + room
    squeezed, _ = plan_positions("squeeze", *window, tail_slots, trained)
    absolute, absolute_tail = plan_positions("absolute", *window, tail_slots, trained)
    if absolute_tail + tail_slots > trained:
        slot = np.arange(len(absolute))
        factor = room / (absolute[-1] - slot[-1])
        assert np.all(np.abs((absolute - slot) * factor - (squeezed - slot)) < 1 + 1e-9)


@given(contexts(), st.sampled_from(MODES))
def test_all_raw_contexts_get_consecutive_positions(context, mode):
    blocks = context.timeline.nodes_at(0)
    start, end = context.timeline.token_range_of(0, blocks)
    n = context.timeline.total_tokens
    positions, tail_start = plan_positions(mode, start, end, end - start, 20, n + 20)
    assert positions.tolist() == list(range(n))
    assert tail_start == n


@given(contexts())
def test_absolute_puts_raw_tokens_at_their_index_and_gists_at_their_centre(context):
    slots = np.where(context.lod == 0, context.end_token - context.start_token, 1)
    positions, _ = plan_positions("absolute", context.start_token, context.end_token, slots, 0, 10**9)
    first = positions[np.cumsum(slots) - slots]
    centre = (context.start_token + context.end_token - 1) // 2
    assert first.tolist() == np.where(context.lod == 0, context.start_token, centre).tolist()


def test_a_header_goes_into_the_gap_before_its_run():
    start, end = np.array([100, 132]), np.array([104, 134])
    positions, tail_start = plan_positions("absolute", start, end, np.array([6, 2]), 1, 50)
    assert positions.tolist() == [98, 99, 100, 101, 102, 103, 132, 133]
    assert tail_start == 134


def test_a_header_without_a_gap_moves_up_what_follows_until_a_gap_takes_it_in():
    start, end = np.array([0, 3, 20]), np.array([3, 6, 22])
    positions, _ = plan_positions("absolute", start, end, np.array([5, 3, 2]), 0, 50)
    assert positions.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 20, 21]


def test_squeeze_by_example():
    # Absolute: 1000..1002, a gist at 2000, tail from 2001. 6 slots in 16 positions leave 10 for gaps of 1000 and 997.
    start, end = np.array([1000, 1500]), np.array([1003, 2501])
    positions, tail_start = plan_positions("squeeze", start, end, np.array([3, 1]), 2, 16)
    assert positions.tolist() == [5, 6, 7, 13]
    assert tail_start == 14


def test_billions_of_tokens_do_not_overflow():
    start = np.array([0, 10**12])
    positions, tail_start = plan_positions("squeeze", start, start + 32, np.array([32, 32]), 100, 2**20)
    assert positions[-1] == 2**20 - 101
    assert tail_start == 2**20 - 100


@pytest.mark.parametrize("mode", MODES)
def test_more_slots_than_trained_positions_are_refused_with_both_numbers(mode):
    with pytest.raises(BudgetTooSmallError, match="needs 41 positions and the model was trained with 40"):
        plan_positions(mode, np.array([0]), np.array([32]), np.array([32]), 9, 40)


@pytest.mark.parametrize(
    ("start", "end", "slots", "tail_slots"),
    [
        ([0, 16], [32, 48], [1, 1], 0),
        ([32, 0], [64, 32], [1, 1], 0),
        ([0], [0], [1], 0),
        ([-4], [4], [1], 0),
        ([0], [32], [0], 0),
        ([0], [32], [1], -1),
        ([0, 32], [32, 64], [1], 0),
    ],
)
def test_nonsense_segments_are_refused(start, end, slots, tail_slots):
    with pytest.raises(ValueError, match=r"overlap|slot|equal 1-D"):
        plan_positions("squeeze", np.array(start), np.array(end), np.array(slots), tail_slots, 100)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'middle' is not one of squeeze"):
        plan_positions("middle", np.array([0]), np.array([32]), np.array([32]), 0, 100)
