"""Which nodes the walk looks into."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.evidence import TermHits
from mctool.core.timeline import Timeline
from mctool.focus.walk import node_words, plan_walk

NONE = np.zeros(0, np.int64)


def term(name, blocks=NONE, definitions=NONE):
    return TermHits(name, np.array(blocks, np.int64), np.array(definitions, np.int64), NONE)


def timeline(n_nodes, n_documents=4):
    """Documents of equal size over some nodes, with a hole of ten nodes before them."""
    first = 320 + np.arange(n_documents) * (n_nodes * 32 // n_documents)
    return Timeline(first, np.full(n_documents, n_nodes * 32 // n_documents * 32))


@given(
    similarity=st.lists(st.floats(-1, 1), min_size=4, max_size=200),
    hits=st.lists(st.sets(st.integers(0, 127), max_size=20), max_size=3),
    share=st.floats(0, 1),
)
def test_no_more_than_the_share_is_read_and_the_nearest_of_the_rest_first(similarity, hits, share):
    similarity = np.array(similarity[: len(similarity) // 4 * 4], np.float32)
    live = timeline(len(similarity))
    terms = [term(str(n), sorted(one)) for n, one in enumerate(hits)]
    nodes = live.nodes_at(2)
    opened = plan_walk(live, terms, nodes, similarity, share=share)
    n_read = opened.sum() + len(nodes) / 32
    assert n_read <= max(share * len(nodes), len(nodes) / 32) + 1e-6
    without_words = ~(node_words(live, terms, nodes) > 0)
    if (opened & without_words).any():
        assert similarity[opened & without_words].min() >= similarity[~opened & without_words].max(initial=-1)
    np.testing.assert_array_equal(opened, plan_walk(live, terms, nodes, similarity, share=share))


def test_words_and_centroids_choose_half_each():
    live = timeline(320)
    similarity = np.linspace(0, 1, 320)
    rare, common = term("rare", [5 * 32]), term("common", range(0, 320 * 32, 3))
    opened = plan_walk(live, [rare, common], live.nodes_at(2), similarity)
    assert opened[5]
    assert opened[-7:].all()
    assert opened.sum() == int(320 * (0.08 - 1 / 32))


def test_a_definition_counts_more_than_a_mention():
    live = timeline(64)
    words = node_words(live, [term("f", [0, 40, 41, 99], [99])], live.nodes_at(2))
    assert words.argsort()[::-1][:3].tolist() == [3, 1, 0]
    assert (words[4:] == 0).all()


def test_only_nodes_of_the_documents_are_looked_into():
    live = timeline(320)
    similarity = np.linspace(0, 1, 320)
    opened = plan_walk(live, [term("a", [300 * 32])], live.nodes_at(2), similarity, np.array([1]))
    assert set(np.flatnonzero(opened)) <= set(range(80, 160))
    assert opened[159]
    opened = plan_walk(live, [], live.nodes_at(2), similarity, np.array([2]), share=1)
    assert np.flatnonzero(opened).tolist() == list(range(160, 240))
    assert not plan_walk(live, [], live.nodes_at(2), similarity, NONE).any()


def test_nodes_that_are_not_asked_about_are_left_out():
    live = timeline(64)
    nodes = live.nodes_at(2)[10:]
    words = node_words(live, [term("a", [0, 9 * 32, 10 * 32])], nodes)
    assert np.flatnonzero(words).tolist() == [0]
