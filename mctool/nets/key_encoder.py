"""The key encoder of LensNet: text of blocks to keys, a question to a vector that is multiplied with them.

Keys know nothing of the base model: they are made of text, with word pieces of their own. Eight consecutive blocks are
read in one pass and each is pooled by itself, so that a key knows its neighbourhood. Shape letters: N blocks, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from mctool.nets.device import choose_dtype
from mctool.nets.key_net import KeyNet
from mctool.nets.key_pieces import WordPieces, batches

KeyArray = npt.NDArray[np.int8]
ScaleArray = npt.NDArray[np.float16]
FloatArray = npt.NDArray[np.float32]

BATCH_PIECES = 4096
"""Word pieces side by side in one pass, padding included."""

GROUP_BLOCKS = 1024
"""Blocks whose word pieces are held at once, all of them for documents that are shorter."""

SCORED_KEYS = 1 << 14
"""Keys that are widened to float32 at once."""


class KeyEncoder:
    """Keys of blocks, vectors of questions, and what they are worth to each other.

    Args:
        net: The net; it is moved to ``device`` and to bfloat16 where that is fast there.
        tokenizer: Its word pieces.
        device: Where to run.
        fingerprint: Names exactly this encoder.

    Attributes:
        width: D.
        fingerprint: See above; a tree keeps it, to tell which encoder made its keys.
    """

    def __init__(
        self, net: KeyNet, tokenizer: Tokenizer, device: torch.device | str = "cpu", fingerprint: str = ""
    ) -> None:
        place = torch.device(device)
        dtype = choose_dtype("auto", place)
        self._net = net.to(place, dtype).eval().requires_grad_(False)
        self._pieces = WordPieces(tokenizer, net.config.positions)
        self.width = net.config.width
        self.fingerprint = fingerprint

    def block_keys(self, texts: Sequence[str]) -> tuple[KeyArray, ScaleArray]:
        """Keys of the consecutive blocks of one document; see :meth:`document_keys`."""
        return self.document_keys([texts])

    @torch.inference_mode()
    def document_keys(self, documents: Sequence[Sequence[str]]) -> tuple[KeyArray, ScaleArray]:
        """Keys of the blocks of documents; many small documents at once are faster than one by one.

        The key of a block is ``keys[i] * scale[i]``, a vector of length 1; zeros for a block without a word.

        Args:
            documents: Texts of the consecutive blocks of each document, N in all.

        Returns:
            Keys, shape [N, D], and scales, shape [N].

        Raises:
            UsageError: A text holds half of a surrogate pair, which is no character.
        """
        keys = [np.zeros((0, self.width), np.int8)]
        scales = [np.zeros(0, np.float16)]
        for group in _groups(documents):
            runs = self._pieces.text_runs(group)
            n_blocks = sum(len(texts) for texts in group)
            vectors = self._net.vectors(batches(runs, BATCH_PIECES), n_blocks).cpu().numpy()
            scale = (np.abs(vectors).max(axis=1) / 127).astype(np.float16)
            # A scale that was rounded down would make the largest number 128.
            keys.append(np.clip(np.rint(vectors / np.maximum(scale, 1e-6)[:, None]), -127, 127).astype(np.int8))
            scales.append(scale)
        return np.concatenate(keys), np.concatenate(scales)

    @torch.inference_mode()
    def query(self, question: str) -> FloatArray:
        """The vector of a question, of length 1, zeros for one without a word. Shape: [D].

        Raises:
            UsageError: It holds half of a surrogate pair, which is no character.
        """
        runs = self._pieces.question_runs([question])
        vector: FloatArray = self._net.vectors(batches(runs, BATCH_PIECES), 1)[0].cpu().numpy()
        return vector


def scores(query: FloatArray, keys: KeyArray, scale: ScaleArray) -> FloatArray:
    """Cosine of a question and each key, from -1 to 1, 0 for a block without a word.

    Args:
        query: Shape [D].
        keys: Shape [N, D].
        scale: Shape [N].

    Returns:
        Shape [N].
    """
    found = np.zeros(len(keys), np.float32)
    for start in range(0, len(keys), SCORED_KEYS):
        end = start + SCORED_KEYS
        found[start:end] = (keys[start:end].astype(np.float32) @ query) * scale[start:end]
    return found


def _groups(documents: Sequence[Sequence[str]]) -> list[list[Sequence[str]]]:
    """Documents, long ones in parts of whole windows, in groups of about GROUP_BLOCKS blocks."""
    groups: list[list[Sequence[str]]] = []
    left = 0
    for texts in documents:
        for start in range(0, len(texts), GROUP_BLOCKS):
            part = texts[start : start + GROUP_BLOCKS]
            if len(part) > left:
                groups.append([])
                left = GROUP_BLOCKS
            groups[-1].append(part)
            left -= len(part)
    return groups
