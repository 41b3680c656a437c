import numpy as np
from focus_strategies import timelines
from hypothesis import given
from hypothesis import strategies as st

from mctool.core.evidence import TermHits
from mctool.core.timeline import Timeline
from mctool.focus.entry_features import NAMES, find_candidates
from mctool.focus.scored_lens import scored_lens

TIMELINE = Timeline.of_documents([(0, 640), (20, 320), (50, 320)])
"""Ranks 0-19, 20-29 and 30-39."""
NONE = np.zeros(0, np.int64)


def term(*blocks, definitions=(), documents=()):
    return TermHits("t", *(np.array(places, np.int64) for places in (blocks, definitions, documents)))


def similarity(**values):
    found = np.full(TIMELINE.total_blocks, 0.2, np.float32)
    for name, value in values.items():
        found[int(name[1:])] = value
    return found


def column(candidates, name):
    return dict(zip(candidates.ranks.tolist(), candidates.features[:, NAMES.index(name)].tolist(), strict=True))


def test_candidates_are_what_words_or_keys_speak_for():
    found = find_candidates(TIMELINE, [term(25)], similarity(b7=0.9), 512)
    assert {6, 7, 8, 21, 25, 29} <= set(found.ranks.tolist())
    assert not {0, 15, 30, 39} & set(found.ranks.tolist())
    assert found.features.shape == (len(found.ranks), len(NAMES))


def test_the_best_are_kept_when_there_are_too_many():
    found = find_candidates(TIMELINE, [term(25)], similarity(b7=0.9), 3)
    assert len(found.ranks) == 3
    assert {7, 25} <= set(found.ranks.tolist())


def test_words_are_counted_within_their_document():
    found = find_candidates(TIMELINE, [term(19), term(25)], similarity(b18=0.5, b20=0.9), 512)
    covered = column(found, "coverage within 1")
    assert covered[19] == covered[18] > 0
    assert covered[20] == 0  # block 19 is of another document
    assert column(found, "coverage of the document")[20] > 0
    assert column(found, "BM25 within 0")[19] == 1


def test_definitions_paths_and_unknown_words_are_seen():
    found = find_candidates(
        TIMELINE, [term(5, 33, definitions=(5,)), term(documents=(2,)), term()], similarity(b33=0.9), 512
    )
    here, after, path = (column(found, name) for name in ("defined here", "defined just before", "named by the path"))
    assert here[5] > here[6] == 0
    assert after[6] == after[5] > after[9] == 0
    assert path[33] > path[5] == 0
    assert set(column(found, "unknown words of the question").values()) == {np.float32(1 / 3)}


def test_without_evidence_there_is_nothing_to_look_at():
    found = find_candidates(TIMELINE, [], similarity(), 512)
    assert found.features.shape == (0, len(NAMES))
    assert not scored_lens(TIMELINE, found, np.zeros(0)).utility.any()


def test_scores_become_utilities_with_the_best_at_one():
    found = find_candidates(TIMELINE, [term(25)], similarity(b7=0.9), 512)
    scores = np.where(found.ranks == 8, 3.0, -np.arange(len(found.ranks)))
    lens = scored_lens(TIMELINE, found, scores)
    assert (lens.name, lens.utility.argmax(), lens.utility[8], lens.utility[39]) == ("hybrid", 8, 1, 0)
    order = np.argsort(-scores)
    assert (np.diff(lens.utility[found.ranks[order]]) < 0).all()


@given(timelines(), st.data())
def test_features_are_finite_and_bounded_on_any_timeline(timeline, data):
    n = timeline.total_blocks
    ranks = st.lists(st.integers(0, n - 1), max_size=6, unique=True).map(sorted)
    documents = st.lists(st.integers(0, len(timeline.n_tokens) - 1), max_size=2, unique=True).map(sorted)
    hits = [
        term(*data.draw(ranks), definitions=data.draw(ranks), documents=data.draw(documents))
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    cosines = np.array(data.draw(st.lists(st.floats(-1, 1), min_size=n, max_size=n)), np.float32)
    found = find_candidates(timeline, hits, cosines, 8)
    assert len(found.ranks) <= 8
    assert (np.diff(found.ranks) > 0).all()
    assert np.isfinite(found.features).all()
    assert np.isfinite(found.features.astype(np.float16)).all()
