"""Windows of text and questions about them, to train the key encoder on.

A *window* is what the encoder reads in one pass: eight consecutive blocks of one document. Blocks are numbered through
all documents. Shape letters: N keys of a batch, Q questions.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.errors import UsageError
from mctool.nets.key_pieces import WINDOW_BLOCKS
from mctool.sources.corpus import Encode, IntArray, Question, Sample, in_dev_split, in_scorer_split
from mctool.tree.bm25 import Bm25Ranking, rank_texts

BODY_BLOCKS = 2
"""Blocks from the line of a definition on that its question should find; the rest of the body counts neither way."""

BESIDE = 1
"""Blocks beside a quoted answer that count neither way."""

HARD_RANKS = 5
"""A window that misleads is drawn from this many of the best."""


@dataclass(frozen=True)
class BlockText:
    """A document as blocks.

    Attributes:
        blocks: Their texts.
        first: Number of the first.
        sample: Number of the sample that the document is part of.
    """

    blocks: list[str]
    first: int
    sample: int


@dataclass(frozen=True)
class Located:
    """A question and the blocks that answer it.

    Attributes:
        text: What is asked.
        document: Index of the document.
        wanted: Half-open range of the blocks that it should find.
        spared: Half-open range around them; the others in it are neither right nor wrong.
    """

    text: str
    document: int
    wanted: tuple[int, int]
    spared: tuple[int, int]


@dataclass(frozen=True)
class KeyBatch:
    """What one step of training reads.

    Attributes:
        windows: Texts of the blocks of each window.
        blocks: Number of the block of each key, shape [N]; a block may stand in several windows.
        questions: Q of them.
        wanted: Half-open ranges of the blocks that each should find, shape [Q, 2].
        spared: Half-open ranges of those that count neither way, shape [Q, 2].
        weights: What each question counts, shape [Q].
    """

    windows: list[list[str]]
    blocks: IntArray
    questions: list[str]
    wanted: IntArray
    spared: IntArray
    weights: list[float]


@dataclass(frozen=True)
class BatchShape:
    """What a batch is made of.

    Attributes:
        windows: Windows that answer a question; each brings one of the same sample that misleads.
        together: Of these, how many are of one sample, to be told from each other as in a tree.
        plain: Windows of any text.
        questions: Most questions to one window.
        code: Share of the windows that are of code.
    """

    windows: int = 16
    together: int = 4
    plain: int = 0
    questions: int = 4
    code: float = 0.5

    def __post_init__(self) -> None:
        if min(self.windows, self.together, self.questions) < 1 or self.plain < 0:
            raise UsageError(
                f"a batch of {self.windows} windows, {self.together} of a sample, {self.plain} plain, "
                f"{self.questions} questions each"
            )
        if not 0 <= self.code <= 1:
            raise UsageError(f"a share of code of {self.code} is not in [0, 1]")


class KeyCorpus:
    """Documents in blocks and the questions about them, without those kept for measuring and for LensNet.

    Args:
        sets: Samples by set.
        encode: The tokenizer that blocks are counted by.

    Raises:
        UsageError: There is no question with a place.
    """

    def __init__(self, sets: dict[str, list[Sample]], encode: Encode) -> None:
        self._documents: list[BlockText] = []
        self._of_sample: list[range] = []
        self._asked: dict[int, list[Located]] = {}
        self._code: list[list[Located]] = []
        self._prose: list[list[Located]] = []
        self._rankings: dict[int, tuple[Bm25Ranking, list[tuple[int, int]]]] = {}
        self._n_blocks = 0
        for samples in sets.values():
            mine = [sample for sample in samples if not (in_dev_split(sample) or in_scorer_split(sample))]
            found = [one for sample in mine for one in self._add(sample, encode)]
            code = [one for one, any_block in found if any_block]
            prose = [one for one, any_block in found if not any_block]
            self._code += [code] if code else []
            self._prose += [prose] if prose else []
        if not self._code and not self._prose:
            raise UsageError("there is no question with a place", "give data with located questions")
        for asked in self._asked.values():
            asked.sort(key=lambda one: one.wanted)

    @property
    def n_blocks(self) -> int:
        """Blocks of all documents."""
        return self._n_blocks

    def _add(self, sample: Sample, encode: Encode) -> list[tuple[Located, bool]]:
        first_document = len(self._documents)
        starts_of = []
        for document in sample.documents:
            starts = [*encode(document.text)[1][::BLOCK_TOKENS].tolist(), len(document.text)]
            texts = [document.text[a:b] for a, b in pairwise(starts)]
            self._documents.append(BlockText(texts, self._n_blocks, len(self._of_sample)))
            self._n_blocks += len(texts)
            starts_of.append(starts[:-1])
        self._of_sample.append(range(first_document, len(self._documents)))
        found = []
        for question in sample.questions:
            if not question.quoted:
                continue
            place = first_document + question.document
            one = _locate(question, place, self._documents[place].first, starts_of[question.document])
            self._asked.setdefault(place, []).append(one)
            found.append((one, question.any_block))
        return found

    def draw(self, shape: BatchShape, rng: np.random.Generator) -> KeyBatch:
        """A batch: windows around questions of all sets, each set as often as another of its kind."""
        places: list[tuple[int, int]] = []
        asked: list[list[Located]] = []
        for seed in self._seeds(shape, rng):
            places.append(self._window_around(seed, rng))
            asked.append(self._questions_in(places[-1], seed, shape.questions, rng))
            misleading = self._misleading(seed, rng)
            places += [misleading] if misleading else []
        for block in rng.integers(self._n_blocks, size=shape.plain).tolist():
            document = bisect.bisect_right(self._documents, block, key=lambda one: one.first) - 1
            places.append((document, block - self._documents[document].first))
        places = list(dict.fromkeys(places))
        windows = [self._documents[document].blocks[start : start + WINDOW_BLOCKS] for document, start in places]
        firsts = [self._documents[document].first + start for document, start in places]
        pairs = [(one, 1 / len(some)) for some in asked for one in some]
        return KeyBatch(
            windows,
            np.concatenate([first + np.arange(len(texts)) for first, texts in zip(firsts, windows, strict=True)]),
            [one.text for one, _ in pairs],
            np.array([one.wanted for one, _ in pairs]),
            np.array([one.spared for one, _ in pairs]),
            [weight for _, weight in pairs],
        )

    def _seeds(self, shape: BatchShape, rng: np.random.Generator) -> Iterator[Located]:
        """The questions that the windows of a batch are made for."""
        n_code = round(shape.code * shape.windows)
        for wants_code, count in ((True, n_code), (False, shape.windows - n_code)):
            kind = self._code if self._code and (wants_code or not self._prose) else self._prose
            for number in range(count):
                if number % shape.together == 0:
                    questions = kind[int(rng.integers(len(kind)))]
                seed = questions[int(rng.integers(len(questions)))]
                yield seed
                if number % shape.together == 0:
                    documents = self._of_sample[self._documents[seed.document].sample]
                    questions = [one for document in documents for one in self._asked.get(document, ())]

    def _window_around(self, seed: Located, rng: np.random.Generator) -> tuple[int, int]:
        """A window that begins at most seven blocks before the first wanted one."""
        document = self._documents[seed.document]
        first = seed.wanted[0] - document.first
        latest = max(len(document.blocks) - WINDOW_BLOCKS, 0)
        earliest = max(first - WINDOW_BLOCKS + 1, 0)
        return seed.document, int(rng.integers(min(earliest, latest), max(min(first, latest), 0) + 1))

    def _questions_in(
        self, place: tuple[int, int], seed: Located, most: int, rng: np.random.Generator
    ) -> list[Located]:
        """The question that the window was made for, and others that it answers."""
        document, start = place
        first = self._documents[document].first + start
        asked = self._asked[document]
        low = bisect.bisect_left(asked, first, key=lambda one: one.wanted[0])
        high = bisect.bisect_left(asked, first + WINDOW_BLOCKS, key=lambda one: one.wanted[0])
        others = [one for one in asked[low:high] if one is not seed and one.wanted[1] <= first + WINDOW_BLOCKS]
        chosen = rng.permutation(len(others))[: most - 1].tolist()
        return [seed, *(others[number] for number in chosen)]

    def _misleading(self, seed: Located, rng: np.random.Generator) -> tuple[int, int] | None:
        """A window of the same sample that shares words with the question but does not answer it."""
        number = self._documents[seed.document].sample
        if number not in self._rankings:
            places = [
                (document, start)
                for document in self._of_sample[number]
                for start in range(0, len(self._documents[document].blocks), WINDOW_BLOCKS)
            ]
            texts = ["".join(self._documents[a].blocks[start : start + WINDOW_BLOCKS]) for a, start in places]
            self._rankings[number] = rank_texts(texts), places
        ranking, places = self._rankings[number]
        scores = ranking.scores(seed.text)
        order = np.argsort(-scores, kind="stable")[: 2 * HARD_RANKS].tolist()
        found = [places[place] for place in order if scores[place] > 0 and not self._answers(places[place], seed)]
        return found[int(rng.integers(min(len(found), HARD_RANKS)))] if found else None

    def _answers(self, place: tuple[int, int], question: Located) -> bool:
        first = self._documents[place[0]].first + place[1]
        return question.wanted[0] < first + WINDOW_BLOCKS and first < question.wanted[1]


def _locate(question: Question, document: int, first: int, starts: Sequence[int]) -> Located:
    """The blocks of a question; ``first`` is the number of its document's first block, ``starts`` their characters."""

    def block_at(character: int) -> int:
        return first + bisect.bisect_right(starts, character) - 1

    low, high, end = block_at(question.start), block_at(question.end - 1) + 1, first + len(starts)
    if question.any_block:
        low = block_at(question.start if question.def_start is None else question.def_start)
        wanted = low, min(max(block_at(question.start) + 1, low + BODY_BLOCKS), high)
        return Located(question.text, document, wanted, (low, high))
    return Located(question.text, document, (low, high), (max(low - BESIDE, first), min(high + BESIDE, end)))
