import numpy as np
import pytest
from focus_strategies import timelines
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.evidence import TermHits
from mctool.core.timeline import Timeline
from mctool.focus.hybrid_lens import hybrid_lens, key_lens, key_utilities
from mctool.focus.lens import UtilityLens
from mctool.focus.lexical_lens import lexical_lens

TIMELINE = Timeline.of_documents([(0, 640), (20, 320), (50, 320)])
"""Ranks 0-19, 20-29 and 30-39."""


def hits(*blocks):
    none = np.zeros(0, np.int64)
    return [TermHits("term", np.array(blocks, np.int64), none, none)]


def similarity(**values):
    """All alike but for some blocks: ``b7=0.9``."""
    found = np.full(TIMELINE.total_blocks, 0.2, np.float32)
    for name, value in values.items():
        found[int(name[1:])] = value
    return found


def test_without_a_hit_the_most_similar_block_is_best_and_its_neighbours_follow():
    lens = hybrid_lens(TIMELINE, [], similarity(b7=0.9))
    assert (lens.name, lens.utility.argmax(), lens.utility[7]) == ("hybrid", 7, 1)
    assert lens.utility[6] == lens.utility[8] > lens.utility[5] == 0


def test_without_similarity_it_is_the_lexical_lens():
    lexical = lexical_lens(TIMELINE, hits(3, 25))
    for alike in (similarity(), np.zeros(40)):
        np.testing.assert_allclose(hybrid_lens(TIMELINE, hits(3, 25), alike).utility, lexical.utility)


def test_a_block_that_both_speak_for_beats_those_of_one():
    assert hybrid_lens(TIMELINE, hits(3, 25), similarity(b25=0.7, b35=0.75)).utility.argmax() == 25


def test_neighbours_end_with_the_document():
    utility = key_utilities(TIMELINE, similarity(b19=0.9))
    assert (utility[18] > 0, utility[20]) == (True, 0)
    assert utility[19] == 1
    inside = key_utilities(TIMELINE, similarity(b10=0.9, b19=0.9))
    assert inside[19] > inside[10]  # it stands in for the neighbour that it lacks


def test_only_the_documents_that_are_searched_count():
    found = similarity(b7=0.9, b25=0.5, b35=0.4)
    lens = hybrid_lens(TIMELINE, hits(7), found, np.array([1, 2]))
    assert not lens.utility[:20].any()
    assert lens.utility.argmax() == 25
    # What is not searched does not tell how much a block of the others stands out.
    np.testing.assert_allclose(
        lens.utility, hybrid_lens(TIMELINE, [], similarity(b25=0.5, b35=0.4), np.array([1, 2])).utility
    )
    assert not hybrid_lens(TIMELINE, [], found, np.zeros(0, np.int64)).utility.any()


def test_similarity_of_other_blocks_is_refused():
    with pytest.raises(ValueError, match=r"\[40\]"):
        hybrid_lens(TIMELINE, [], np.zeros(39))


def test_an_empty_tree_has_no_utilities():
    assert len(hybrid_lens(Timeline.of_documents([]), [], np.zeros(0, np.float32)).utility) == 0


@given(timelines(), st.data())
def test_utilities_are_within_0_and_1_and_the_best_is_1(timeline, data):
    n, n_documents = timeline.total_blocks, len(timeline.first_block)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    found = rng.choice([-1.0, 0.0, 0.3, 0.31, 1.0], n).astype(np.float32) * data.draw(st.sampled_from([0.0, 1e-4, 1.0]))
    ranks = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), max_size=3))), np.int64)
    documents = data.draw(st.none() | st.sets(st.integers(0, n_documents - 1)))
    allowed = None if documents is None else np.array(sorted(documents), np.int64)
    for lens in (hybrid_lens(timeline, hits(*ranks), found, allowed), key_lens(timeline, found, allowed)):
        assert isinstance(lens, UtilityLens)
        assert np.isfinite(lens.utility).all()
        assert lens.utility.shape == (n,)
        assert lens.utility.min() >= 0
        assert lens.utility.max() == 1 or not lens.utility.any()
        outside = ~np.isin(
            timeline.document_of(timeline.blocks_at(np.arange(n))),
            range(n_documents) if documents is None else list(documents),
        )
        assert not lens.utility[outside].any()
    if lexical_lens(timeline, hits(*ranks), allowed).utility.any():
        assert hybrid_lens(timeline, hits(*ranks), found, allowed).utility.max() == 1
