"""BM25 over any texts, in memory: the ordinary ranking that measurements compare with.

Terms are those of the lexical index, so that a comparison is about what is ranked, not about stemming.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import tantivy

from mctool.tree.terms import question_terms, terms

FloatArray = npt.NDArray[np.float64]

_WRITER_BYTES = 64 << 20


class Bm25Ranking:
    """Texts that can be scored for questions; made by :func:`rank_texts`."""

    def __init__(self, index: Any, n_texts: int) -> None:
        index.reload()
        self._schema = index.schema
        self._searcher = index.searcher()
        self._n_texts = n_texts

    def scores(self, question: str) -> FloatArray:
        """BM25 of each text, 0 where it shares no term with the question, shape [n].

        Source: BM25 (Robertson & Zaragoza 2009) as in tantivy, k1 = 1.2 and b = 0.75; lengths are rounded.
        """
        scores = np.zeros(self._n_texts)
        wanted = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "text", term, "freq"))
            for term in question_terms(question)
        ]
        if not wanted or not self._n_texts:
            return scores
        found = self._searcher.search(tantivy.Query.boolean_query(wanted), limit=self._n_texts, count=False).hits
        places = self._searcher.fast_field_values("place", [address for _, address in found])
        scores[np.array(places, np.int64)] = [score for score, _ in found]
        return scores


def rank_texts(texts: Iterable[str]) -> Bm25Ranking:
    """Index texts for :meth:`Bm25Ranking.scores`."""
    schema = (
        tantivy.SchemaBuilder()
        .add_integer_field("place", stored=False, indexed=False, fast=True)
        .add_text_field("text", tokenizer_name="whitespace", index_option="freq")
        .build()
    )
    index = tantivy.Index(schema)
    writer = index.writer(_WRITER_BYTES, 1)
    n_texts = 0
    for text in texts:
        writer.add_document(tantivy.Document(place=n_texts, text=" ".join(terms(text))))
        n_texts += 1
    writer.commit()
    writer.wait_merging_threads()
    return Bm25Ranking(index, n_texts)
