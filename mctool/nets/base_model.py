"""The frozen base model: embeddings in, logits out.

Shape letters: n slots, m target tokens, V vocabulary, d base width.

Every call passes an attention mask of ones. Without one, transformers takes positions that jump for several sequences
packed into one, and cuts attention at every jump.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mctool.core.errors import MismatchError, MissingBackendError, ResourceError, UsageError
from mctool.nets.checkpoint import read_tensors
from mctool.nets.model_store import ModelFiles
from mctool.nets.startup import gc_paused

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SMALLER = "lower --w-max, use a smaller model, or --device cpu"


class BaseModel:
    """A causal language model that is never trained.

    Its parameters take no gradients; gradients do flow through it to embeddings that ask for them.

    Attributes:
        name: What records show.
        d_model: Base width d.
        n_layers: Number of layers.
        vocab_size: V, the number of rows of the embedding table.
        trained_positions: Number of positions that it was trained with.
        device: Where it computes.
        dtype: Type of its weights and of the embeddings that it takes.
        eos_ids: Token ids that end an answer.
    """

    def __init__(self, name: str, model: Any, eos_ids: frozenset[int]) -> None:
        """Wrap ``model``, a causal LM of transformers in evaluation mode; see :meth:`load`."""
        config = model.config.get_text_config()
        self._model = model.eval().requires_grad_(False)
        self._table = model.get_input_embeddings()
        self.name = name
        self.eos_ids = eos_ids
        self.d_model: int = config.hidden_size
        self.n_layers: int = config.num_hidden_layers
        self.trained_positions: int = config.max_position_embeddings
        self.vocab_size: int = self._table.weight.shape[0]
        self.device: torch.device = self._table.weight.device
        self.dtype: torch.dtype = self._table.weight.dtype

    @classmethod
    def load(cls, files: ModelFiles, device: str = "auto", dtype: str = "auto") -> BaseModel:
        """Load a model.

        Args:
            files: From :func:`mctool.nets.model_store.resolve_model`.
            device: ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or ``auto``: the first of cuda, mps and cpu that is here.
            dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto``: bfloat16 on cuda, else float32.

        Raises:
            MissingBackendError: The device is not on this machine.
            UsageError: There is no such device or dtype.
            MismatchError: The files are broken, or the model is of a kind that cannot be used.
            ResourceError: Out of memory.
        """
        place = choose_device(device)
        number_type = choose_dtype(dtype, place)
        with gc_paused(), _out_of_memory():
            from mctool.nets.hugging_face import make_model, read_config  # over a second of imports

            config = read_config(files.directory)
            model = make_model(config, read_tensors(files, number_type), number_type).to(place)
        return cls(files.name, model, _end_ids(files, config))

    def embed(self, ids: Tensor | npt.ArrayLike) -> Float[Tensor, "n d"]:
        """Token embeddings as the model reads them.

        Args:
            ids: Token ids, shape [n].

        Returns:
            Shape [n, d], on the model's device.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        tokens = torch.as_tensor(ids).to(torch.long)
        if len(tokens) and (int(tokens.min()) < 0 or int(tokens.max()) >= self.vocab_size):
            raise ValueError(f"token ids {int(tokens.min())}..{int(tokens.max())} are not in [0, {self.vocab_size})")
        return self._table(tokens.to(self.device))

    def logits(
        self, embeddings: Float[Tensor, "n d"], positions: Tensor | npt.ArrayLike | None = None
    ) -> Float[Tensor, "n V"]:
        """Logits of the token after each slot.

        Args:
            embeddings: Shape [n, d].
            positions: Rotary position of each slot, ascending, gaps allowed, shape [n]; None for 0, 1, 2, ...

        Returns:
            float32, shape [n, V].
        """
        return self._forward(embeddings, self._positions(embeddings, positions), keep=0).logits[0].float()

    def prefill(self, embeddings: Float[Tensor, "n d"], positions: Tensor | npt.ArrayLike | None = None) -> Decoding:
        """Read a window and get ready to go on from its last slot; arguments as in :meth:`logits`."""
        with torch.inference_mode():
            place = self._positions(embeddings, positions)
            return Decoding(
                self, self._forward(embeddings, place, keep=1, cache=True), len(embeddings), int(place[-1]) + 1
            )

    def log_likelihood(
        self,
        embeddings: Float[Tensor, "n d"],
        positions: Tensor | npt.ArrayLike | None,
        target_ids: Tensor | npt.ArrayLike,
    ) -> Float[Tensor, " m"]:
        """Log-likelihood of each token of a continuation.

        Args:
            embeddings: The window before the continuation, shape [n, d], n >= 1.
            positions: As in :meth:`logits`; the continuation goes on from the last in steps of 1.
            target_ids: The continuation, shape [m], m >= 1.

        Returns:
            Nats, each at most 0, float32, shape [m].
        """
        targets = torch.as_tensor(target_ids).to(torch.long)
        if not len(targets):
            raise ValueError("a continuation of no tokens has no likelihood")
        place = self._positions(embeddings, positions)
        steps = torch.arange(1, len(targets), device=self.device)
        read = torch.cat([self._ready(embeddings), self.embed(targets[:-1])])
        output = self._forward(read, torch.cat([place, place[-1] + steps]), keep=len(targets))
        log_probabilities = torch.log_softmax(output.logits[0].float(), dim=-1)
        return log_probabilities.gather(1, targets.to(self.device)[:, None])[:, 0]

    def _positions(self, embeddings: Tensor, positions: Tensor | npt.ArrayLike | None) -> Tensor:
        """Positions on the device, shape [n], after a check of the shapes."""
        n_slots = len(embeddings)
        if embeddings.shape != (n_slots, self.d_model) or not n_slots:
            raise ValueError(
                f"embeddings have shape {tuple(embeddings.shape)}; expected [n, {self.d_model}] with n >= 1"
            )
        if positions is None:
            return torch.arange(n_slots, device=self.device)
        place = torch.as_tensor(positions).to(self.device)
        if place.shape != (n_slots,):
            raise ValueError(f"positions have shape {tuple(place.shape)}; expected [{n_slots}]")
        return place

    def _ready(self, embeddings: Tensor) -> Tensor:
        return embeddings.to(self.device, self.dtype)

    def _forward(
        self, embeddings: Tensor, positions: Tensor, keep: int, cache: bool = False, past: Any = None, n_past: int = 0
    ) -> Any:
        """One pass over slots [n, d] after ``n_past`` cached ones; logits of the last ``keep`` slots, of all if 0."""
        mask = torch.ones(1, n_past + len(embeddings), dtype=torch.long, device=self.device)
        with _out_of_memory():
            return self._model(
                inputs_embeds=self._ready(embeddings)[None],
                attention_mask=mask,
                position_ids=positions[None],
                past_key_values=past,
                use_cache=cache,
                logits_to_keep=keep,
            )


