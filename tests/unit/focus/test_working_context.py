import numpy as np
import pytest
from focus_strategies import contexts, timelines
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD, block_range, parent
from mctool.core.timeline import Timeline
from mctool.focus import Plan, WorkingContext, plan_cover

TWO_BOOKS = Timeline.of_documents([(0, 1100), (40, 70)])  # 35 blocks, a hole of 5, then 3 blocks


def raw_context(timeline):
    blocks = timeline.nodes_at(0)
    return WorkingContext(timeline, np.zeros(len(blocks), np.int8), blocks)


def live_blocks(timeline, lod, index):
    blocks = np.arange(*block_range(lod, index))
    return blocks[timeline.document_of(blocks) >= 0].tolist()


def legal_actions(context):
    """All legal expansions and collapses, found entry by entry."""
    entries = {context.node(i) for i in range(len(context))}
    expand = {node for node in entries if node[0] > 0}
    parents = {parent(*node) for node in entries if node[0] < TOP_LOD}
    collapse = {
        (lod, index)
        for lod, index in parents
        if all((lod - 1, int(child)) in entries for child in context.timeline.children(lod, index))
    }
    return expand, collapse


@given(contexts())
def test_entries_cover_every_live_block_once_in_order(context):
    covered = [b for i in range(len(context)) for b in live_blocks(context.timeline, *context.node(i))]
    assert covered == context.timeline.nodes_at(0).tolist()


@given(contexts())
def test_a_raw_block_costs_its_tokens_and_a_gist_one(context):
    tokens = context.end_token - context.start_token
    assert context.costs.tolist() == [int(t) if lod == 0 else 1 for lod, t in zip(context.lod, tokens, strict=True)]
    assert context.cost == sum(context.costs.tolist())


@given(contexts())
def test_collapse_groups_are_the_nodes_whose_children_are_all_entries(context):
    _, expected = legal_actions(context)
    groups = context.collapse_groups
    assert set(zip(groups.lod.tolist(), groups.index.tolist(), strict=True)) == expected
    assert len(groups) == len(expected)


@given(contexts(), st.data())
def test_an_action_changes_the_cost_by_what_was_announced(context, data):
    groups = context.collapse_groups
    for position in data.draw(st.lists(st.integers(0, len(context) - 1), max_size=3, unique=True)):
        if context.lod[position] > 0:
            after = context.apply(Plan(expand=(context.node(position),)))
            assert after.cost - context.cost == context.expand_costs(np.array([position]))[0]
    if len(groups):
        g = data.draw(st.integers(0, len(groups) - 1))
        after = context.apply(Plan(collapse=((int(groups.lod[g]), int(groups.index[g])),)))
        assert context.cost - after.cost == groups.refund[g]


@given(contexts(), st.data())
def test_many_actions_at_once_equal_the_same_actions_one_by_one(context, data):
    expand, collapse = legal_actions(context)
    collapses = data.draw(st.lists(st.sampled_from(sorted(collapse)), unique=True, max_size=6)) if collapse else []
    expands = [
        node
        for node in (data.draw(st.lists(st.sampled_from(sorted(expand)), unique=True, max_size=6)) if expand else [])
        if parent(*node) not in collapses
    ]
    one_by_one = context
    for node in expands:
        one_by_one = one_by_one.apply(Plan(expand=(node,)))
    for node in collapses:
        one_by_one = one_by_one.apply(Plan(collapse=(node,)))
    assert context.apply(Plan(tuple(expands), tuple(collapses))) == one_by_one


@given(contexts())
def test_expanding_all_and_collapsing_it_gives_the_context_back(context):
    nodes = tuple(context.node(int(i)) for i in np.flatnonzero(context.lod > 0))
    assert context.apply(Plan(expand=nodes)).apply(Plan(collapse=nodes)) == context


@given(timelines())
def test_collapsing_all_raw_blocks_gives_the_finest_cover(timeline):
    nodes = tuple((1, int(b)) for b in timeline.nodes_at(1))
    assert raw_context(timeline).apply(Plan(collapse=nodes)) == plan_cover(timeline, timeline.total_blocks)


