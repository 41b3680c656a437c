"""How well keys alone find located answers, to choose between encoders. Shape letters: N blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import BLOCK_TOKENS
from mctool.nets.key_encoder import KeyEncoder, scores
from mctool.sources.corpus import Encode, IntArray, Pack, Question, Sample, pack

FloatArray = npt.NDArray[np.float32]

BUDGETS = (128, 256, 512, 1024, 2048)
"""Tokens of raw text."""

BESIDE = 0.25
"""What the blocks on both sides count when a block is scored: answers often stand beside what a question resembles."""


def key_recall(
    encoder: KeyEncoder, samples: Sequence[Sample], encode: Encode, tree_tokens: int, questions: int, seed: int = 0
) -> dict[int, float]:
    """Share of questions whose answer is among the blocks that fit them best, by tokens of these.

    The whole of an answer in prose; for a function one block of its body.

    Args:
        encoder: Whose keys.
        samples: Texts with located questions.
        encode: The tokenizer that blocks are counted by.
        tree_tokens: Most tokens that are searched at once.
        questions: Most questions.
        seed: Seed of the choice.

    Returns:
        Recall by budget; empty when there is no question.
    """
    found: list[list[bool]] = []
    rng = np.random.default_rng(seed)
    for one in pack(samples, encode, tree_tokens, seed):
        asked = [question for question in one.questions if question.quoted]
        chosen = rng.permutation(len(asked))[: questions - len(found)].tolist()
        if chosen:
            found += _found(encoder, one, [asked[place] for place in chosen])
    return dict(zip(BUDGETS, np.mean(found, axis=0).tolist(), strict=True)) if found else {}


def beside(fits: FloatArray, starts: IntArray) -> FloatArray:
    """Scores of blocks, those beside them in the same document counted in, itself in place of one that is missing.

    Args:
        fits: Score of each block, shape [N].
        starts: First block of each document, and N.
    """
    smooth = fits.copy()
    for start, end in pairwise(starts.tolist()):
        if start < end:
            padded = np.pad(fits[start:end], 1, mode="edge")
            smooth[start:end] += BESIDE * (padded[:-2] + padded[2:])
    return smooth


def _found(encoder: KeyEncoder, one: Pack, questions: Sequence[Question]) -> list[list[bool]]:
    """For each question, whether its answer is found at each budget."""
    bounds = [[*document.char_starts[::BLOCK_TOKENS].tolist(), len(document.text)] for document in one.documents]
    texts = [
        [document.text[a:b] for a, b in pairwise(edges)] for document, edges in zip(one.documents, bounds, strict=True)
    ]
    lengths = np.concatenate([_lengths(len(document.ids)) for document in one.documents])
    starts = np.cumsum([0] + [len(some) for some in texts])
    keys, scale = encoder.document_keys(texts)
    found = []
    for question in questions:
        order = np.argsort(-beside(scores(encoder.query(question.text), keys, scale), starts), kind="stable")
        taken = np.empty(len(order), np.int64)
        taken[order] = np.cumsum(lengths[order])
        edges = np.array(bounds[question.document])
        inside = np.flatnonzero((edges[:-1] < question.end) & (edges[1:] > question.start))
        needed = taken[starts[question.document] + inside]
        cost = int(needed.min() if question.any_block else needed.max())
        found.append([cost <= budget for budget in BUDGETS])
    return found


def _lengths(n_tokens: int) -> IntArray:
    """Tokens of each block of a document."""
    return np.diff(np.append(np.arange(0, n_tokens, BLOCK_TOKENS), n_tokens))
