import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.blocks import (
    BLOCK_TOKENS,
    SEGMENT_BLOCKS,
    TOP_LOD,
    block_range,
    blocks_per_node,
    node_of_block,
    nodes_in_segment,
    parent,
)

block_ids = st.integers(0, 50 * SEGMENT_BLOCKS)
gist_levels = st.integers(1, TOP_LOD)


def test_each_gist_level_covers_32_times_as_many_blocks():
    assert [blocks_per_node(lod) for lod in range(TOP_LOD + 1)] == [1, 1, 32, 1024, 32768]


@given(block_ids, st.integers(0, TOP_LOD))
def test_node_of_block_is_the_node_whose_range_holds_the_block(block, lod):
    first, end = block_range(lod, node_of_block(block, lod))
    assert first <= block < end
    assert end - first == blocks_per_node(lod)


@given(block_ids, st.integers(0, TOP_LOD - 1))
def test_parent_covers_the_same_block_one_level_coarser(block, lod):
    assert parent(lod, node_of_block(block, lod)) == (lod + 1, node_of_block(block, lod + 1))


@given(block_ids, gist_levels)
def test_every_node_lies_within_one_segment(block, lod):
    first, end = block_range(lod, node_of_block(block, lod))
    assert first // SEGMENT_BLOCKS == (end - 1) // SEGMENT_BLOCKS


@given(gist_levels, st.integers(1, SEGMENT_BLOCKS))
def test_nodes_in_segment_counts_up_to_the_node_of_the_last_block(lod, n_blocks):
    assert nodes_in_segment(lod, n_blocks) == node_of_block(n_blocks - 1, lod) + 1


@pytest.mark.parametrize(("n_blocks", "counts"), [(1, [1, 1, 1, 1]), (33, [33, 2, 1, 1]), (1025, [1025, 33, 2, 1])])
def test_nodes_in_segment_by_level(n_blocks, counts):
    assert [nodes_in_segment(lod, n_blocks) for lod in range(1, TOP_LOD + 1)] == counts


def test_a_top_level_node_is_a_whole_segment():
    assert block_range(TOP_LOD, 3) == (3 * SEGMENT_BLOCKS, 4 * SEGMENT_BLOCKS)
    assert SEGMENT_BLOCKS * BLOCK_TOKENS == 2**20
