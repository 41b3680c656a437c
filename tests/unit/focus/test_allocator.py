import numpy as np
import pytest
from focus_strategies import contexts, timelines
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.config import FocusConfig
from mctool.core.timeline import Timeline
from mctool.focus import FocusAllocator, Plan, WorkingContext, plan_cover

configs = st.builds(
    FocusConfig,
    n_diff=st.integers(1, 40),
    tau_expand=st.sampled_from([0.0, 0.1, 0.5]),
    tau_collapse=st.sampled_from([0.0, 0.1, 0.5]),
    cooldown=st.integers(0, 4),
)
seeds = st.integers(0, 2**32 - 1)
# Few distinct scores make ties likely.
score_pools = st.sampled_from([np.linspace(-1, 1, 9), np.linspace(-1, 1, 400), np.array([-0.6, 0.05, 0.6])])
BOOK = Timeline.of_documents([(0, 64 * 32)])  # 64 full blocks: two LOD2 nodes
QUIET = FocusConfig(tau_expand=0.1, tau_collapse=0.1, n_diff=32, cooldown=2)


def reference_plan(context, scores, budget, config):
    """The rules of the allocator one entry at a time, without cooldown."""
    groups = context.collapse_groups
    nodes = list(zip(groups.lod.tolist(), groups.index.tolist(), strict=True))
    members = [range(a, b) for a, b in zip(groups.first_entry, groups.end_entry, strict=True)]
    group_score = [max(scores[i] for i in positions) for positions in members]
    left = sorted(range(len(nodes)), key=lambda g: (group_score[g], g))
    left = [g for g in left if group_score[g] < -config.tau_collapse or groups.refund[g] > 0]
    free, expand, collapse, gone = budget - context.cost, [], [], set()

    def take(payers):
        for g in payers:
            left.remove(g)
            collapse.append(nodes[g])
            gone.update(members[g])
        return sum(int(groups.refund[g]) for g in payers)

    while left and len(collapse) < config.n_diff and (group_score[left[0]] < -config.tau_collapse or free < 0):
        free += take([left[0]])
    candidates = [i for i in range(len(context)) if context.lod[i] > 0 and scores[i] > config.tau_expand]
    for i in sorted(candidates, key=lambda i: (-scores[i], i)):
        cost = int(context.expand_costs(np.array([i]))[0])
        payers = []
        for g in left:
            if free + sum(int(groups.refund[p]) for p in payers) >= cost:
                break
            if group_score[g] < scores[i] - (config.tau_expand + config.tau_collapse):
                payers.append(g)
        affordable = free + sum(int(groups.refund[p]) for p in payers) >= cost
        if i in gone or not affordable or len(expand) + len(collapse) + len(payers) >= config.n_diff:
            continue
        free += take(payers) - cost
        expand.append(context.node(i))
    return Plan(tuple(expand), tuple(collapse))


@given(contexts(), configs, score_pools, seeds, st.integers(-200, 400))
def test_a_plan_equals_that_of_the_slow_reference(context, config, pool, seed, spare):
    scores = np.random.default_rng(seed).choice(pool, len(context))
    budget = max(context.cost + spare, 0)
    plan = FocusAllocator(config).plan(context, scores, budget, 0)
    assert plan == reference_plan(context, scores, budget, config)


@given(contexts(), configs, score_pools, seeds, st.integers(0, 3000))
def test_a_loop_stays_legal_within_budget_and_deterministic(context, config, pool, seed, budget):
    rng = np.random.default_rng(seed)
    allocator, twin = FocusAllocator(config), FocusAllocator(config)
    for iteration in range(10):
        scores = rng.choice(pool, len(context))
        plan = allocator.plan(context, scores, budget, iteration)
        assert plan == twin.plan(context, scores, budget, iteration)
        assert plan.n_actions <= config.n_diff
        after = context.apply(plan)  # raises when the plan is illegal or the result does not tile the timeline
        assert after.cost <= max(budget, context.cost)
        context = after


@given(contexts(), configs, score_pools, seeds, st.integers(0, 3000))
def test_no_node_changes_direction_within_the_cooldown(context, config, pool, seed, budget):
    rng = np.random.default_rng(seed)
    allocator = FocusAllocator(config)
    expanded_at, collapsed_at = {}, {}
    for iteration in range(12):
        plan = allocator.plan(context, rng.choice(pool, len(context)), budget, iteration)
        for node in plan.collapse:
            assert iteration >= expanded_at.get(node, -100) + config.cooldown + 1
        for node in plan.expand:
            assert iteration >= collapsed_at.get(node, -100) + config.cooldown + 1
        expanded_at.update(dict.fromkeys(plan.expand, iteration))
        collapsed_at.update(dict.fromkeys(plan.collapse, iteration))
        context = context.apply(plan)


