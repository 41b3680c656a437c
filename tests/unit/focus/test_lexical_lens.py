import numpy as np
from focus_strategies import timelines
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.evidence import TermHits
from mctool.core.timeline import Timeline
from mctool.focus.lexical_lens import block_utilities, lexical_lens, shown_share

TIMELINE = Timeline.of_documents([(0, 640), (20, 320), (50, 320)])
"""Ranks 0-19, 20-29 and 30-39."""


def hits(blocks=(), definitions=(), documents=(), term="term"):
    return TermHits(term, *(np.array(sorted(ranks), np.int64) for ranks in (blocks, definitions, documents)))


def test_without_hits_all_utilities_are_zero():
    assert not block_utilities(TIMELINE, []).any()
    assert len(block_utilities(Timeline.of_documents([]), [])) == 0


def test_the_block_that_holds_the_term_is_best_and_its_neighbours_follow():
    utility = block_utilities(TIMELINE, [hits([10])])
    assert utility.argmax() == 10
    assert utility[10] == 1
    assert utility[10] > utility[11] > utility[14] > 0
    assert utility[9] == utility[11]
    assert utility[15:].max() == 0


def test_windows_end_with_the_document():
    utility = block_utilities(TIMELINE, [hits([19], definitions=[19])])
    assert utility[19] == 1
    assert utility[18] > 0
    assert not utility[20:].any()


def test_a_block_with_both_terms_beats_blocks_with_one():
    assert block_utilities(TIMELINE, [hits([2, 10]), hits([10, 25])]).argmax() == 10


def test_a_rare_term_tells_more_than_a_common_one():
    utility = block_utilities(TIMELINE, [hits(range(5)), hits([25])])
    assert utility.argmax() == 25


def test_a_definition_beats_a_use_and_its_body_follows():
    utility = block_utilities(TIMELINE, [hits([5, 25], definitions=[25])])
    assert utility.argmax() == 25
    assert utility[26] > utility[24]


def test_a_term_in_the_path_lifts_the_whole_document():
    utility = block_utilities(TIMELINE, [hits([5, 25], documents=[1])])
    assert utility.argmax() == 25
    assert (utility[20:30] > 0).all()
    assert utility[30:].max() == 0


def test_only_the_documents_that_are_searched_count():
    lens = lexical_lens(TIMELINE, [hits([5, 25, 35])], np.array([1, 2]))
    assert lens.name == "lexical"
    assert not lens.utility[:20].any()
    assert lens.utility[[25, 35]].tolist() == [1, 1]


def test_the_share_that_is_shown_weighs_terms_by_their_rarity():
    rare, common, nowhere = hits([3]), hits(range(10, 40)), hits()
    assert shown_share(TIMELINE, [rare, common, nowhere], np.array([0, 1])) == 0
    assert shown_share(TIMELINE, [rare, common], np.array([3, 12])) == 1
    with_rare = shown_share(TIMELINE, [rare, common, nowhere], np.array([3]))
    with_common = shown_share(TIMELINE, [rare, common, nowhere], np.array([12]))
    assert 0 < with_common < 0.1 < with_rare < 0.5
    assert shown_share(TIMELINE, [], np.array([3])) == 0


@given(timelines(), st.data())
def test_utilities_are_within_0_and_1_and_the_best_is_1(timeline, data):
    ranks = st.sets(st.integers(0, timeline.total_blocks - 1), max_size=5)
    documents = st.sets(st.integers(0, len(timeline.first_block) - 1), max_size=2)
    found = [hits(data.draw(ranks), data.draw(ranks), data.draw(documents)) for _ in range(3)]
    utility = block_utilities(timeline, found)
    assert utility.shape == (timeline.total_blocks,)
    assert (utility >= 0).all()
    any_hit = any(len(term.blocks) or len(term.definitions) or len(term.documents) for term in found)
    assert utility.max() == (1 if any_hit else 0)
