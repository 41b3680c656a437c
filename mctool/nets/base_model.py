"""The frozen base model: embeddings in, logits out.

Shape letters: n slots, m target tokens, V vocabulary, d base width.

Every call passes an attention mask. Without one, transformers takes positions that jump for several sequences
packed into one, and cuts attention at every jump.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from mctool.core.errors import MismatchError, ResourceError
from mctool.nets.adapter import merge_adapter
from mctool.nets.checkpoint import read_tensors
from mctool.nets.device import choose_device, choose_dtype
from mctool.nets.llama_decoder import KeyValues, LlamaDecoder, make_decoder
from mctool.nets.model_store import ModelFiles
from mctool.nets.startup import gc_paused

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

    def __init__(self, name: str, model: Any, eos_ids: frozenset[int], fast_steps: bool = True) -> None:
        """Wrap a model; see :meth:`load`.

        Args:
            name: What records show.
            model: A causal LM of transformers.
            eos_ids: Token ids that end an answer.
            fast_steps: Take single tokens through :mod:`mctool.nets.llama_decoder`, where it can, which rounds to fp16.
        """
        config = model.config.get_text_config()
        self._model = model.eval().requires_grad_(False)
        self._fast_steps = fast_steps
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
    def load(
        cls, files: ModelFiles, device: str = "auto", dtype: str = "auto", adapter: Path | None = None
    ) -> BaseModel:
        """Load a model.

        Args:
            files: From :func:`mctool.nets.model_store.resolve_model`.
            device: ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or ``auto``: the first of cuda, mps and cpu that is here.
            dtype: ``float32``, ``bfloat16`` or ``float16`` for everything, or ``auto``: bfloat16 on cuda and on CPUs
                with instructions for it, else float32; and on CPUs single tokens with fp16 weights, see
                :mod:`mctool.nets.llama_decoder`.
            adapter: Folder of a LoRA adapter that is merged into the weights; None for the model as it is.

        Raises:
            MissingBackendError: The device is not on this machine.
            UsageError: There is no such device or dtype.
            MismatchError: The files are broken, the model is of a kind that cannot be used, or the adapter is.
            ResourceError: Out of memory.
        """
        place = choose_device(device)
        number_type = choose_dtype(dtype, place)
        with gc_paused(), _out_of_memory():
            from mctool.nets.hugging_face import make_model, read_config  # over a second of imports

            config = read_config(files.directory)
            model = make_model(config, _read_weights(files, number_type, adapter), number_type).to(place)
        return cls(files.name, model, end_ids(files, config), fast_steps=dtype == "auto")

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
        decoding = Decoding(self)
        decoding.read(embeddings, positions)
        return decoding

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
        targets = _targets(target_ids)
        place = self._positions(embeddings, positions)
        steps = torch.arange(1, len(targets), device=self.device)
        read = torch.cat([self._ready(embeddings), self.embed(targets[:-1])])
        output = self._forward(read, torch.cat([place, place[-1] + steps]), keep=len(targets))
        return _gather_log_likelihood(output.logits[0].float(), targets)

    @cached_property
    def _decoder(self) -> LlamaDecoder | None:
        """Takes single tokens in place of transformers, where it can; made at the first of them."""
        with _out_of_memory():
            return make_decoder(self._model) if self._fast_steps else None

    def _positions(self, embeddings: Tensor, positions: Tensor | npt.ArrayLike | None, first: int = 0) -> Tensor:
        """Positions on the device, shape [n], from ``first`` on if none are given, after a check of the shapes."""
        n_slots = len(embeddings)
        if embeddings.shape != (n_slots, self.d_model) or not n_slots:
            raise ValueError(
                f"embeddings have shape {tuple(embeddings.shape)}; expected [n, {self.d_model}] with n >= 1"
            )
        if positions is None:
            return torch.arange(first, first + n_slots, device=self.device)
        place = torch.as_tensor(positions).to(self.device)
        if place.shape != (n_slots,):
            raise ValueError(f"positions have shape {tuple(place.shape)}; expected [{n_slots}]")
        return place

    def _ready(self, embeddings: Tensor) -> Tensor:
        return embeddings.to(self.device, self.dtype)

    def _forward(
        self,
        embeddings: Tensor,
        positions: Tensor,
        keep: int,
        cache: bool = False,
        past: Any = None,
        n_past: int = 0,
    ) -> Any:
        """One pass over slots [n, d] after ``n_past`` cached ones; logits of the last ``keep`` slots, of all if 0."""
        mask = torch.ones(1, n_past + len(embeddings), dtype=torch.long)
        with _out_of_memory():
            return self._model(
                inputs_embeds=self._ready(embeddings)[None],
                attention_mask=mask.to(self.device),
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

    def __init__(self, base: BaseModel) -> None:
        """Nothing read so far; see :meth:`BaseModel.prefill`."""
        self._base = base
        self._past: Any = None  # KeyValues after a step of the base's decoder, else a cache of transformers
        self._n_slots = 0
        self._next_position = 0

    def step(self, token_id: int) -> None:
        """Append a token at the next position; ``logits`` are then those of the token after it."""
        embedding = self._base.embed([token_id])
        if self._base._decoder is None or not self._fast_step(embedding[0], self._base._decoder):
            self.read(embedding)

    def read(self, embeddings: Float[Tensor, "n d"], positions: Tensor | npt.ArrayLike | None = None) -> None:
        """Append slots; ``logits`` are then those of the token after the last of them.

        Args:
            embeddings: Shape [n, d], n >= 1.
            positions: Rotary position of each slot, shape [n]; None goes on from the last one in steps of 1.
        """
        with torch.inference_mode():
            place = self._base._positions(embeddings, positions, first=self._next_position)
            output = self._forward(embeddings, place, 1, self._cache())
        self._past = output.past_key_values
        self._advance(output.logits[0, -1].float(), len(place), int(place[-1]) + 1)

    def fork(self) -> Decoding:
        """A copy that can go on on its own: a window that several questions share is read once."""
        other = copy.copy(self)
        with torch.inference_mode():
            other._past = self._past.copy() if isinstance(self._past, KeyValues) else _copy_cache(self._past)
        return other

    def log_likelihood(self, target_ids: Tensor | npt.ArrayLike) -> Float[Tensor, " m"]:
        """Log-likelihood of each token of a continuation; the decoding stays where it is.

        Args:
            target_ids: The continuation, shape [m], m >= 1.

        Returns:
            Nats, each at most 0, float32, shape [m].
        """
        targets = _targets(target_ids)
        logits = self.logits[None]
        if len(targets) > 1:
            embeddings = self._base.embed(targets[:-1])
            with torch.inference_mode():
                place = self._base._positions(embeddings, None, first=self._next_position)
                past = _copy_cache(self._cache())
                output = self._base._forward(embeddings, place, 0, cache=True, past=past, n_past=self._n_slots)
            logits = torch.cat([logits, output.logits[0].float()])
        return _gather_log_likelihood(logits, targets)

    def _fast_step(self, embedding: Tensor, decoder: LlamaDecoder) -> bool:
        """Append one slot, shape [d], without transformers; False when that cannot be done."""
        with torch.inference_mode():
            if not isinstance(self._past, KeyValues):
                self._past = KeyValues([(layer.keys, layer.values) for layer in self._past.layers])
            logits = decoder.step(embedding, self._next_position, self._past)
        if logits is None:
            self._base._decoder = None  # a model beyond the range of fp16 stays beyond it
            return False
        self._advance(logits, 1, self._next_position + 1)
        return True

    def _cache(self) -> Any:
        """What was read, as a cache of transformers; None for nothing."""
        if not isinstance(self._past, KeyValues):
            return self._past
        from mctool.nets.hugging_face import make_cache

        return make_cache(self._past.pairs(), self._base.dtype)

    def _forward(self, embeddings: Tensor, positions: Tensor, keep: int, past: Any) -> Any:
        """One pass of transformers over slots after those that were read; ``past`` may grow with it."""
        return self._base._forward(embeddings, positions, keep, cache=True, past=past, n_past=self._n_slots)

    def _advance(self, logits: Tensor, n_slots: int, next_position: int) -> None:
        self.logits = logits
        self._n_slots += n_slots
        self._next_position = next_position


def _copy_cache(cache: Any) -> Any:
    from mctool.nets.hugging_face import copy_cache

    return copy_cache(cache)


def _read_weights(files: ModelFiles, dtype: torch.dtype, adapter: Path | None) -> dict[str, Tensor]:
    if adapter is None:
        return read_tensors(files, dtype)
    tensors = read_tensors(files, torch.float32)  # an update is small beside a weight: added before rounding
    merge_adapter(tensors, adapter)
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _targets(target_ids: Tensor | npt.ArrayLike) -> Tensor:
    targets = torch.as_tensor(target_ids).to(torch.long)
    if not len(targets):
        raise ValueError("a continuation of no tokens has no likelihood")
    return targets


def _gather_log_likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1).gather(1, targets.to(logits.device)[:, None])[:, 0]


def end_ids(files: ModelFiles, config: Any) -> frozenset[int]:
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
