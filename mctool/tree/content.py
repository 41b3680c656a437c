"""Cutting documents into blocks, and gathering blocks until a segment is full.

Shape letters: n tokens, B blocks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS
from mctool.core.errors import SourceError
from mctool.tree.fingerprint import Fingerprint
from mctool.tree.layout import FORMAT_VERSION

IntArray = npt.NDArray[np.int64]
IdArray = npt.NDArray[np.uint32]
MAX_SEGMENT_TEXT = 2**32 - 1
"""Most bytes of text in a segment: ``byte_start`` is 32-bit."""


@dataclass(frozen=True)
class Blocks:
    """Consecutive blocks with their text.

    Attributes:
        ids: Token ids, 0 after the end of a short block. Shape [B, 32].
        lengths: Tokens of each block, 1 to 32. Shape [B].
        char_start: First character of each block, in code points into its document. Shape [B].
        line_start: Line of that character, from 1. Shape [B].
        texts: UTF-8 text of each block; a character belongs to the block of its first token.
    """

    ids: IdArray
    lengths: IntArray
    char_start: IntArray
    line_start: IntArray
    texts: list[bytes]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, part: slice) -> Blocks:
        return Blocks(
            self.ids[part], self.lengths[part], self.char_start[part], self.line_start[part], self.texts[part]
        )


def cut_blocks(path: str, ids: IdArray, char_starts: IntArray, text: str) -> Blocks:
    """Cut one tokenised document into blocks.

    Args:
        path: For messages.
        ids: Token ids, shape [n], n >= 1.
        char_starts: Code point of ``text`` at which each token begins, never decreasing, shape [n]. Tokens that are
            pieces of one character all have the place of that character.
        text: The whole document.

    Raises:
        ValueError: The arrays do not describe a tokenised document.
        SourceError: ``text`` has code points that are not Unicode characters.
    """
    if ids.ndim != 1 or ids.shape != char_starts.shape or not len(ids):
        raise ValueError(
            f"{path}: ids {ids.shape} and char_starts {char_starts.shape} must be equal, 1-D and not empty"
        )
    if char_starts[0] < 0 or char_starts[-1] >= len(text) or np.any(np.diff(char_starts) < 0):
        raise ValueError(f"{path}: char_starts must not decrease and must lie within the {len(text)} characters")
    n_blocks = -(-len(ids) // BLOCK_TOKENS)
    padded = np.zeros(n_blocks * BLOCK_TOKENS, np.uint32)
    padded[: len(ids)] = ids
    lengths = np.full(n_blocks, BLOCK_TOKENS, np.int64)
    lengths[-1] = len(ids) - (n_blocks - 1) * BLOCK_TOKENS
    starts = char_starts[::BLOCK_TOKENS].astype(np.int64)
    starts[0] = 0
    # A character whose first token ends a block stays in that block, though the next block may begin with its rest.
    np.maximum(starts[1:], char_starts[BLOCK_TOKENS - 1 : -1 : BLOCK_TOKENS] + 1, out=starts[1:])
    bounds = [*starts.tolist(), len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    try:
        texts = [piece.encode() for piece in pieces]
    except UnicodeEncodeError as error:
        raise SourceError(f"{path} holds code points that are not Unicode characters ({error.reason})") from error
    breaks = np.array([piece.count("\n") for piece in pieces], np.int64)
    return Blocks(padded.reshape(-1, BLOCK_TOKENS), lengths, starts, 1 + np.cumsum(breaks) - breaks, texts)


@dataclass(frozen=True)
class SegmentContent:
    """Everything of a segment but its gists; ``byte_start`` counts into ``text``. Shapes as in :class:`Blocks`."""

    ids: IdArray
    lengths: IntArray
    byte_start: npt.NDArray[np.uint32]
    char_start: IntArray
    line_start: IntArray
    text: bytes

    @property
    def n_blocks(self) -> int:
        """Blocks of the segment."""
        return len(self.lengths)

    def digest(self, fingerprint: Fingerprint) -> str:
        """sha256 over the content and what it was made with; equal digests mean equal gists.

        Documents begin where ``char_start`` is 0, so their bounds are part of it.
        """
        header = {"format": FORMAT_VERSION, "fingerprint": fingerprint.to_json(), "n_blocks": self.n_blocks}
        state = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        for array, dtype in (
            (self.ids, "<u4"),
            (self.lengths, "<i8"),
            (self.byte_start, "<u4"),
            (self.char_start, "<i8"),
            (self.line_start, "<i8"),
        ):
            state.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
        state.update(self.text)
        return state.hexdigest()

    def block_texts(self) -> list[str]:
        """Text of each block."""
        return split_text(self.text, [*self.byte_start.tolist(), len(self.text)])


def split_text(text: bytes, bounds: Sequence[int]) -> list[str]:
    """Texts between consecutive byte offsets into UTF-8 text; raises UnicodeDecodeError where it is no such text."""
    return [text[start:end].decode() for start, end in pairwise(bounds)]


class SegmentBuffer:
    """Blocks on their way into one segment."""

    def __init__(self) -> None:
        self._parts: list[Blocks] = []
        self.n_blocks = 0

    @property
    def room(self) -> int:
        """Blocks that still fit."""
        room: int = SEGMENT_BLOCKS - self.n_blocks
        return room

    def append(self, blocks: Blocks) -> None:
        """Take blocks; no more than there is room for."""
        if len(blocks) > self.room:
            raise ValueError(f"{len(blocks)} blocks do not fit into the room for {self.room}")
        self._parts.append(blocks)
        self.n_blocks += len(blocks)

    def content(self) -> SegmentContent:
        """All blocks so far, as the content of a segment.

        Raises:
            SourceError: The text is too long for one segment.
        """
        parts = self._parts
        sizes = np.array([len(text) for part in parts for text in part.texts], np.int64)
        ends = np.cumsum(sizes)
        if ends[-1] > MAX_SEGMENT_TEXT:
            raise SourceError(
                f"{ends[-1]} bytes of text in {len(sizes)} blocks: this is not text that the model can read"
            )
        return SegmentContent(
            ids=np.concatenate([part.ids for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts]),
            byte_start=(ends - sizes).astype(np.uint32),
            char_start=np.concatenate([part.char_start for part in parts]),
            line_start=np.concatenate([part.line_start for part in parts]),
            text=b"".join(text for part in parts for text in part.texts),
        )
