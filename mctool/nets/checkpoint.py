"""Reading weights from the safetensors files of a model, without transformers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mctool.core.errors import MismatchError, ResourceError
from mctool.nets.model_cache import weight_files
from mctool.nets.model_store import ModelFiles

_EMBEDDING_NAMES = (
    "embed_tokens.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "wte.weight",
    "tok_embeddings.weight",
)


def read_tensors(files: ModelFiles, dtype: torch.dtype) -> dict[str, Tensor]:
    """All tensors of a model by name, on the CPU, the floating ones as ``dtype``.

    Raises:
        MismatchError: A file is missing or broken.
        ResourceError: Out of memory.
    """
    tensors: dict[str, Tensor] = {}
    for file in weight_files(files.directory):
        with _open(files.directory / file) as weights:
            for name in weights.keys():  # noqa: SIM118 (not a dict)
                tensor = weights.get_tensor(name)
                tensors[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return tensors


def load_embedding_table(files: ModelFiles) -> Tensor:
    """The token embeddings of a model, read alone.

    These are the stored rows; the few model families that scale them on the way in do so in their own code.

    Returns:
        float32 on the CPU, shape [V, d].

    Raises:
        MismatchError: A file is missing or broken, or no tensor has the name of an embedding table.
        ResourceError: Out of memory.
    """
    for file in weight_files(files.directory):
        with _open(files.directory / file) as weights:
            for name in weights.keys():  # noqa: SIM118 (not a dict)
                if name.endswith(_EMBEDDING_NAMES):
                    return weights.get_tensor(name).float()
    raise MismatchError(
        f"no embedding table among the weights in {files.directory}", "use a model with rotary positions"
    )


@contextmanager
def _open(path: Path) -> Iterator[safe_open]:
    try:
        with safe_open(path, framework="pt") as weights:
            yield weights
    except (OSError, SafetensorError) as error:
        raise MismatchError(f"{path} is not a complete safetensors file: {error}", "get the model again") from error
    except MemoryError as error:
        raise ResourceError(
            f"out of memory while reading {path}", "close other programs, or use a smaller model"
        ) from error
