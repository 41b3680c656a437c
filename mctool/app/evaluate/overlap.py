"""Recall by how much of a question's words its answer shares: where few are shared, words alone do not find it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mctool.core.records import Record
from mctool.core.timeline import IntArray
from mctool.tree.terms import question_terms, terms

THIRDS = ("lowest", "middle", "highest")


@dataclass(frozen=True)
class ThirdRow(Record):
    """One signal on one third of a set's questions, by lexical overlap.

    Attributes:
        set: The set.
        signal: The signal.
        budget: Raw tokens that the window may show.
        third: lowest, middle or highest.
        least_overlap: Of the third's questions, the least share of terms that stand in the blocks of the answer.
        most_overlap: Likewise, the most.
        recall: Share of questions whose answer was shown.
        se: Its standard error.
        n: Questions.
    """

    set: str
    signal: str
    budget: int
    third: str
    least_overlap: float
    most_overlap: float
    recall: float
    se: float
    n: int


def lexical_overlap(question: str, texts: Sequence[str]) -> float:
    """Share of the question's terms, stemmed and without stop words, that any of the texts holds; 0 without terms.

    Args:
        question: What is asked.
        texts: Of the blocks of its answer.
    """
    wanted = question_terms(question)
    held = {term for text in texts for term in terms(text)}
    return sum(term in held for term in wanted) / len(wanted) if wanted else 0.0


def thirds(overlaps: Sequence[float]) -> list[tuple[str, IntArray]]:
    """Places of the questions of each third, lowest overlap first; equals in their order, no third without questions.

    Args:
        overlaps: Of all questions of a set.
    """
    order = np.argsort(np.asarray(overlaps, np.float64), kind="stable")
    parts = zip(THIRDS, np.array_split(order, len(THIRDS)), strict=True)
    return [(name, places) for name, places in parts if len(places)]


def rows_by_third(
    name: str, budget: int, overlaps: Sequence[float], found: Mapping[str, Sequence[bool]]
) -> list[ThirdRow]:
    """Rows of all signals, those of a signal one after the other.

    Args:
        name: Of the set.
        budget: Raw tokens that the window may show.
        overlaps: Of each question.
        found: By signal, whether the answer of each question was shown.
    """
    parts = thirds(overlaps)
    rows = []
    for signal, seen in found.items():
        for third, places in parts:
            recall = float(np.mean(np.asarray(seen)[places]))
            shares = np.asarray(overlaps)[places]
            rows.append(
                ThirdRow(
                    set=name,
                    signal=signal,
                    budget=budget,
                    third=third,
                    least_overlap=float(shares.min()),
                    most_overlap=float(shares.max()),
                    recall=recall,
                    se=float(np.sqrt(recall * (1 - recall) / len(places))),
                    n=len(places),
                )
            )
    return rows