@given(contexts(), configs, score_pools, seeds, st.integers(0, 3000))
def test_every_action_has_a_reason(context, config, pool, seed, budget):
    scores = np.random.default_rng(seed).choice(pool, len(context))
    plan = FocusAllocator(config).plan(context, scores, budget, 0)
    score_of = {context.node(i): scores[i] for i in range(len(context))}
    assert all(score_of[node] > config.tau_expand for node in plan.expand)
    highest = max((score_of[node] for node in plan.expand), default=-np.inf)
    for lod, index in plan.collapse:
        group = max(score_of[lod - 1, int(child)] for child in context.timeline.children(lod, index))
        pays = group < highest - (config.tau_expand + config.tau_collapse)
        assert group < -config.tau_collapse or pays or context.cost > budget


@given(timelines(), configs, seeds, st.integers(0, 800), st.integers(1, 5))
def test_with_constant_scores_the_loop_comes_to_rest(timeline, config, seed, spare, n_distinct):
    """Each block has a constant score, and each entry that of its highest block."""
    rng = np.random.default_rng(seed)
    of_block = rng.choice(np.linspace(-1, 1, n_distinct), timeline.total_blocks)
    block_start = timeline.token_start(timeline.nodes_at(0))
    context = plan_cover(timeline, timeline.n_nodes(2))
    budget = context.cost + spare
    allocator = FocusAllocator(config)
    at_rest = 0
    for iteration in range(3000):
        scores = np.maximum.reduceat(of_block, np.searchsorted(block_start, context.start_token))
        plan = allocator.plan(context, scores, budget, iteration)
        context = context.apply(plan)
        at_rest = at_rest + 1 if plan.empty else 0
        if at_rest > config.cooldown:  # nothing is left that waits for its cooldown to end
            return
    pytest.fail("still changing after 3000 iterations")


def context_of(*nodes, timeline=BOOK):
    lod, index = zip(*nodes, strict=True)
    return WorkingContext(timeline, np.array(lod), np.array(index))


def raw_blocks(first, end):
    return [(0, b) for b in range(first, end)]


def gists(first, end):
    return [(1, b) for b in range(first, end)]


def test_the_highest_score_is_expanded_first_and_ties_go_to_the_earlier_entry():
    context = context_of(*gists(0, 32), (2, 1))
    scores = np.zeros(33)
    scores[[3, 8, 20]] = 0.5, 0.9, 0.5
    plan = FocusAllocator(QUIET).plan(context, scores, context.cost + 62, 0)
    assert plan == Plan(expand=((1, 8), (1, 3)))


def test_thresholds_are_exclusive():
    context = context_of(*gists(0, 32), (2, 1))
    scores = np.full(33, -0.1)
    scores[32] = 0.1
    assert FocusAllocator(QUIET).plan(context, scores, 1000, 0).empty


def test_a_group_collapses_only_if_its_highest_entry_asks_for_it():
    context = context_of(*gists(0, 64))
    scores = np.full(64, -1.0)
    scores[40] = 0.0
    assert FocusAllocator(QUIET).plan(context, scores, 1000, 0) == Plan(collapse=((2, 0),))


def test_the_lowest_groups_pay_first_and_no_more_than_needed():
    context = context_of(*raw_blocks(0, 3), *gists(3, 32), (2, 1))
    scores = np.zeros(33)
    scores[:3] = 0.3, 0.1, 0.2
    scores[10] = 0.9
    plan = FocusAllocator(QUIET).plan(context, scores, context.cost, 0)
    assert plan == Plan(expand=((1, 10),), collapse=((1, 1),))


def test_a_group_that_scores_too_near_does_not_pay():
    context = context_of(*raw_blocks(0, 1), *gists(1, 32), (2, 1))
    scores = np.zeros(33)
    scores[[0, 10]] = 0.7, 0.85
    assert FocusAllocator(QUIET).plan(context, scores, context.cost, 0).empty
    scores[10] = 0.95
    assert FocusAllocator(QUIET).plan(context, scores, context.cost, 0).n_actions == 2


def test_an_expansion_that_does_not_fit_gives_way_to_a_cheaper_one():
    timeline = Timeline.of_documents([(0, 32), (1, 5)])
    context = context_of((1, 0), (1, 1), timeline=timeline)
    plan = FocusAllocator(QUIET).plan(context, [0.9, 0.5], context.cost + 10, 0)
    assert plan == Plan(expand=((1, 1),))


def test_a_group_that_paid_is_not_expanded_in_the_same_plan():
    context = context_of((2, 0), *gists(32, 64))
    scores = np.full(33, 0.5)
    scores[0] = 0.9
    plan = FocusAllocator(QUIET).plan(context, scores, context.cost, 0)
    assert plan == Plan(expand=((2, 0),), collapse=((2, 1),))