class Decoding:
    """A window that has been read, and the tokens appended to it one at a time.

    Attributes:
        logits: Logits of the next token, float32, shape [V].
    """

    logits: Tensor

    def __init__(self, base: BaseModel, output: Any, n_slots: int, next_position: int) -> None:
        """Go on from a forward pass over ``n_slots`` slots; see :meth:`BaseModel.prefill`."""
        self._base = base
        self._n_slots = n_slots
        self._next_position = next_position
        self._take(output)

    def step(self, token_id: int) -> None:
        """Append a token at the next position; ``logits`` are then those of the token after it."""
        with torch.inference_mode():
            embedding = self._base.embed([token_id])
            position = torch.tensor([self._next_position], device=self._base.device)
            self._take(self._base._forward(embedding, position, 1, cache=True, past=self._cache, n_past=self._n_slots))
        self._n_slots += 1
        self._next_position += 1

    def _take(self, output: Any) -> None:
        self._cache = output.past_key_values
        self.logits = output.logits[0, -1].float()


def choose_device(name: str) -> torch.device:
    """The device that ``--device`` means.

    Raises:
        UsageError: There is no device of that name.
        MissingBackendError: The device is not on this machine.
    """
    here: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, is_here in here.items() if is_here()))
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"--device {name!r} is not one of auto, cpu, cuda, cuda:N and mps")
    device = torch.device(name)
    if not here[device.type]():
        raise MissingBackendError(f"torch finds no {device.type} device on this machine", "use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MissingBackendError(
            f"there is no {name}: {torch.cuda.device_count()} CUDA devices here", "use --device cuda"
        )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number type that ``--dtype`` means.

    Raises:
        UsageError: There is none of that name.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise UsageError(f"--dtype {name!r} is not one of auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _end_ids(files: ModelFiles, config: Any) -> frozenset[int]:
    """End-of-text ids from config.json and generation_config.json; either may name one, several or none."""
    ends = [config.get_text_config().eos_token_id]
    generation = files.directory / "generation_config.json"
    if generation.is_file():
        try:
            ends.append(json.loads(generation.read_text("utf-8")).get("eos_token_id"))
        except (ValueError, AttributeError) as error:
            raise MismatchError(f"{generation} is not a JSON object", "get the model again") from error
    return frozenset(i for end in ends if end is not None for i in (end if isinstance(end, list) else [end]))


@contextmanager
def _out_of_memory() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError("out of memory on the accelerator", _SMALLER) from error
    except MemoryError as error:
        raise ResourceError("out of memory", _SMALLER) from error
