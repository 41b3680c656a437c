"""Text of blocks to word pieces, eight blocks to a pass; without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from tokenizers import Encoding, Tokenizer

from mctool.core.errors import MismatchError, UsageError

WINDOW_BLOCKS = 8
"""Consecutive blocks of one document that are read in one pass."""

TEXT_MARK = "[CLS]"
QUESTION_MARK = "[unused0]"
END_MARK = "[SEP]"


@dataclass(frozen=True)
class PieceRun:
    """What the net reads in one pass.

    Attributes:
        ids: Word pieces between two marks, at least one.
        blocks: Number of the block to which each belongs, -1 for the marks.
    """

    ids: list[int]
    blocks: list[int]


class WordPieces:
    """Cuts text into runs.

    Args:
        tokenizer: A tokenizer of word pieces; it adds no marks, pads nothing and truncates nothing.
        longest: Most pieces of a run, marks included.

    Raises:
        MismatchError: A mark is not in the vocabulary.
    """

    def __init__(self, tokenizer: Tokenizer, longest: int) -> None:
        self._tokenizer = tokenizer
        self._longest = longest - 2
        self.text_mark, self.question_mark, self.end_mark = (
            piece_id(tokenizer, mark) for mark in (TEXT_MARK, QUESTION_MARK, END_MARK)
        )

    def text_runs(self, documents: Sequence[Sequence[str]]) -> list[PieceRun]:
        """Runs of documents, each eight blocks of one document, fewer at its end.

        Text of more pieces than the net can read at once is read in several runs: a block may have pieces in two or
        more. A block of white space has none.

        Args:
            documents: Texts of the consecutive blocks of each document; blocks are numbered through.

        Raises:
            UsageError: A text holds half of a surrogate pair, which is no character.
        """
        windows: list[Sequence[str]] = []
        first_blocks: list[int] = []
        done = 0
        for texts in documents:
            starts = range(0, len(texts), WINDOW_BLOCKS)
            windows += [texts[start : start + WINDOW_BLOCKS] for start in starts]
            first_blocks += [done + start for start in starts]
            done += len(texts)
        runs: list[PieceRun] = []
        for texts, first, encoding in zip(windows, first_blocks, self._encode(windows), strict=True):
            ends = np.cumsum([len(text) for text in texts])
            begins = np.array([begin for begin, _ in encoding.offsets], np.int64)
            blocks = first + np.searchsorted(ends, begins, side="right")
            runs += self._cut(encoding.ids, blocks.tolist(), self.text_mark)
        return runs

    def question_runs(self, questions: Sequence[str]) -> list[PieceRun]:
        """Runs of questions, numbered as blocks are; one without a word has none.

        Raises:
            UsageError: A question holds half of a surrogate pair, which is no character.
        """
        encodings = self._encode([[question] for question in questions])
        return [
            run
            for number, encoding in enumerate(encodings)
            for run in self._cut(encoding.ids, [number] * len(encoding.ids), self.question_mark)
        ]

    def beginnings(self, texts: Sequence[str], most: int, *, asked: bool = False) -> list[PieceRun]:
        """A run of the first pieces of each text, numbered as blocks are; a text without a word has none.

        Args:
            texts: Texts, or questions.
            most: Most pieces of one.
            asked: They are questions.

        Raises:
            UsageError: A text holds half of a surrogate pair, which is no character.
        """
        mark, most = self.question_mark if asked else self.text_mark, min(most, self._longest)
        found = enumerate(encoding.ids[:most] for encoding in self._encode([[text] for text in texts]))
        return [PieceRun([mark, *ids, self.end_mark], [-1, *[n] * len(ids), -1]) for n, ids in found if ids]

    def _encode(self, windows: Sequence[Sequence[str]]) -> list[Encoding]:
        try:
            return self._tokenizer.encode_batch(["".join(texts) for texts in windows], add_special_tokens=False)
        except TypeError as error:
            raise UsageError(
                "the text holds half of a surrogate pair, which is no character", "fix its encoding"
            ) from error

    def _cut(self, ids: list[int], blocks: list[int], mark: int) -> list[PieceRun]:
        """Runs of about equal length."""
        n_runs = -(-len(ids) // self._longest)
        bounds = [len(ids) * number // max(n_runs, 1) for number in range(n_runs + 1)]
        return [PieceRun([mark, *ids[a:b], self.end_mark], [-1, *blocks[a:b], -1]) for a, b in pairwise(bounds)]


def piece_id(tokenizer: Tokenizer, piece: str) -> int:
    """Number of a word piece.

    Raises:
        MismatchError: It is not in the vocabulary.
    """
    found = tokenizer.token_to_id(piece)
    if found is None:
        raise MismatchError(f"{piece} is not among the word pieces")
    return int(found)


def batches(runs: Sequence[PieceRun], batch_pieces: int) -> list[list[PieceRun]]:
    """Runs of about equal length side by side, at most ``batch_pieces`` with the padding, but at least one run."""
    found: list[list[PieceRun]] = []
    for run in sorted(runs, key=lambda run: len(run.ids)):  # the last of a batch is its longest
        if found and len(run.ids) * (len(found[-1]) + 1) <= batch_pieces:
            found[-1].append(run)
        else:
            found.append([run])
    return found
