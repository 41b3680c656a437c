"""Counterfactual labels: how much better the reader says the right answer for having a block in its window.

The *gain* of a block for a question and a window is the negative log-likelihood of the right answer, after the window
without the block, less that after the window with it: nats of the whole answer, negative for text that distracts. The
reader is the one that answers, with its adapter, and windows are laid out as ``ask`` lays out raw text.

Labels are made tree by tree; each tree's rows lie in a file of their own until all are there, so that a run that was
cut off goes on with the next tree.

Shape letters: n candidates of a question, F features.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mctool.core.config import FocusConfig
from mctool.core.timeline import IntArray
from mctool.engine.assemble import TreeText, lay_out
from mctool.engine.nll import continuation_nll
from mctool.engine.prompt import prompt_ids, style_of, tail_ids
from mctool.focus import WorkingContext
from mctool.focus.lens import FloatArray
from mctool.focus.scored_lens import SOFTNESS as UTILITY_SOFTNESS
from mctool.nets.base_model import BaseModel
from mctool.nets.key_encoder import KeyEncoder
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, Question, Sample, pack
from mctool.training.lens_rows import LensRow, SeenTree, read_lens_rows, write_lens_rows
from mctool.training.packed_tree import packed_tree
from mctool.tree import Tree

ENTRIES = 7
"""Blocks of a question that are measured."""

TREE_TOKENS = 60_000
PER_TREE = 60
HORIZON = 64
"""Tokens of an answer that count: its first ones. Few answers are longer."""

FEWEST, MOST = 2, 4
"""Blocks of a window; one at least is left when another is taken out of it."""

SOFTNESS = 2.0
"""A candidate whose score is so much below another's is drawn 1/e as often."""

Scorer = Callable[[npt.NDArray[np.float32]], FloatArray]
Nll = Callable[[IntArray], float]
"""Ranks of the blocks that a window shows -> nats of the whole right answer after it."""


@dataclass(frozen=True)
class Labelling:
    """What labels are made with.

    Attributes:
        model: The reader, its adapter merged in.
        tokenizer: Its tokenizer.
        name: Name of the base model.
        encoder: Makes the keys.
        scorer: Features [n, F] -> scores [n], by which entries are drawn.
        candidates: Most candidates of a question.
    """

    model: BaseModel
    tokenizer: TextTokenizer
    name: str
    encoder: KeyEncoder
    scorer: Scorer
    candidates: int


def labelled_rows(
    name: str, samples: Sequence[Sample], labelling: Labelling, n_questions: int, seed: int, parts: Path
) -> list[LensRow]:
    """Rows of one set in which some candidates have a gain.

    Args:
        name: Of the set.
        samples: Its records; those without questions fill trees.
        labelling: What labels are made with.
        n_questions: Most rows.
        seed: Seed of all draws.
        parts: Directory for the rows of each tree; those that are there are taken as they are.
    """
    rows: list[LensRow] = []
    for number, one in enumerate(pack(samples, labelling.tokenizer.encode_with_offsets, TREE_TOKENS, seed)):
        wanted = min(n_questions - len(rows), PER_TREE)
        asked = [question for question in one.questions if question.quoted]
        if wanted < 1:
            break
        if not asked:
            continue
        part = parts / f"{zlib.crc32(name.encode()):08x}-{number}.npz"
        if not part.is_file():
            made = _tree_rows(name, one, asked, labelling, wanted, np.random.default_rng([seed, number]))
            if not made:
                continue
            write_lens_rows(part, made)
        rows.extend(read_lens_rows(part))
    return rows


def _tree_rows(
    name: str, one: Pack, asked: Sequence[Question], labelling: Labelling, n_rows: int, rng: np.random.Generator
) -> list[LensRow]:
    rows = []
    with packed_tree(Pack(one.documents, []), labelling.name, labelling.tokenizer, labelling.encoder) as tree:
        seen, windows = SeenTree(tree, labelling.encoder), _Windows(tree, labelling)
        for place in rng.choice(len(asked), min(len(asked), n_rows), replace=False).tolist():
            row, ranks = seen.row(name, asked[place], labelling.candidates)
            if not len(ranks):
                continue
            scores = labelling.scorer(row.features.astype(np.float32))
            entries = draw_entries(scores, row.answer, rng)
            shown = draw_window(scores, entries, rng)
            gain = np.full(len(ranks), np.nan, np.float32)
            gain[entries] = gains(windows.nll(asked[place]), ranks[shown], ranks[entries])
            rows.append(replace(row, gain=gain))
    return rows


