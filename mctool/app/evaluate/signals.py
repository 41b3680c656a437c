"""What may rank the blocks of a tree for a question: the lens of mctool, and the baselines it is measured beside.

All baselines see the same blocks. A chunk is 4 consecutive blocks of one document (128 tokens), a new one every 2.
Shape letters: B live blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mctool.app.lenses import Lenses
from mctool.core.config import FocusConfig
from mctool.core.timeline import IntArray, Timeline
from mctool.engine.refocus import entry_budget, initial_context, refocus
from mctool.focus.lens import FloatArray, UtilityLens
from mctool.focus.lexical_lens import lexical_lens
from mctool.tree import LexicalIndex, Tree
from mctool.tree.bm25 import rank_texts

if TYPE_CHECKING:
    from mctool.nets.minilm import MiniLM

CHUNK_BLOCKS = 4
CHUNK_STRIDE = 2
FUSION_RANKS = 60
"""k of reciprocal-rank fusion."""


class Ranking(Protocol):
    """What a signal says about one question. Blocks are named by rank (see ``Timeline.rank``)."""

    def order(self) -> IntArray:
        """All blocks, the best first, shape [B]."""
        ...

    def shown(self, budget: int) -> IntArray:
        """The blocks that are raw when raw text may take ``budget`` tokens."""
        ...


class Signal(Protocol):
    """Ranks the blocks of one tree."""

    name: str

    def rank(self, question: str) -> Ranking:
        """Read a question."""
        ...


@dataclass(frozen=True)
class TreeBlocks:
    """The blocks of a tree as signals need them: the tree, and lengths and texts of the blocks by rank, [B]."""

    tree: Tree
    lengths: IntArray
    texts: list[str]

    @classmethod
    def of(cls, tree: Tree) -> TreeBlocks:
        """Read them."""
        timeline = tree.timeline
        blocks = timeline.blocks_at(np.arange(timeline.total_blocks))
        lengths = timeline.token_start(blocks + 1) - timeline.token_start(blocks)
        return cls(tree, lengths, [text for _, texts in tree.iter_block_texts(tree.documents) for text in texts])

    def chunks(self) -> list[IntArray]:
        """Ranks of the blocks of each chunk, in timeline order."""
        starts = self.tree.timeline.start_rank.tolist()
        return [
            np.arange(first, min(first + CHUNK_BLOCKS, end))
            for start, end in pairwise(starts)
            for first in range(start, max(end - CHUNK_BLOCKS + CHUNK_STRIDE, start + 1), CHUNK_STRIDE)
        ]


class LensSignal:
    """A lens of mctool, and the refocus loop with room for the largest budget.

    Args:
        name: What rows show.
        timeline: The live timeline.
        lens: Gives the lens for a question.
    """

    def __init__(self, name: str, timeline: Timeline, lens: Callable[[str], UtilityLens]) -> None:
        self.name = name
        self._timeline = timeline
        self._lens = lens

    def rank(self, question: str) -> Ranking:
        """Score all blocks."""
        return _LensRanking(self._timeline, self._lens(question))


@dataclass(frozen=True)
class _LensRanking:
    timeline: Timeline
    lens: UtilityLens

    def order(self) -> IntArray:
        return np.argsort(-self.lens.utility, kind="stable")

    def shown(self, budget: int) -> IntArray:
        config = FocusConfig(
            w_max=max(1 << 14, 8 * budget), focus_tokens=budget, narrow=False, n_diff=1 << 16, max_iterations=64
        )
        entries = entry_budget(config, 0)
        context = refocus(initial_context(self.timeline, config, entries), self.lens, config, entries).context
        return self.timeline.rank(context.index[context.lod == 0])


@dataclass(frozen=True)
class OrderRanking:
    """Units (blocks or chunks) in an order; they are shown from the best on while their union fits.

    Attributes:
        units: Ranks of the blocks of each unit, the best unit first; together all blocks.
        lengths: Tokens of each block, shape [B].
    """

    units: Sequence[IntArray]
    lengths: IntArray

    def order(self) -> IntArray:
        """All blocks, those of the best unit first, shape [B]."""
        listed = np.concatenate(self.units)
        return listed[np.sort(np.unique(listed, return_index=True)[1])]

    def shown(self, budget: int) -> IntArray:
        """The blocks of the best units."""
        seen: set[int] = set()
        left = budget
        for unit in self.units:
            new = [block for block in unit.tolist() if block not in seen]
            left -= int(self.lengths[new].sum())
            if left < 0:
                break
            seen.update(new)
        return np.array(sorted(seen), np.int64)


class ScoreSignal:
    """Ranks units by a score; units with equal scores stay in timeline order.

    Args:
        name: What rows show.
        units: Ranks of the blocks of each unit, in timeline order.
        lengths: Tokens of each block, shape [B].
        scores: Question -> score of each unit, shape [units].
    """

    def __init__(
        self, name: str, units: Sequence[IntArray], lengths: IntArray, scores: Callable[[str], FloatArray]
    ) -> None:
        self.name = name
        self._units = units
        self._lengths = lengths
        self._scores = scores

    def rank(self, question: str) -> Ranking:
        """Score all units."""
        order = np.argsort(-self._scores(question), kind="stable")
        return OrderRanking([self._units[place] for place in order.tolist()], self._lengths)


def fuse(*rankings: FloatArray) -> FloatArray:
    """Reciprocal-rank fusion of scores: the sum of 1 / (60 + rank), nothing for a score of 0 or less.

    Source: Cormack, Clarke & Buettcher 2009.
    """
    total = np.zeros(len(rankings[0]))
    for scores in rankings:
        order = np.argsort(-scores, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(1, len(order) + 1)
        total += np.where(scores > 0, 1 / (FUSION_RANKS + place), 0.0)
    return total


def lens_signals(tree: Tree, lenses: Lenses) -> Iterator[Signal]:
    """The lenses of mctool, the default first; without lens keys only the lexical one."""
    timeline, index = tree.timeline, LexicalIndex.open(tree)
    if lenses.has_keys:
        yield LensSignal("mctool hybrid", timeline, lambda text: lenses.choose("hybrid", text, index.hits(text)))
    yield LensSignal("mctool lexical", timeline, lambda text: lexical_lens(timeline, index.hits(text)))
    if lenses.has_keys:
        yield LensSignal("fixed mix", timeline, lambda text: lenses.fixed_mix(text, index.hits(text)))
        yield LensSignal("keys", timeline, lambda text: lenses.choose("learned", text, []))


def make_signals(blocks: TreeBlocks, seed: int, minilm: MiniLM | None, lenses: Lenses) -> Iterator[Signal]:
    """All signals for a tree, mctool's first.

    Args:
        blocks: The blocks of the tree.
        seed: Seed of the random order.
        minilm: The encoder of texts; None leaves out what needs it.
        lenses: The lenses of the tree.
    """
    yield from lens_signals(blocks.tree, lenses)
    chunks, lengths = blocks.chunks(), blocks.lengths
    singles = [np.array([rank]) for rank in range(len(lengths))]
    texts = ["".join(blocks.texts[rank] for rank in chunk.tolist()) for chunk in chunks]
    bm25 = rank_texts(texts)
    yield ScoreSignal("chunks bm25", chunks, lengths, bm25.scores)
    yield ScoreSignal("blocks bm25", singles, lengths, rank_texts(blocks.texts).scores)
    if minilm is not None:
        vectors = minilm.embed(texts)

        def cosines(question: str) -> FloatArray:
            return (vectors @ minilm.embed([question])[0]).astype(np.float64)

        yield ScoreSignal("chunks minilm", chunks, lengths, cosines)
        # 1 + cosine is above 0, so that every chunk has a rank.
        yield ScoreSignal("chunks hybrid", chunks, lengths, lambda q: fuse(bm25.scores(q), 1 + cosines(q)))
    yield ScoreSignal("recency", singles, lengths, lambda _question: np.arange(len(lengths), dtype=np.float64))
    rng = np.random.default_rng(seed)
    yield ScoreSignal("random", singles, lengths, lambda _question: rng.random(len(lengths)))