def test_collapses_come_before_expansions_under_n_diff():
    config = FocusConfig(n_diff=2)
    context = context_of(*raw_blocks(0, 3), *gists(3, 32), (2, 1))
    scores = np.full(33, 0.9)
    scores[:3] = -0.2, -0.4, -0.3
    assert FocusAllocator(config).plan(context, scores, 10**6, 0) == Plan(collapse=((1, 1), (1, 2)))


def test_a_context_over_budget_is_collapsed_until_it_fits_whatever_the_scores():
    context = context_of(*raw_blocks(0, 4), *gists(4, 32), (2, 1))
    scores = np.full(33, 0.9)
    scores[2] = 0.8
    plan = FocusAllocator(QUIET).plan(context, scores, context.cost - 40, 0)
    assert plan == Plan(collapse=((1, 2), (1, 0)))


def test_an_expansion_without_cost_needs_no_free_budget():
    timeline = Timeline.of_documents([(0, 20)])
    context = plan_cover(timeline, 1, top_lod=1).apply(Plan(collapse=((2, 0),)))
    assert FocusAllocator(QUIET).plan(context, [1.0], 1, 0) == Plan(expand=((2, 0),))


def test_raw_blocks_do_not_expand_and_top_nodes_do_not_collapse():
    timeline = Timeline.of_documents([(0, 32)])
    raw = WorkingContext(timeline, np.array([0]), np.array([0]))
    top = WorkingContext(timeline, np.array([4]), np.array([0]))
    assert FocusAllocator(QUIET).plan(raw, [9.0], 1000, 0).empty
    assert FocusAllocator(QUIET).plan(top, [-9.0], 1000, 0).empty


def test_infinite_scores_always_and_never_expand():
    context = context_of((2, 0), (2, 1))
    plan = FocusAllocator(QUIET).plan(context, [np.inf, -np.inf], 1000, 0)
    assert plan == Plan(expand=((2, 0),))


def test_the_cooldown_ends_cooldown_plus_one_iterations_after_the_action():
    context = context_of(*gists(0, 32), (2, 1))
    allocator = FocusAllocator(QUIET)  # cooldown 2
    wish, dislike = np.zeros(33), np.zeros(33)
    wish[4], dislike[4] = 1.0, -1.0
    context = context.apply(allocator.plan(context, wish, 1000, 0))
    assert context.node(4) == (0, 4)
    assert allocator.plan(context, dislike, 1000, 1).empty
    assert allocator.plan(context, dislike, 1000, 2).empty
    plan = allocator.plan(context, dislike, 1000, 3)
    assert plan == Plan(collapse=((1, 4),))
    context = context.apply(plan)
    assert [allocator.plan(context, wish, 1000, t).n_actions for t in (4, 5, 6)] == [0, 0, 1]


def test_going_on_in_the_same_direction_needs_no_cooldown():
    context = context_of((2, 0), (2, 1))
    allocator = FocusAllocator(QUIET)
    context = context.apply(allocator.plan(context, [1.0, 0.0], 1000, 0))
    wish = np.zeros(33)
    wish[7] = 1.0
    assert allocator.plan(context, wish, 1000, 1) == Plan(expand=((1, 7),))


def test_an_empty_context_gives_an_empty_plan():
    context = plan_cover(Timeline.of_documents([]), 10)
    assert FocusAllocator(QUIET).plan(context, [], 10, 0).empty


@pytest.mark.parametrize(
    ("scores", "budget", "iteration", "message"),
    [
        ([0.0, np.nan], 10, 5, r"entry \(2, 1\) is not a number"),
        ([0.0], 10, 5, "context has 2 entries"),
        ([0.0, 0.0], -1, 5, "budget -1 is negative"),
        ([0.0, 0.0], 10, 4, "iteration 4 does not come after iteration 4"),
    ],
)
def test_nonsense_is_refused(scores, budget, iteration, message):
    context = context_of((2, 0), (2, 1))
    allocator = FocusAllocator(QUIET)
    allocator.plan(context, [0.0, 0.0], 10, 4)
    with pytest.raises(ValueError, match=message):
        allocator.plan(context, scores, budget, iteration)


@pytest.mark.parametrize("n_entries", [2_000, 20_000])
def test_planning_and_applying_is_fast(benchmark, n_entries):
    """Mixed levels: a third raw blocks, most of the rest LOD1."""
    timeline = Timeline.of_documents([(b, 40 * 32 - 7) for b in range(0, n_entries, 40)])
    context = plan_cover(timeline, timeline.total_blocks)
    rng = np.random.default_rng(0)
    third = rng.choice(len(context), len(context) // 3, replace=False)
    context = context.apply(Plan(expand=tuple(context.node(int(i)) for i in third)))
    scores = rng.normal(size=len(context))

    def plan_and_apply():
        fresh = WorkingContext(context.timeline, context.lod, context.index)
        return fresh.apply(FocusAllocator(QUIET).plan(fresh, scores, fresh.cost, 0))

    after = benchmark(plan_and_apply)
    assert after != context
    assert after.cost <= context.cost
