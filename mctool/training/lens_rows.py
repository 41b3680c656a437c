"""What LensNet is trained on: for each located question, what it sees of the candidates, and which hold the answer.

Shape letters: n candidates of a question, F features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mctool.core.timeline import IntArray
from mctool.focus.entry_features import NAMES, find_candidates
from mctool.nets.key_encoder import KeyEncoder
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Pack, Question, Sample, pack
from mctool.training.packed_tree import answer_blocks, packed_tree
from mctool.tree import LexicalIndex, Tree

TREE_TOKENS = 140_000
PER_TREE = 120


@dataclass(frozen=True)
class LensRow:
    """One question.

    Attributes:
        set: Where it is from.
        any_block: Whether one block of the answer is enough, as with the body of a function.
        n_answer: Blocks of the answer, candidates or not.
        features: Shape [n, F], float16.
        answer: Which candidates hold some of the answer, shape [n].
        tokens: Of each candidate, shape [n].
        gain: What each candidate is worth to the reader, in nats of the answer, NaN where that was not measured,
            shape [n]; None where none was.
    """

    set: str
    any_block: bool
    n_answer: int
    features: npt.NDArray[np.float16]
    answer: npt.NDArray[np.bool_]
    tokens: IntArray
    gain: npt.NDArray[np.float32] | None = None


class SeenTree:
    """A tree with keys, as LensNet sees it.

    Args:
        tree: The tree.
        encoder: Made its keys.
    """

    def __init__(self, tree: Tree, encoder: KeyEncoder) -> None:
        keys = tree.keys(encoder.fingerprint)
        if keys is None:
            raise ValueError("a tree that was just made with keys has none")
        self._tree, self._encoder, self._keys, self._index = tree, encoder, keys, LexicalIndex.open(tree)

    def row(self, name: str, question: Question, limit: int) -> tuple[LensRow, IntArray]:
        """The row of one question, and the ranks of its candidates, shape [n].

        Args:
            name: Of the set.
            question: About the tree.
            limit: Most candidates.
        """
        timeline = self._tree.timeline
        similarity = self._keys.scores(self._encoder.query(question.text))
        found = find_candidates(timeline, self._index.hits(question.text), similarity, limit)
        answer = answer_blocks(self._tree, question)
        blocks = timeline.blocks_at(found.ranks)
        tokens = timeline.token_start(blocks + 1) - timeline.token_start(blocks)
        features, holds = found.features.astype(np.float16), np.isin(found.ranks, answer)
        return LensRow(name, question.any_block, len(answer), features, holds, tokens), found.ranks


def lens_rows(
    name: str,
    samples: Sequence[Sample],
    tokenizer: TextTokenizer,
    model: str,
    encoder: KeyEncoder,
    n_rows: int,
    limit: int,
    seed: int,
) -> Iterator[LensRow]:
    """Rows of one set.

    Args:
        name: Of the set.
        samples: Its records; those without questions fill trees.
        tokenizer: By whose tokens blocks are counted.
        model: Name of the base model.
        encoder: Makes the keys.
        n_rows: Most rows.
        limit: Most candidates of a question.
        seed: Seed of all draws.
    """
    rng = np.random.default_rng(seed)
    for one in pack(samples, tokenizer.encode_with_offsets, TREE_TOKENS, seed):
        asked = [question for question in one.questions if question.quoted]
        if not asked:
            continue
        chosen = rng.choice(len(asked), min(len(asked), PER_TREE, n_rows), replace=False)
        with packed_tree(Pack(one.documents, []), model, tokenizer, encoder) as tree:
            seen = SeenTree(tree, encoder)
            for place in chosen.tolist():
                yield seen.row(name, asked[place], limit)[0]
        n_rows -= len(chosen)
        if n_rows <= 0:
            return


def write_lens_rows(path: Path, rows: Sequence[LensRow]) -> None:
    """Write rows, whole or not at all."""
    part = path.with_name(path.name + ".part")
    columns = {name: [getattr(row, name) for row in rows] for name in ("features", "answer", "tokens")}
    if any(row.gain is not None for row in rows):
        columns["gain"] = [_unknown(row) if row.gain is None else row.gain for row in rows]
    with part.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array(NAMES),
            set=np.array([row.set for row in rows]),
            any_block=np.array([row.any_block for row in rows]),
            n_answer=np.array([row.n_answer for row in rows]),
            n=np.array([len(row.answer) for row in rows]),
            **{name: np.concatenate(values) for name, values in columns.items()},
        )
    part.replace(path)


def read_lens_rows(path: Path) -> list[LensRow]:
    """Read rows.

    Raises:
        ValueError: They were made with other features.
    """
    with np.load(path, allow_pickle=False) as table:
        if tuple(table["names"].tolist()) != NAMES:
            raise ValueError("its features are not those of this version")
        bounds = np.cumsum(table["n"])[:-1]
        listed = [name for name in ("features", "answer", "tokens", "gain") if name in table]
        columns = [np.split(table[name], bounds) for name in listed]
        single = (table[name].tolist() for name in ("set", "any_block", "n_answer"))
        return [LensRow(*row) for row in zip(*single, *columns, strict=True)]


def _unknown(row: LensRow) -> npt.NDArray[np.float32]:
    return np.full(len(row.answer), np.nan, np.float32)


def recall(rows: Sequence[LensRow], scores: Sequence[npt.NDArray[np.floating]], budget: int) -> dict[str, float]:
    """Share of the questions of each set whose answer is among the best candidates that fit a budget of raw tokens."""
    found: dict[str, list[bool]] = {}
    for row, score in zip(rows, scores, strict=True):
        order = np.argsort(-score, kind="stable")
        shown = row.answer[order][np.cumsum(row.tokens[order]) <= budget].sum()
        found.setdefault(row.set, []).append(bool(shown > 0 if row.any_block else shown == row.n_answer))
    return {name: float(np.mean(values)) for name, values in found.items()}
