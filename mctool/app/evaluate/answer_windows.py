"""What the baselines of ``evaluate answers`` show the model: parts of a tree, laid out as ``ask`` lays out raw text.

Shape letters: B live blocks, C chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mctool.app.answer_nets import reading_kind
from mctool.app.code_places import CodePlaces, code_places
from mctool.app.evaluate.signals import TreeBlocks, fuse
from mctool.app.key_nets import KeyNets
from mctool.core.errors import BudgetTooSmallError
from mctool.core.timeline import IntArray
from mctool.engine.assemble import TreeText, lay_out
from mctool.engine.prompt import prompt_ids, style_of
from mctool.focus import WorkingContext
from mctool.focus.lens import FloatArray
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Question
from mctool.training.packed_tree import answer_blocks
from mctool.tree import Tree
from mctool.tree.bm25 import rank_texts

if TYPE_CHECKING:
    from mctool.nets.minilm import MiniLM

EVIDENCE_BLOCKS = 8
"""Most blocks that the oracle shows of evidence or of a function: 256 tokens."""

_UNLIMITED = 1 << 40


class RawWindows:
    """Lays out blocks of one tree. Blocks are named by rank (see ``Timeline.rank``).

    Args:
        tree: The tree.
        tokenizer: That of the base model.
        key_nets: Tell which of the functions of a window fits a question best; None without them.
    """

    def __init__(self, tree: Tree, tokenizer: TextTokenizer, key_nets: KeyNets | None = None) -> None:
        self._tree, self._timeline = tree, tree.timeline
        self._tokenizer, self._key_nets = tokenizer, key_nets
        names = [document.path for document in tree.documents]
        self._text = TreeText(tree.timeline, tree.tokens, names=names if len(names) > 1 else None)
        self._sizes = [(document.path, document.n_tokens) for document in tree.documents]

    def kind(self, question: str) -> str:
        """Kind of reading, see :func:`reading_kind`; all of the tree taken for what a window shows."""
        return reading_kind(style_of(question), self._sizes)

    def ids(self, ranks: IntArray) -> list[int]:
        """Token ids of the prompt up to the question, with some blocks as its text, in timeline order."""
        if not len(ranks):
            return prompt_ids(self._tokenizer, "")[0]
        context = WorkingContext.showing(self._timeline, ranks)
        window = lay_out(
            context, np.zeros(len(context)), self._text, self._tokenizer,
            spare=_UNLIMITED, tail_slots=0, trained_positions=_UNLIMITED, mode="compact",
        )  # fmt: skip
        return window.ids

    def places(self, question: str, ranks: IntArray) -> CodePlaces | None:
        """The functions that some blocks show, for a question that may be answered by one's name."""
        if not len(ranks) or self.kind(question) != "code" or style_of(question) != "short":
            return None
        context = WorkingContext.showing(self._timeline, ranks)
        scores = np.zeros(len(context))
        if self._key_nets is None:
            return code_places(self._tree, context, scores, question)
        rerank = partial(self._key_nets.rerank, question)
        return code_places(self._tree, context, scores, question, rerank=rerank)

    def fit(self, units: Iterable[IntArray], slots: int) -> tuple[list[int], IntArray]:
        """As :meth:`ids`, of the best units whose text, with names, marks and all else, takes at most ``slots``.

        The ranks of the blocks that are shown come with the token ids.

        Args:
            units: Ranks of the blocks of each unit, the best unit first; they may overlap.
            slots: Slots that there are.

        Raises:
            BudgetTooSmallError: There are too few slots for the prompt alone.
        """
        shown: list[IntArray] = []
        seen = np.zeros(self._timeline.total_blocks, np.bool_)
        tokens = 0
        for unit in units:
            blocks = self._timeline.blocks_at(unit[~seen[unit]])
            tokens += int((self._timeline.token_start(blocks + 1) - self._timeline.token_start(blocks)).sum())
            if tokens > slots:
                break
            seen[unit] = True
            shown.append(unit)
        while len(ids := self.ids(ranks := _union(shown))) > slots:
            if not shown:
                raise BudgetTooSmallError(f"a prompt of {len(ids)} tokens does not fit into {slots}")
            shown.pop()
        return ids, ranks


class ChunkRankings:
    """The chunks of a tree, ranked as ordinary retrieval does.

    Args:
        tree: The tree.
        minilm: The encoder of the hybrid ranking; None when that is not asked for.
    """

    def __init__(self, tree: Tree, minilm: MiniLM | None) -> None:
        blocks = TreeBlocks.of(tree)
        self._chunks = blocks.chunks()
        texts = ["".join(blocks.texts[rank] for rank in chunk.tolist()) for chunk in self._chunks]
        self._bm25 = rank_texts(texts)
        self._encoder = None if minilm is None else (minilm, minilm.embed(texts))  # vectors of shape [C, 384]

    def bm25(self, question: str) -> list[IntArray]:
        """Chunks that share a term with the question, by BM25, the best first."""
        return self._best(self._bm25.scores(question))

    def hybrid(self, question: str) -> list[IntArray]:
        """All chunks by reciprocal-rank fusion of BM25 and MiniLM, the best first."""
        if self._encoder is None:
            raise ValueError("the hybrid ranking needs an encoder")
        minilm, vectors = self._encoder
        cosines = vectors @ minilm.embed([question])[0]
        # 1 + cosine is above 0, so that every chunk has a rank.
        return self._best(fuse(self._bm25.scores(question), 1 + cosines.astype(np.float64)))

    def _best(self, scores: FloatArray) -> list[IntArray]:
        order = np.argsort(-scores, kind="stable")
        return [self._chunks[place] for place in order[scores[order] > 0].tolist()]


def oracle_blocks(tree: Tree, question: Question) -> IntArray:
    """Ranks of the blocks that an ideal focus would show.

    The blocks of a quoted answer, and of evidence or of a function, from its definition on, the first 256 tokens; and
    one block to each side, within the document.
    """
    start = question.start if question.def_start is None else question.def_start
    blocks = answer_blocks(tree, replace(question, start=start))
    if question.any_block or not question.quoted:
        blocks = blocks[:EVIDENCE_BLOCKS]
    bounds = tree.timeline.start_rank[question.document : question.document + 2].tolist()
    return np.arange(max(int(blocks[0]) - 1, bounds[0]), min(int(blocks[-1]) + 2, bounds[1]))


def _union(units: Sequence[IntArray]) -> IntArray:
    return np.unique(np.concatenate([np.zeros(0, np.int64), *units]))
