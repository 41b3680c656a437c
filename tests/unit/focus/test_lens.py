import numpy as np
import pytest
from focus_strategies import contexts
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.timeline import Timeline
from mctool.focus import WorkingContext, plan_cover
from mctool.focus.lens import Aim, UtilityLens

TIMELINE = Timeline.of_documents([(0, 100), (4, 64)])


def lens_of(*utility):
    return UtilityLens("test", TIMELINE, np.array(utility))


def utilities(context, seed):
    """Random utilities of all blocks, a third of them 0."""
    rng = np.random.default_rng(seed)
    utility = rng.random(context.timeline.total_blocks)
    utility[rng.random(len(utility)) < 1 / 3] = 0
    return utility


def test_the_best_blocks_that_fit_are_wanted():
    lens = lens_of(0.5, 0, 1, 0.9, 0.6, 0.2)
    assert lens.wanted(Aim(99)).tolist() == [2, 3, 4]  # 32 + 4 + 32 tokens; block 3 is short
    assert lens.wanted(Aim(31)).tolist() == []
    assert lens.wanted(Aim(1000)).tolist() == [2, 3, 4, 0, 5]


def test_a_share_leaves_out_what_is_far_below_the_best():
    assert lens_of(0.5, 0, 1, 0.9, 0.6, 0.2).wanted(Aim(1000, 0.55)).tolist() == [2, 3, 4]


def test_of_equal_blocks_the_first_are_wanted():
    assert lens_of(1, 1, 1, 1, 1, 1).wanted(Aim(64)).tolist() == [0, 1]


def test_nothing_is_wanted_where_nothing_speaks_for_it():
    lens = lens_of(*[0.0] * 6)
    assert lens.wanted(Aim(1000)).tolist() == []
    assert lens.score(plan_cover(TIMELINE, 10), Aim(1000)).tolist() == [-1.0] * 6


def test_a_gist_scores_as_the_best_block_below_it():
    context = WorkingContext(TIMELINE, np.array([2]), np.array([0]))
    assert lens_of(0, 0.1, 0, 1, 0, 0).score(context, Aim(32)).tolist() == [1.0]
    assert lens_of(0, 0.5, 0, 0, 0, 0).score(context, Aim(1)).tolist() == [pytest.approx(-0.6)]


def test_an_empty_timeline_has_no_scores():
    empty = Timeline.of_documents([])
    assert len(UtilityLens("test", empty, np.zeros(0)).score(plan_cover(empty, 1), Aim(10))) == 0


def test_utilities_of_another_timeline_are_refused():
    with pytest.raises(ValueError, match=r"shape \(5,\); expected \[6\]"):
        lens_of(1, 1, 1, 1, 1)


@given(contexts(), st.integers(0, 2**32 - 1), st.integers(1, 2000), st.floats(0, 1))
def test_positive_scores_are_those_of_entries_with_wanted_blocks(context, seed, raw_tokens, share):
    timeline = context.timeline
    lens, aim = UtilityLens("test", timeline, utilities(context, seed)), Aim(raw_tokens, share)
    scores, wanted = lens.score(context, aim), lens.wanted(aim)
    assert np.all((np.abs(scores) >= 0.2 - 1e-9) & (np.abs(scores) <= 1))
    blocks = timeline.blocks_at(wanted)
    assert int((timeline.token_start(blocks + 1) - timeline.token_start(blocks)).sum()) <= raw_tokens
    starts = timeline.token_start(blocks)
    holds = [
        bool(np.any((starts >= start) & (starts < end)))
        for start, end in zip(context.start_token, context.end_token, strict=True)
    ]
    assert (scores > 0).tolist() == holds


@given(contexts(), st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 4))
def test_wanted_are_the_first_of_all_in_order(context, seed, raw_tokens, n_values):
    timeline = context.timeline
    utility = np.ceil(utilities(context, seed) * n_values) / n_values  # with many equal ones
    order = np.argsort(-utility, kind="stable")
    order = order[utility[order] > 0]
    blocks = timeline.blocks_at(order)
    lengths = timeline.token_start(blocks + 1) - timeline.token_start(blocks)
    expected = order[np.cumsum(lengths) <= raw_tokens].tolist()
    lens = UtilityLens("test", timeline, utility)
    assert lens.wanted(Aim(raw_tokens)).tolist() == expected
    assert lens.score(context, Aim(raw_tokens)).tolist() == lens.score(context, Aim(raw_tokens)).tolist()
    assert (
        lens.score(context, Aim(1)).tolist() == UtilityLens("test", timeline, utility).score(context, Aim(1)).tolist()
    )
