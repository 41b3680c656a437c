import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mctool.tree.bm25 import rank_texts
from mctool.tree.terms import question_terms, terms

WORDS = ("harbour", "lantern", "storm", "parseJson", "the")


def plain_bm25(texts, question, k1=1.2, b=0.75):
    """The textbook formula."""
    held = [terms(text) for text in texts]
    mean = sum(map(len, held)) / len(held)
    scores = np.zeros(len(texts))
    for term in question_terms(question):
        n = sum(term in one for one in held)
        idf = np.log(1 + (len(held) - n + 0.5) / (n + 0.5))
        for place, one in enumerate(held):
            count = one.count(term)
            scores[place] += idf * count * (k1 + 1) / (count + k1 * (1 - b + b * len(one) / mean)) if count else 0
    return scores


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join), min_size=1, max_size=6),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
)
def test_scores_are_bm25(texts, question):
    np.testing.assert_allclose(rank_texts(texts).scores(question), plain_bm25(texts, question), rtol=1e-5)


def test_a_question_of_unknown_words_scores_nothing():
    assert rank_texts(["one text", "two texts"]).scores("zebra").tolist() == [0, 0]
    assert rank_texts(["one text"]).scores("?!").tolist() == [0]
    assert rank_texts([]).scores("zebra").tolist() == []
