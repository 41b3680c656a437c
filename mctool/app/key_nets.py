"""The nets of the lens as ingests and questions need them: loaded with the first use, and torch with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mctool.focus.entry_features import NAMES
from mctool.nets.key_folder import find_key_encoder
from mctool.tree.centroids import FloatArray, KeyArray, ScaleArray

if TYPE_CHECKING:
    from mctool.nets.key_encoder import KeyEncoder
    from mctool.nets.lens_weights import LensScorer
    from mctool.nets.reranker import Reranker


class KeyNets:
    """A ``KeyBuilder`` that also reads questions.

    Every use raises MismatchError when the files of the encoder are damaged, MissingBackendError when the device is
    not on this machine, and UsageError when there is no such device.
    """

    def __init__(self, folder: Path, device: str) -> None:
        """Take the folder of a key encoder, and where it is to run, as given to ``--device``."""
        self._folder = folder
        self._device = device

    @classmethod
    def find(cls, device: str) -> KeyNets | None:
        """The key encoder that is known; None without one.

        Raises:
            MismatchError: $MCTOOL_WEIGHTS names no directory.
        """
        folder = find_key_encoder()
        return cls(folder, device) if folder else None

    @cached_property
    def _encoder(self) -> KeyEncoder:
        from mctool.nets.startup import gc_paused

        with gc_paused():
            from mctool.nets.device import choose_device
            from mctool.nets.key_weights import load_key_encoder
        return load_key_encoder(self._folder, choose_device(self._device))

    @cached_property
    def scorer(self) -> LensScorer | None:
        """The LensNet that was trained with the encoder; None without one, where words and keys are mixed as they are.

        Raises:
            MismatchError: It is damaged or does not fit.
        """
        from mctool.nets.lens_weights import load_lens_net

        return load_lens_net(self._folder, NAMES, self.fingerprint)

    @cached_property
    def _reranker(self) -> Reranker | None:
        from mctool.nets.device import choose_device
        from mctool.nets.reranker_weights import load_reranker

        return load_reranker(self._folder, choose_device(self._device))

    def rerank(self, question: str, functions: Mapping[str, str]) -> Mapping[str, float]:
        """How well each function, text by name, fits a question, from -1 to 1; {} without a reranker.

        Raises:
            MismatchError: The reranker does not fit the key encoder.
        """
        return self._reranker(question, functions) if self._reranker is not None else {}

    def load(self) -> None:
        """Load the nets unless they are here, but for the reranker, which few questions need."""
        _ = self._encoder, self.scorer

    def load_reranker(self) -> None:
        """Load the reranker, if there is one; raises as :meth:`rerank`."""
        _ = self._reranker

    @property
    def fingerprint(self) -> str:
        """See ``KeyBuilder``."""
        return self._encoder.fingerprint

    @property
    def width(self) -> int:
        """See ``KeyBuilder``."""
        return self._encoder.width

    def document_keys(self, documents: Sequence[Sequence[str]]) -> tuple[KeyArray, ScaleArray]:
        """See ``KeyBuilder``."""
        return self._encoder.document_keys(documents)

    def query(self, question: str) -> FloatArray:
        """The vector of a question, of length 1; zeros for one without a word. Shape: [D].

        Raises:
            UsageError: It holds half of a surrogate pair, which is no character.
        """
        return self._encoder.query(question)
