"""Functions of packages and what is asked for them, to train the reranker on.

Questions are those of the records and, where a function kept its docstring, the first sentence of it. The functions
that records ask for have lost theirs, so that to have none would give them away: beside them, no function is shown with
its docstring. A net that never sees one does not know what it is worth, though; so in some batches only functions that
have one are asked for, and each function keeps it or not, whether it is asked for or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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

SHORTEST = 30
"""Characters of a function that is worth naming."""

NEAR_KEYS, NEAR_WORDS = 32, 12
"""Functions that mislead: so many whose vectors are like the question, and so many that share words with it."""


@dataclass(frozen=True)
class Function:
    """A function or a class.

    Attributes:
        name: As in ``path:Class.method``.
        text: Without the docstring of a function.
        question: What is asked for it; None where nothing is.
        whole: With the docstring; None where it has none.
    """

    name: str
    text: str
    question: str | None
    whole: str | None = None

    @property
    def is_documented(self) -> bool:
        """Whether it has a docstring, and something is asked for it."""
        return self.question is not None and self.whole is not None

    def overlaps(self, other: Function) -> bool:
        """Whether one is part of the other, or they say the same: neither is wrong in place of the other."""
        return (
            self.name.startswith(f"{other.name}.") or other.name.startswith(f"{self.name}.") or self.text == other.text
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
    """What a batch is made of: questions, and functions that mislead to each.

    Attributes:
        questions: Number of questions.
        misleading: Functions that mislead to each.
        documented: Share of the batches in which functions may be shown with their docstrings.
        kept: Share of the docstrings that are shown there.
    """

    questions: int = 10
    misleading: int = 2
    documented: float = 0.5
    kept: float = 0.5

    def __post_init__(self) -> None:
        if self.questions < 1 or self.misleading < 0 or self.questions + self.misleading < 2:
            raise UsageError(f"a batch of {self.questions} questions and {self.misleading} misleading functions each")
        if not (0 <= self.documented <= 1 and 0 <= self.kept <= 1):
            raise UsageError(f"documented {self.documented} or kept {self.kept} is not in [0, 1]")


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
        with_docstring = [place for place in near if functions[place].is_documented]
        kept = shape.kept if with_docstring and rng.random() < shape.documented else 0.0
        choices = with_docstring if kept else list(near)
        asked = [choices[place] for place in rng.permutation(len(choices))[: shape.questions].tolist()]
        misleading = [_draw_near(near[one], rng) for one in asked for _ in range(shape.misleading) if any(near[one])]
        places = list(dict.fromkeys([*asked, *misleading]))
        shown = [functions[place] for place in places]
        return RerankBatch(
            [cast(str, functions[one].question) for one in asked],
            [shown_function(one.name, (rng.random() < kept and one.whole) or one.text) for one in shown],
            np.arange(len(asked)),
            np.array([[functions[a] is not one and functions[a].overlaps(one) for one in shown] for a in asked]),
        )

    def lists(
        self, most: int, length: int, rng: np.random.Generator, documented: bool = False
    ) -> list[tuple[str, dict[str, str]]]:
        """Questions to measure on, each with the function that it asks for and then as many others, the likest.

        Args:
            most: Most questions.
            length: Functions to a question.
            rng: Draws the questions.
            documented: Only functions that have a docstring are asked for, and all are shown with theirs.

        Returns:
            Question, and text by name, without docstrings unless ``documented``.
        """
        found = []
        for number, functions in enumerate(self._packages):
            for asked, (by_keys, _) in self.near(number).items():
                one = functions[asked]
                if documented and not one.is_documented:
                    continue
                listed = [one, *(functions[place] for place in by_keys if not one.overlaps(functions[place]))]
                texts = {each.name: (documented and each.whole) or each.text for each in listed[:length]}
                if len(texts) == length:
                    found.append((cast(str, one.question), texts))
        return [found[place] for place in rng.permutation(len(found))[:most].tolist()]

    def near(self, number: int) -> dict[int, list[list[int]]]:
        """For each asked function of a package, which others are like its question by vectors, and which by words."""
        if number not in self._near:
            functions = self._packages[number]
            texts = [shown_function(one.name, one.text) for one in functions]
            asked = {place: one.question for place, one in enumerate(functions) if one.question is not None}
            by_words = rank_texts(texts)
            fits = self._vectors(list(asked.values()), True) @ self._vectors(texts, False).T
            self._near[number] = {
                place: [_best(fit, place, NEAR_KEYS), _best(by_words.scores(question), place, NEAR_WORDS, above=0.0)]
                for (place, question), fit in zip(asked.items(), fits, strict=True)
            }
        return self._near[number]


def _best(scores: npt.NDArray[np.floating], place: int, most: int, above: float = -np.inf) -> list[int]:
    """Which others score best, and more than ``above``."""
    order = np.argsort(-scores, kind="stable")[: most + 1].tolist()
    return [other for other in order if other != place and scores[other] > above][:most]


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
        asked = {one.def_start: one.text for one in sample.questions if one.document == number}
        found += _functions_in(document, asked)
    counts = Counter(one.question for one in found)
    return [one if counts[one.question] == 1 else replace(one, question=None) for one in found]


def _functions_in(document: SampleDocument, asked: Mapping[int | None, str]) -> list[Function]:
    """The functions of a file, some of which are asked for, by where their definitions begin."""
    told = {one.start: one for one in documented(document.text)}
    found = []
    for owner, end in defined_spans(document.text).items():
        text = document.text[owner.start : end]
        if len(text) < SHORTEST:
            continue
        start = owner.start + len(text) - len(text.lstrip())
        question, mine, whole = asked.get(start), told.get(start), None
        if mine is not None and mine.docstring[1] <= end:
            text, whole = _without(text, mine, owner.start), text
            question = question or (mine.sentence if mine.is_question else None)
        found.append(Function(f"{document.path}:{owner.name}", text, question, whole))
    return found


def _without(text: str, one: Documented, start: int) -> str:
    """The text of a function, which begins at ``start``, without its docstring and the lines of that."""
    before, after = text[: one.docstring[0] - start], text[one.docstring[1] - start :]
    return before.rstrip(" \t") + after.partition("\n")[2]