def gains(nll: Nll, shown: IntArray, entries: IntArray) -> FloatArray:
    """The gain of each of some blocks: those of the window are taken out of it, the others put in.

    Args:
        nll: What the reader makes of windows.
        shown: Ranks of the blocks of the window, ascending.
        entries: Ranks of the blocks to measure.

    Returns:
        Nats of the whole answer, in the order of ``entries``.
    """
    before = nll(shown)
    return np.array(
        [
            nll(np.setdiff1d(shown, entry)) - before if entry in shown else before - nll(np.union1d(shown, entry))
            for entry in entries
        ]
    )


def draw_entries(scores: FloatArray, answer: npt.NDArray[np.bool_], rng: np.random.Generator) -> IntArray:
    """Which candidates to measure: one that holds some of the answer, one at random, the others by their scores.

    Args:
        scores: Of the candidates, shape [n].
        answer: Which of them hold some of the answer, shape [n].
        rng: Draws.

    Returns:
        Places among the candidates, different ones, ascending.
    """
    keys = scores / SOFTNESS + rng.gumbel(size=len(scores))  # the largest are a draw without replacement
    holding = np.flatnonzero(answer)
    if len(holding):
        keys[rng.choice(holding)] = np.inf
    keys[rng.integers(len(scores))] = np.inf
    return np.sort(np.argsort(-keys, kind="stable")[:ENTRIES])


def draw_window(scores: FloatArray, entries: IntArray, rng: np.random.Generator) -> IntArray:
    """Which candidates the window shows: half of the time the best, as after narrowing, else some of the entries.

    Args:
        scores: Of the candidates, shape [n].
        entries: Places of those that are measured.
        rng: Draws.

    Returns:
        Places among the candidates, ascending.
    """
    if rng.random() < 0.5:
        n_shown = int(rng.integers(FEWEST, MOST + 1))
        return np.sort(rng.choice(entries, min(n_shown, len(entries)), replace=False))
    worth = np.exp((scores - scores.max()) / UTILITY_SOFTNESS)
    n_shown = int(np.clip((worth > FocusConfig().narrow_share).sum(), FEWEST, MOST))
    return np.sort(np.argsort(-scores, kind="stable")[:n_shown])


class _Windows:
    """What the reader makes of windows of one tree."""

    def __init__(self, tree: Tree, labelling: Labelling) -> None:
        self._timeline, self._documents = tree.timeline, tree.documents
        self._model, self._tokenizer = labelling.model, labelling.tokenizer
        # A file of a package is called as it would be there.
        paths = [document.path.partition("/")[2] for document in tree.documents]
        self._names = [path.partition("/")[2] if path.endswith(".py") else path for path in paths]
        self._text = TreeText(tree.timeline, tree.tokens, names=self._names if len(self._names) > 1 else None)

    def nll(self, question: Question) -> Nll:
        """Of the right answer to a question."""
        head, _ = prompt_ids(self._tokenizer, "")
        tail = tail_ids(self._tokenizer, question.text, style_of(question.text))
        gold = np.array(self._tokenizer.encode(f" {self._answer(question)}")[:HORIZON])

        def measure(ranks: IntArray) -> float:
            ids, positions, end = head, np.arange(len(head)), len(head)
            if len(ranks):
                ids, positions, end = self._lay_out(ranks, len(tail) + len(gold))
            place = np.concatenate([positions, end + np.arange(len(tail))])
            return float(continuation_nll(self._model, self._model.embed(ids + tail), place, gold).sum())

        return measure

    def _lay_out(self, ranks: IntArray, tail_slots: int) -> tuple[list[int], IntArray, int]:
        context = WorkingContext.showing(self._timeline, ranks)
        window = lay_out(
            context, np.zeros(len(context)), self._text, self._tokenizer,
            spare=self._model.trained_positions // 8, tail_slots=tail_slots,
            trained_positions=self._model.trained_positions, mode="squeeze",
        )  # fmt: skip
        return window.ids, window.positions, window.tail

    def _answer(self, question: Question) -> str:
        """As the reader has learnt to say it: a function by its path and its name."""
        if not question.any_block or len(self._names) == 1:
            return question.answer.strip()
        return f"{self._names[question.document]}:{question.answer.rpartition(':')[2]}"


def label_figures(rows: Sequence[LensRow]) -> dict[str, float]:
    """What gains are like: how many, their mean where an answer is held and elsewhere, and the share below 0."""
    gain = np.concatenate([row.gain for row in rows if row.gain is not None])
    answer = np.concatenate([row.answer for row in rows if row.gain is not None])
    known = ~np.isnan(gain)
    return {
        "labels": int(known.sum()),
        "mean gain of blocks with the answer": float(gain[known & answer].mean()),
        "mean gain of other blocks": float(gain[known & ~answer].mean()),
        "share of negative gains": float((gain[known] < 0).mean()),
    }
