"""The vectorised timeline against the slow obvious one: a list of all live blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS, TOP_LOD, block_range
from mctool.core.timeline import Timeline


class ListedTimeline:
    """Every live block as (block id, document, first token position, tokens)."""

    def __init__(self, extents):
        self.blocks = []
        self.total_tokens = 0
        for document, (first_block, n_tokens) in enumerate(extents):
            for offset in range(0, n_tokens, BLOCK_TOKENS):
                tokens = min(BLOCK_TOKENS, n_tokens - offset)
                block = first_block + offset // BLOCK_TOKENS
                self.blocks.append((block, document, self.total_tokens, tokens))
                self.total_tokens += tokens

    def below(self, block):
        return [live for live in self.blocks if live[0] < block]

    def within(self, lod, index):
        first, end = block_range(lod, index)
        return [live for live in self.blocks if first <= live[0] < end]

    def nodes_at(self, lod):
        return sorted({live[0] // (block_range(lod, 0)[1]) for live in self.blocks})


@st.composite
def document_extents(draw):
    gaps = st.one_of(st.just(0), st.integers(1, 40), st.sampled_from([1024, SEGMENT_BLOCKS]))
    tokens = st.one_of(st.integers(1, 100), st.sampled_from([32, 1024, 1025, 3000]))
    block, extents = 0, []
    for gap, n_tokens in draw(st.lists(st.tuples(gaps, tokens), max_size=8)):
        block += gap
        extents.append((block, n_tokens))
        block += -(-n_tokens // BLOCK_TOKENS)
    return extents


def interesting_blocks(listed):
    """Block ids in and around all documents."""
    live = {block for block, *_ in listed.blocks}
    return sorted(
        {0, 5 * SEGMENT_BLOCKS} | live | {block + 1 for block in live} | {max(block - 1, 0) for block in live}
    )


@given(document_extents())
def test_block_lookups_agree_with_the_list(extents):
    timeline, listed = Timeline.of_documents(extents), ListedTimeline(extents)
    blocks = interesting_blocks(listed)
    live = {block: document for block, document, *_ in listed.blocks}

    assert timeline.total_blocks == len(listed.blocks)
    assert timeline.total_tokens == listed.total_tokens
    assert timeline.rank(blocks).tolist() == [len(listed.below(b)) for b in blocks]
    assert timeline.token_start(blocks).tolist() == [sum(tokens for *_, tokens in listed.below(b)) for b in blocks]
    assert timeline.document_of(blocks).tolist() == [live.get(b, -1) for b in blocks]
    assert timeline.blocks_at(np.arange(len(listed.blocks))).tolist() == list(live)


@given(document_extents(), st.integers(0, TOP_LOD))
def test_nodes_agree_with_the_list(extents, lod):
    timeline, listed = Timeline.of_documents(extents), ListedTimeline(extents)
    nodes = listed.nodes_at(lod)
    around = sorted({0} | set(nodes) | {node + 1 for node in nodes} | {max(node - 1, 0) for node in nodes})

    assert timeline.nodes_at(lod).tolist() == nodes
    assert timeline.n_nodes(lod) == len(nodes)
    assert timeline.node_rank(lod, around).tolist() == [sum(node < x for node in nodes) for x in around]
    assert timeline.live_blocks_of(lod, around).tolist() == [len(listed.within(lod, x)) for x in around]


@given(document_extents(), st.integers(0, TOP_LOD))
def test_token_ranges_agree_with_the_list(extents, lod):
    timeline, listed = Timeline.of_documents(extents), ListedTimeline(extents)
    nodes = listed.nodes_at(lod)
    start, end = timeline.token_range_of(lod, nodes)
    for node, start_token, end_token in zip(nodes, start, end, strict=True):
        inside = listed.within(lod, node)
        assert start_token == inside[0][2]
        assert end_token == inside[-1][2] + inside[-1][3]


@given(document_extents())
def test_children_agree_with_the_list(extents):
    timeline, listed = Timeline.of_documents(extents), ListedTimeline(extents)
    nodes = [(lod, index) for lod in range(1, TOP_LOD + 1) for index in listed.nodes_at(lod)]
    counts = timeline.n_children(*np.array(nodes, dtype=np.int64).reshape(-1, 2).T)
    for (lod, index), count in zip(nodes, counts, strict=True):
        fan_out = 1 if lod == 1 else BLOCK_TOKENS
        expected = [child for child in listed.nodes_at(lod - 1) if child // fan_out == index]
        assert timeline.children(lod, index).tolist() == expected
        assert count == len(expected)


def test_n_children_of_a_node_in_a_hole_is_zero():
    timeline = Timeline.of_documents([(0, 10), (100, 10)])
    assert timeline.n_children([1, 2, 2], [50, 1, 3]).tolist() == [0, 0, 1]


def test_timelines_are_equal_when_their_documents_are():
    timeline = Timeline.of_documents([(0, 40), (2, 7)])
    assert timeline == Timeline.of_documents([(0, 40), (2, 7)])
    assert timeline != Timeline.of_documents([(0, 40), (2, 8)])
    assert timeline != Timeline.of_documents([(0, 40)])


@pytest.mark.parametrize(
    ("extents", "message"),
    [
        ([(0, 0)], "at least one token"),
        ([(0, 33), (1, 5)], "overlap"),
        ([(8, 5), (0, 5)], "out of order"),
        ([(-1, 5)], "begin at 0"),
    ],
)
def test_impossible_documents_are_refused(extents, message):
    with pytest.raises(ValueError, match=message):
        Timeline.of_documents(extents)


def test_attributes_of_different_length_are_refused():
    with pytest.raises(ValueError, match="equal 1-D shapes"):
        Timeline(np.zeros(2, np.int64), np.ones(1, np.int64))
