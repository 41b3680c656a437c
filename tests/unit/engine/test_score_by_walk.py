"""The walk over a tree of tiny segments, against all of its keys."""

import numpy as np
import pytest

from mctool.core.evidence import TermHits
from mctool.core.timeline import Timeline
from mctool.engine.walk import score_by_walk
from mctool.focus.hybrid_lens import key_utilities
from mctool.tree.tree_keys import NodeScores

NONE = np.zeros(0, np.int64)
N_NODES = 400


class ListedKeys:
    """Keys that are known numbers; the last nodes lie in a segment without centroids."""

    def __init__(self, similarity, without=0):
        self.similarity = similarity
        self.nodes = np.arange(N_NODES - without)
        self.opened = None

    def scores(self, query):
        return self.similarity

    def node_scores(self, query):
        parts = self.similarity.reshape(N_NODES, 8, 4).mean(axis=2)[: len(self.nodes)]
        return NodeScores(self.nodes, parts.max(axis=1), parts)

    def scores_within(self, query, opened, elsewhere):
        self.opened = opened
        known = self.similarity[: len(self.nodes) * 32].reshape(-1, 8, 4)
        near = np.where(opened[:, None, None], known, elsewhere[:, :, None])
        return np.concatenate([near.reshape(-1), self.similarity[len(self.nodes) * 32 :]])


@pytest.fixture
def similarity():
    return np.random.default_rng(0).normal(0, 0.05, N_NODES * 32).astype(np.float32)


@pytest.fixture
def live():
    return Timeline(np.array([0, 200 * 32]), np.array([200 * 1024, 200 * 1024]))


QUERY = np.zeros(8, np.float32)


def test_a_block_that_stands_out_is_found_and_little_is_read(live, similarity):
    similarity[7000] = 0.9
    keys = ListedKeys(similarity)
    found = score_by_walk(keys, live, QUERY, [])
    assert found.share == pytest.approx((keys.opened.sum() + N_NODES / 32) / N_NODES)
    assert found.share <= 0.08
    assert found.similarity.argmax() == 7000
    flat, near = key_utilities(live, similarity), key_utilities(live, found.similarity)
    assert (flat.argmax(), near.argmax()) == (7000, 7000)
    np.testing.assert_allclose(near[6980:7005], flat[6980:7005], atol=0.05)


def test_blocks_that_were_not_read_stand_out_nowhere(live, similarity):
    keys = ListedKeys(similarity)
    found = score_by_walk(keys, live, QUERY, [])
    closed = np.repeat(~keys.opened, 32)
    assert found.similarity.mean() == pytest.approx(similarity.mean(), abs=1e-3)
    assert found.similarity[closed].max() < np.sort(similarity)[-512]
    assert key_utilities(live, found.similarity)[closed].max() < 0.5


def test_words_lead_to_a_node_that_no_centroid_speaks_for(live, similarity):
    similarity[32 * 300 : 32 * 301] = -0.5
    similarity[32 * 300 + 3] = 0.6
    blind, told = ListedKeys(similarity), ListedKeys(similarity)
    score_by_walk(blind, live, QUERY, [])
    assert not blind.opened[300]
    found = score_by_walk(told, live, QUERY, [TermHits("rare", np.array([32 * 300 + 3]), NONE, NONE)])
    assert told.opened[300]
    assert found.similarity.argmax() == 32 * 300 + 3


def test_documents_that_are_few_are_read_whole(live, similarity):
    few = Timeline(np.array([0, 390 * 32]), np.array([390 * 1024, 10 * 1024]))
    keys = ListedKeys(similarity)
    found = score_by_walk(keys, few, QUERY, [], np.array([1]))
    np.testing.assert_array_equal(found.similarity[390 * 32 :], similarity[390 * 32 :])
    assert not keys.opened[:390].any()


def test_segments_without_centroids_count_as_read(live, similarity):
    found = score_by_walk(ListedKeys(similarity, without=100), live, QUERY, [])
    np.testing.assert_array_equal(found.similarity[-3200:], similarity[-3200:])
    assert 0.25 < found.share < 0.25 + 0.08
    alone = score_by_walk(ListedKeys(similarity, without=N_NODES), live, QUERY, [])
    assert alone.share == 1
    np.testing.assert_array_equal(alone.similarity, similarity)
