import pytest
from focus_strategies import timelines
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.blocks import SEGMENT_BLOCKS, TOP_LOD
from mctool.core.errors import BudgetTooSmallError
from mctool.core.timeline import Timeline
from mctool.focus import plan_cover


@given(timelines(), st.integers(0, 500), st.integers(1, TOP_LOD))
def test_the_cover_is_the_finest_gist_level_that_fits(timeline, max_cost, top_lod):
    fitting = [lod for lod in range(1, top_lod + 1) if len(timeline.nodes_at(lod)) <= max_cost]
    if not fitting:
        with pytest.raises(BudgetTooSmallError):
            plan_cover(timeline, max_cost, top_lod)
        return
    cover = plan_cover(timeline, max_cost, top_lod)
    assert set(cover.lod.tolist()) == {min(fitting)}
    assert cover.cost <= max_cost


def test_nodes_without_live_documents_are_left_out():
    timeline = Timeline.of_documents([(0, 32), (10 * SEGMENT_BLOCKS, 32)])
    assert plan_cover(timeline, 2).index.tolist() == [0, 10 * SEGMENT_BLOCKS]


def test_the_error_says_what_is_needed_and_what_is_there():
    timeline = Timeline.of_documents([(segment * SEGMENT_BLOCKS, 32) for segment in range(7)])
    with pytest.raises(BudgetTooSmallError, match=r"needs 7 tokens and the budget leaves 3; raise --w-max"):
        plan_cover(timeline, 3)


@pytest.mark.parametrize("top_lod", [0, TOP_LOD + 1])
def test_a_level_without_gists_is_refused(top_lod):
    with pytest.raises(ValueError, match="not within"):
        plan_cover(Timeline.of_documents([(0, 32)]), 10, top_lod)
