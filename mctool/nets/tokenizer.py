"""The tokenizer of a base model, for text that is data.

This module imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from tokenizers.decoders import DecodeStream

from mctool.core.errors import MismatchError, UsageError
from mctool.nets.model_store import ModelFiles

PIECE_CHARS = 1 << 16
"""Long text is encoded in pieces of at most this many code points."""

PIECES_PER_BATCH = 16
"""Pieces that are encoded at once on all cores; bounds the memory."""


class TextTokenizer:
    """Text to token ids and back.

    Text is data: special tokens that are spelled out in it are encoded as the plain characters that they are, and
    nothing is added.

    Attributes:
        vocab_size: All ids are below this.
        fingerprint: sha256 of the tokenizer file; two tokenizers with one fingerprint give the same ids.
    """

    vocab_size: int
    fingerprint: str

    def __init__(self, path: Path) -> None:
        """Read ``path``, a tokenizer.json.

        Raises:
            MismatchError: It is not one.
        """
        try:
            data = path.read_bytes()
            self._tokenizer = Tokenizer.from_buffer(data)
        except (OSError, ValueError) as error:
            raise MismatchError(f"{path} is not a tokenizer: {error}", "get the model again") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        # All that a post-processor could do here is to trim white space off the offsets.
        self._tokenizer.post_processor = None
        self.fingerprint = hashlib.sha256(data).hexdigest()
        self.vocab_size = max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @classmethod
    def load(cls, files: ModelFiles) -> TextTokenizer:
        """The tokenizer of a model.

        Raises:
            MismatchError: Its tokenizer.json is missing or broken.
        """
        return cls(files.directory / "tokenizer.json")

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, in one piece: for prompts and questions.

        Raises:
            UsageError: The text holds half of a surrogate pair, which is no character.
        """
        return self._encode_batch([text])[0].ids

    def encode_with_offsets(self, text: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Token ids of a document of any length, and where in it each token begins.

        The starts tile the text: token i stands for the code points [starts[i], starts[i + 1]), the last one for all
        that follow. A character that is split over several tokens belongs to its first; the others are then empty.
        Characters that no token covers belong to the token after them.

        Long text is encoded in pieces that end, where possible, at the end of a line between two lines that neither
        end nor begin with white space; byte-level tokenizers give the same ids as for the whole.

        Returns:
            Ids, shape [n], and code points, shape [n], the first 0, never decreasing.

        Raises:
            UsageError: The text holds half of a surrogate pair, which is no character.
        """
        ids: list[npt.NDArray[np.uint32]] = []
        ends: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]
        done = 0
        pieces = _pieces(text)
        while batch := list(islice(pieces, PIECES_PER_BATCH)):
            for piece, encoding in zip(batch, self._encode_batch(batch), strict=True):
                ids.append(np.array(encoding.ids, dtype=np.uint32))
                ends.append(np.array([end for _, end in encoding.offsets], dtype=np.int64) + done)
                done += len(piece)
        starts = np.maximum.accumulate(np.concatenate(ends)[:-1]) if done else np.zeros(0, np.int64)
        starts = np.minimum(starts, done - 1)  # what is left of a split character at the very end
        return np.concatenate([np.zeros(0, np.uint32), *ids]), starts

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """Text of ``ids``; special tokens are left out, bytes that form no character become U+FFFD."""
        return self._tokenizer.decode(np.asarray(ids, dtype=np.int64).tolist(), skip_special_tokens=True)

    def token_id(self, token: str) -> int | None:
        """Id of the token that is spelled ``token`` in the vocabulary, such as ``<|im_start|>``; None if unknown."""
        return self._tokenizer.token_to_id(token)

    def stream(self) -> StreamDecoder:
        """A decoder for ids that come one at a time."""
        return StreamDecoder(self._tokenizer)

    def _encode_batch(self, texts: list[str]) -> list[Encoding]:
        try:
            return self._tokenizer.encode_batch(texts, add_special_tokens=False)
        except TypeError as error:
            raise UsageError(
                "the text holds half of a surrogate pair, which is no character", "fix its encoding"
            ) from error


class StreamDecoder:
    """Decodes ids as they come. The pieces together are the decoded text, less an unfinished character at its end."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def push(self, token_id: int) -> str:
        """The text that ``token_id`` adds; empty while a character waits for the rest of its bytes."""
        return self._stream.step(self._tokenizer, token_id) or ""


def _pieces(text: str) -> Iterator[str]:
    """Cut ``text`` into pieces of at most PIECE_CHARS, at a line end where there is one."""
    start = 0
    while len(text) - start > PIECE_CHARS:
        cut = _best_cut(text, start, start + PIECE_CHARS)
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]


def _best_cut(text: str, start: int, limit: int) -> int:
    """Where to end a piece that begins at ``start``: in (start, limit], before the end of the text.

    The last line end that has no other white space beside it, else the last line end, else ``limit``.
    """
    last = line_end = text.rfind("\n", start + 1, limit)
    while line_end >= 0:
        if not text[line_end - 1].isspace() and not text[line_end + 1].isspace():
            return line_end + 1
        line_end = text.rfind("\n", start + 1, line_end)
    return last + 1 if last >= 0 else limit