def test_group_score_is_the_highest_of_its_entries():
    context = plan_cover(TWO_BOOKS, 38)  # LOD1; LOD2 groups of 32, and of 3 + 3 around the hole
    scores = np.zeros(len(context))
    scores[[5, 33]] = -3.0, 7.0
    assert context.collapse_groups.index.tolist() == [0, 1]
    assert context.collapse_groups.highest(scores - 1).tolist() == [-1.0, 6.0]


def test_apply_leaves_the_former_value_alone_and_arrays_are_read_only():
    context = plan_cover(TWO_BOOKS, 2)
    context.apply(Plan(expand=((2, 0),)))
    assert [context.node(i) for i in range(2)] == [(2, 0), (2, 1)]
    with pytest.raises(ValueError, match="read-only"):
        context.lod[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        context.costs[0] = 9


def test_an_entry_array_of_the_caller_stays_writable():
    index = np.array([0, 1])
    WorkingContext(TWO_BOOKS, np.array([2, 2], np.int8), index)
    index[0] = 5
    assert index.tolist() == [5, 1]


def test_a_context_without_documents_has_no_entries_and_no_actions():
    context = plan_cover(Timeline.of_documents([]), 0)
    assert (len(context), context.cost, len(context.collapse_groups)) == (0, 0, 0)
    assert context.apply(Plan()) == context


@pytest.mark.parametrize(
    ("lod", "index"),
    [
        ([2], [0]),  # ends too early
        ([2], [1]),  # begins too late
        ([], []),
        ([2, 2, 2], [0, 0, 1]),  # twice
        ([2, 1, 2], [0, 5, 1]),  # overlap
        ([2, 1, 1], [0, 33, 34]),  # gap
        ([2, 1, 2], [0, 37, 1]),  # an entry without live blocks
        ([2, 2], [1, 0]),  # order
        ([5], [0]),
        ([-1], [0]),
        ([3, 3], [0]),
    ],
)
def test_entries_that_do_not_tile_the_timeline_are_refused(lod, index):
    with pytest.raises(ValueError, match=r"begins at token|not within|equal 1-D"):
        WorkingContext(TWO_BOOKS, np.array(lod, dtype=np.int64), np.array(index, dtype=np.int64))


def test_a_level_that_overflows_the_array_type_is_refused():
    with pytest.raises(ValueError, match="not within"):
        WorkingContext(TWO_BOOKS, np.array([258, 258]), np.array([0, 1]))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(expand=((0, 3),)),  # raw blocks have no children
        Plan(expand=((2, 7),)),  # not an entry
        Plan(expand=((1, 40),)),  # deeper than the entry
        Plan(expand=((3, 0),)),  # coarser than the entries
        Plan(expand=((2, 1), (2, 1))),
        Plan(collapse=((3, 0),)),  # only one of its children is an entry
        Plan(collapse=((2, 1),)),  # is itself an entry
        Plan(collapse=((2, 37),)),
        Plan(collapse=((1, 3), (1, 3))),
        Plan(collapse=((5, 0),)),
        Plan(collapse=((0, 3),)),
        Plan(expand=((1, 0),), collapse=((2, 0),)),
    ],
)
def test_illegal_plans_are_refused(plan):
    context = plan_cover(TWO_BOOKS, 2).apply(Plan(expand=((2, 0),))).apply(Plan(expand=((1, 3),)))
    with pytest.raises(ValueError, match=r"cannot (expand|collapse)|twice"):
        context.apply(plan)


def test_a_plan_that_expands_what_it_collapses_is_refused():
    context = plan_cover(TWO_BOOKS, 2).apply(Plan(expand=((2, 0),)))
    with pytest.raises(ValueError, match=r"touches entry \(1, 4\) twice"):
        context.apply(Plan(expand=((1, 4),), collapse=((2, 0),)))


def test_a_node_with_one_live_child_expands_at_no_cost():
    context = plan_cover(Timeline.of_documents([(64, BLOCK_TOKENS)]), 1, top_lod=1).apply(Plan(collapse=((2, 2),)))
    assert context.expand_costs(np.array([0])).tolist() == [0]
    assert context.apply(Plan(expand=((2, 2),))).cost == 1
