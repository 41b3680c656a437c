from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mctool.core.blocks import SEGMENT_BLOCKS
from mctool.core.config import FocusConfig
from mctool.core.errors import BudgetTooSmallError
from mctool.core.timeline import Timeline
from mctool.engine.refocus import entry_budget, initial_context, refocus
from mctool.focus.lens import UtilityLens

ROOMY = FocusConfig(max_iterations=300, focus_tokens=300, narrow_tokens=100)


@st.composite
def timelines(draw):
    """Timelines of a few documents, with holes, over one or two segments."""
    block, extents = 0, []
    gaps, tokens = st.sampled_from([0, 1, 40, SEGMENT_BLOCKS]), st.sampled_from([1, 31, 32, 33, 700, 5000, 40_000])
    for gap, n_tokens in draw(st.lists(st.tuples(gaps, tokens), min_size=1, max_size=5)):
        extents.append((block + gap, n_tokens))
        block += gap + -(-n_tokens // 32)
    return Timeline.of_documents(extents)


def random_lens(timeline, seed):
    """A lens for which a few blocks are useful."""
    rng = np.random.default_rng(seed)
    utility = np.zeros(timeline.total_blocks)
    useful = rng.integers(0, timeline.total_blocks, 20)
    utility[useful] = rng.random(20)
    return UtilityLens("test", timeline, utility / max(utility.max(), 1e-9))


def raw_tokens(context):
    return int(context.costs[context.lod == 0].sum())


def run(timeline, seed, config, budget, on_step=None):
    lens = random_lens(timeline, seed)
    try:
        start = initial_context(timeline, config, budget)
    except BudgetTooSmallError:
        assume(False)
    return lens, start, refocus(start, lens, config, budget, on_step)


@settings(max_examples=30, deadline=None)
@given(timelines(), st.integers(0, 999), st.integers(32, 900), st.integers(1, 40), st.booleans())
def test_the_budget_holds_at_every_step(timeline, seed, budget, n_diff, narrow):
    config = FocusConfig(n_diff=n_diff, narrow=narrow, focus_tokens=400)
    seen = []
    _, start, focus = run(timeline, seed, config, budget, lambda iteration, step: seen.append((iteration, step)))
    assert start.cost <= budget
    assert [iteration for iteration, _ in seen] == list(range(1, len(focus.steps) + 1))
    assert [step for _, step in seen] == focus.steps
    assert len(focus.steps) <= config.max_iterations
    before = start
    for step in focus.steps:
        assert step.context == before.apply(step.plan)
        assert step.record.cost == step.context.cost <= budget
        assert (step.record.expanded, step.record.collapsed) == (len(step.plan.expand), len(step.plan.collapse))
        assert 0 < step.plan.n_actions <= n_diff
        assert step.record.swap_rate == step.plan.n_actions / len(before)
        assert 0 < step.record.swap_rate <= 1
        before = step.context
    assert focus.context == before
    assert focus.scores.shape == (len(before),)


@settings(max_examples=30, deadline=None)
@given(timelines(), st.integers(0, 999), st.integers(300, 900))
def test_it_comes_to_rest_within_its_aims_and_always_in_the_same_place(timeline, seed, budget):
    lens, start, focus = run(timeline, seed, ROOMY, budget)
    assert len(focus.steps) < ROOMY.max_iterations
    assert max((raw_tokens(step.context) for step in focus.steps), default=0) <= ROOMY.focus_tokens
    assert raw_tokens(focus.context) <= ROOMY.narrow_tokens
    again = refocus(start, lens, ROOMY, budget)
    assert again.context == focus.context
    assert [step.plan for step in again.steps] == [step.plan for step in focus.steps]


def test_useful_blocks_are_raw_in_the_end_and_narrowing_keeps_the_best():
    timeline = Timeline.of_documents([(0, 3200)])
    utility = np.zeros(100)
    utility[[10, 40, 41, 70]] = [1, 0.9, 0.6, 0.2]
    lens = UtilityLens("test", timeline, utility)
    wide = refocus(initial_context(timeline, ROOMY, 300), lens, ROOMY.filled(), 300).context
    assert wide.index[wide.lod == 0].tolist() == [10, 40, 41, 70]
    narrow = refocus(initial_context(timeline, ROOMY, 300), lens, ROOMY, 300).context
    assert narrow.index[narrow.lod == 0].tolist() == [10, 40, 41]


def test_a_closer_lens_narrows_what_the_first_one_found():
    timeline = Timeline.of_documents([(0, 3200)])
    utility, closer_utility = np.zeros(100), np.zeros(100)
    utility[[10, 11, 50, 51, 90]] = [1.0, 0.9, 0.8, 0.7, 0.6]
    closer_utility[[51, 90]] = [0.9, 1.0]
    lens = UtilityLens("lens", timeline, utility)
    asked = []

    def look(context, scores):
        raw = context.lod == 0
        asked.append(context.index[raw][np.argsort(-scores[raw])].tolist())
        return UtilityLens("closer", timeline, closer_utility)

    start = initial_context(timeline, ROOMY, 1000)
    focus = refocus(start, lens, ROOMY, 1000, closer_look=look)
    assert asked == [[10, 11, 50, 51, 90]]
    raw = focus.context.lod == 0
    assert focus.context.index[raw].tolist() == [51, 90]
    worse, better = focus.scores[raw]
    assert 0 < worse < better
    for config in (replace(ROOMY, narrow=False), replace(ROOMY, max_iterations=1)):
        refocus(start, lens, config, 1000, closer_look=look)
    assert len(asked) == 1, "there is nothing to narrow, or no time to"


def test_a_budget_that_all_cannot_share_goes_to_the_best():
    timeline = Timeline.of_documents([(0, 320)])
    lens = UtilityLens("test", timeline, np.linspace(0.1, 1, 10))
    context = refocus(initial_context(timeline, ROOMY, 80), lens, ROOMY.filled(), 80).context
    assert context.index[context.lod == 0].tolist() == [8, 9]
    assert context.cost <= 80


def test_the_budget_leaves_room_for_the_prompt_and_for_names():
    assert entry_budget(FocusConfig(w_max=1600), 100) == 1400
    assert entry_budget(FocusConfig(w_max=64), 28) == 32


@pytest.mark.parametrize(("w_max", "prompt"), [(64, 29), (64, 64), (64, 5000)])
def test_a_window_without_room_for_a_block_is_refused(w_max, prompt):
    with pytest.raises(BudgetTooSmallError, match=f"--w-max {w_max} is too small for a prompt of {prompt}") as caught:
        entry_budget(FocusConfig(w_max=w_max), prompt)
    enough = int(caught.value.fix.split()[3])
    assert entry_budget(FocusConfig(w_max=enough), prompt) >= 32


def test_a_cover_beyond_its_share_may_take_the_whole_budget():
    timeline = Timeline.of_documents([(SEGMENT_BLOCKS * i, 10) for i in range(40)])
    assert initial_context(timeline, FocusConfig(cover_share=0.5), 40).cost == 40
    with pytest.raises(BudgetTooSmallError, match="needs 40 tokens and the budget leaves 39"):
        initial_context(timeline, FocusConfig(), 39)
