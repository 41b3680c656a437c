"""Functions of packages and what is asked for them, to train the reranker on.

Questions are those of the records and, where a function kept its docstring, the first sentence of it: the text of a
function that is asked for lacks its docstring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from mctool.core.errors import UsageError
from mctool.nets.reranker import shown_function
from mctool.sources.corpus import IntArray, Sample, SampleDocument
from mctool.sources.definitions import defined_spans
from mctool.sources.docstrings import Documented, documented
from mctool.tree.bm25 import rank_texts

Vectors = Callable[[Sequence[str], bool], npt.NDArray[np.float32]]
"""Texts, or questions if the second argument is true, to vectors of length 1, shape [n, D]."""

LONGEST = 4000
"""Characters that are kept of a function."""

SHORTEST = 30
"""Characters of a function that is worth naming."""

NEAR_KEYS, NEAR_WORDS = 32, 12
"""Functions that mislead: so many whose vectors are like the question, and so many that share words with it."""

BARE_SHARE = 0.7
"""Share of the functions that are not asked for which lack their docstrings too, lest that gives the others away."""


@dataclass(frozen=True)
class Function:
    """A function or a class.

    Attributes:
        name: As in ``path:Class.method``.
        text: As it stands.
        bare: Without its docstring.
        question: What is asked for it; None where nothing is.
    """

    name: str
    text: str
    bare: str
    question: str | None

    def overlaps(self, other: Function) -> bool:
        """Whether one is part of the other, or they say the same: neither is wrong in place of the other."""
        return (
            self.name.startswith(f"{other.name}.") or other.name.startswith(f"{self.name}.") or self.bare == other.bare
        )


@dataclass(frozen=True)
class RerankBatch:
    """What one step of training reads.

    Attributes:
        questions: Q of them, on one package.
        texts: Functions of it, N of them.
        wanted: Index of the text that each question asks for, shape [Q].
        spared: Texts that are neither right nor wrong, shape [Q, N].
    """

    questions: list[str]
    texts: list[str]
    wanted: IntArray
    spared: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RerankShape:
    """What a batch is made of: questions, and functions that mislead to each."""

    questions: int = 10
    misleading: int = 2

    def __post_init__(self) -> None:
        if self.questions < 1 or self.misleading < 0 or self.questions + self.misleading < 2:
            raise UsageError(f"a batch of {self.questions} questions and {self.misleading} misleading functions each")


class FunctionCorpus:
    """The functions of samples, and the questions that ask for them.

    Args:
        samples: Packages.
        vectors: What tells which functions are like a question.

    Raises:
        UsageError: There is no question that asks for a function.
    """

    def __init__(self, samples: Sequence[Sample], vectors: Vectors) -> None:
        packages = [_functions_of(sample) for sample in samples]
        self._packages = [functions for functions in packages if any(one.question for one in functions)]
        if not self._packages:
            raise UsageError("there is no question that asks for a function", "give data with questions about code")
        self._vectors = vectors
        self._near: dict[int, dict[int, list[list[int]]]] = {}
        counts = np.array([sum(one.question is not None for one in functions) for functions in self._packages])
        self.n_questions = int(counts.sum())
        self._chances = counts**0.7 / (counts**0.7).sum()  # large packages shall not be all

    def draw(self, shape: RerankShape, rng: np.random.Generator) -> RerankBatch:
        """Questions on one package, with the functions that they ask for and others that mislead."""
        number = int(rng.choice(len(self._packages), p=self._chances))
        functions, near = self._packages[number], self.near(number)
        asked = [list(near)[place] for place in rng.permutation(len(near))[: shape.questions].tolist()]
        misleading = [_draw_near(near[one], rng) for one in asked for _ in range(shape.misleading) if any(near[one])]
        places = list(dict.fromkeys([*asked, *misleading]))
        shown = [functions[place] for place in places]
        texts = [
            one.bare if place in asked or rng.random() < BARE_SHARE else one.text
            for place, one in zip(places, shown, strict=True)
        ]
        return RerankBatch(
            [cast(str, functions[one].question) for one in asked],
            [shown_function(one.name, text) for one, text in zip(shown, texts, strict=True)],
            np.arange(len(asked)),
            np.array([[functions[a] is not one and functions[a].overlaps(one) for one in shown] for a in asked]),
        )

    def lists(self, most: int, length: int, rng: np.random.Generator) -> list[tuple[str, dict[str, str]]]:
        """Questions to measure on, each with the function that it asks for and then the likest others.

        Args:
            most: Most questions.
            length: Functions to a question.
            rng: Draws the questions.

        Returns:
            Question, and text without docstring by name.
        """
        found = []
        for number, functions in enumerate(self._packages):
            for asked, (by_keys, _) in self.near(number).items():
                one = functions[asked]
                listed = [one, *(functions[place] for place in by_keys if not one.overlaps(functions[place]))]
                found.append((cast(str, one.question), {each.name: each.bare for each in listed[:length]}))
        return [found[place] for place in rng.permutation(len(found))[:most].tolist()]

    def near(self, number: int) -> dict[int, list[list[int]]]:
        """For each asked function of a package, which others are like its question by vectors, and which by words."""
        if number not in self._near:
            functions = self._packages[number]
            texts = [shown_function(one.name, one.bare) for one in functions]
            asked = {place: one.question for place, one in enumerate(functions) if one.question is not None}
            by_words = rank_texts(texts)
            fits = self._vectors(list(asked.values()), True) @ self._vectors(texts, False).T
            self._near[number] = {
                place: [
                    [other for other in np.argsort(-fit)[: NEAR_KEYS + 1].tolist() if other != place][:NEAR_KEYS],
                    _best_by_words(by_words.scores(question), place),
                ]
                for (place, question), fit in zip(asked.items(), fits, strict=True)
            }
        return self._near[number]


def _best_by_words(scores: npt.NDArray[np.floating], place: int) -> list[int]:
    order = np.argsort(-scores, kind="stable")[: NEAR_WORDS + 1].tolist()
    return [other for other in order if other != place and scores[other] > 0][:NEAR_WORDS]


def _draw_near(near: list[list[int]], rng: np.random.Generator) -> int:
    """A function that misleads: mostly one of the first by vectors, now and then a later one or one by words."""
    by_keys, by_words = near
    choices = [(by_keys[:4], 0.4), (by_keys[:12], 0.36), (by_keys, 0.12), (by_words or by_keys, 0.12)]
    weights = np.array([share if some else 0.0 for some, share in choices])
    some = choices[int(rng.choice(len(choices), p=weights / weights.sum()))][0]
    return some[int(rng.integers(len(some)))]


def _functions_of(sample: Sample) -> list[Function]:
    """The functions of a package; what is asked for several of them is asked for none."""
    found = []
    for number, document in enumerate(sample.documents):
        asked = {
            one.answer.rpartition(":")[2]: one.text
            for one in sample.questions
            if one.document == number and one.any_block
        }
        found += _functions_in(document, asked)
    counts = Counter(one.question for one in found)
    return [one if counts[one.question] == 1 else Function(one.name, one.text, one.bare, None) for one in found]


def _functions_in(document: SampleDocument, asked: dict[str, str]) -> list[Function]:
    try:
        told = {one.name: one for one in documented(document.text)}
    except (SyntaxError, ValueError):
        told = {}
    found = []
    for owner, (start, end) in defined_spans(document.text).items():
        text = document.text[start:end]
        if len(text) < SHORTEST:
            continue
        mine = told.get(owner.name) if owner.is_function else None
        if mine is not None and not start <= mine.docstring[0] <= mine.docstring[1] <= end:
            mine = None
        bare = text if mine is None else _without(text, mine, start)
        question = asked.get(owner.name) or (mine.sentence if mine is not None and mine.is_asked else None)
        found.append(Function(f"{document.path}:{owner.name}", text[:LONGEST], bare[:LONGEST], question))
    return found


def _without(text: str, one: Documented, start: int) -> str:
    """The text of a function, which begins at ``start``, without its docstring and the lines of that."""
    before, after = text[: one.docstring[0] - start], text[one.docstring[1] - start :]
    return before.rstrip(" \t") + after.partition("\n")[2]
