"""One token at a time through a Llama on the CPU, several times as fast as through its transformers modules.

A step reads every weight once, so that it takes the time of reading them from memory, plus that of many small
operations. Here the weights are kept once more as fp16, projections with the same input as one matrix, and a layer is
some 16 operations. Only weights and the inputs of linear layers are rounded; residual stream, norms, rotary positions,
attention and its keys and values stay in float32.

Shape letters: L layers, H query heads, G key/value heads, e head width, d base width, n slots, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

GROWTH = 256
"""Slots that are made room for at a time."""

MOST_PARAMETERS = 2_000_000_000
"""Weights of larger models are not kept twice."""

_STATIC_ROPE = ("default", "linear", "llama3")
"""Kinds of rotary frequencies that do not depend on the length of the window."""


class KeyValues:
    """Keys and values of the slots that were read, with room for more.

    Attributes:
        n_slots: How many slots were read.
    """

    def __init__(self, layers: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Copy the keys and values of each layer, each of shape [1, G, n, e]."""
        keys = layers[0][0]
        _, n_groups, self.n_slots, head_width = keys.shape
        self._stored = torch.empty(len(layers), 2, n_groups, self.n_slots + GROWTH, head_width)
        for stored, pair in zip(self._stored, layers, strict=True):
            stored[0, :, : self.n_slots], stored[1, :, : self.n_slots] = pair[0][0], pair[1][0]

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each layer, each of shape [1, G, n, e]; views, not copies."""
        return [(pair[0, None], pair[1, None]) for pair in self._stored[:, :, :, : self.n_slots]]

    def copy(self) -> KeyValues:
        """The same slots, to go on with on their own."""
        return KeyValues(self.pairs())

    def next_slot(self) -> tuple[Iterable[Tensor], Iterable[Tensor], Iterable[Tensor]]:
        """Views by layer: the place of the next slot, shape [2, G, e], and all keys and all values up to and with it.

        The slot counts as read only when ``n_slots`` is raised.
        """
        n = self.n_slots
        if n == self._stored.shape[3]:
            self._stored = torch.cat([self._stored, torch.empty_like(self._stored[:, :, :, :GROWTH])], dim=3)
        keys, values = self._stored[:, :, None, :, : n + 1].unbind(1)
        return self._stored[:, :, :, n].unbind(), keys.unbind(), values.unbind()


@dataclass(frozen=True)
class _Layer:
    """Weights of one layer; matrices have one row an output."""

    attention_norm: Tensor
    query_key_value: Tensor
    attention_out: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


class LlamaDecoder:
    """The weights of a Llama as a step wants them; see :func:`make_decoder`."""

    def __init__(self, model: Any, storage: torch.dtype) -> None:
        """Copy the weights of ``model``, a ``LlamaForCausalLM``, as ``storage``."""
        config = model.config
        self._n_heads: int = config.num_attention_heads
        self._n_groups: int = config.num_key_value_heads
        self._head_width: int = config.head_dim
        self._eps: float = config.rms_norm_eps
        self._storage = storage
        self._layers = [_copy_layer(layer, storage) for layer in model.model.layers]
        self._norm = model.model.norm.weight.float()
        self._head = model.lm_head.weight.to(storage)
        rotary = model.model.rotary_emb
        self._frequencies = rotary.inv_freq.float()
        self._rotary_scale: float = rotary.attention_scaling
        self._other_half = torch.arange(self._head_width).roll(self._head_width // 2)

    def step(self, embedding: Float[Tensor, " d"], position: int, past: KeyValues) -> Float[Tensor, " V"] | None:
        """Read one more slot.

        Args:
            embedding: Shape [d].
            position: Its rotary position.
            past: What was read before; the slot is added.

        Returns:
            Logits of the token after it, float32, shape [V]; None, and nothing added, when a weight or an activation
            is beyond the range of the stored type.
        """
        cos, sin = self._turn(position)
        n_heads, grouped = self._n_heads, (1, self._n_groups, self._n_heads // self._n_groups, self._head_width)
        hidden = embedding.to(torch.float32, copy=True)
        for layer, slot, keys, values in zip(self._layers, *past.next_slot(), strict=True):
            heads = self._linear(self._normed(hidden, layer.attention_norm), layer.query_key_value).float()
            heads = heads.view(-1, self._head_width)
            heads = torch.addcmul(heads * cos, heads.index_select(1, self._other_half), sin)
            slot.copy_(heads[n_heads:].view(slot.shape))
            # The query heads of a group take the place of positions: all see all slots, and no mask is needed.
            read = functional.scaled_dot_product_attention(heads[:n_heads].view(grouped), keys, values)
            hidden += self._linear(read.view(-1), layer.attention_out)
            gate, up = self._linear(self._normed(hidden, layer.mlp_norm), layer.gate_up).view(2, -1)
            hidden += self._linear(functional.silu(gate).mul_(up), layer.down)
        logits = self._linear(self._normed(hidden, self._norm), self._head).float()
        if not math.isfinite(logits.sum()):
            return None
        past.n_slots += 1
        return logits

    def _normed(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(hidden, hidden.shape, weight, self._eps)

    def _linear(self, x: Tensor, weight: Tensor) -> Tensor:
        return torch.mv(weight, x.to(self._storage))

    def _turn(self, position: int) -> tuple[Tensor, Tensor]:
        """What query, key and value heads, and their halves swapped, are multiplied by; shapes [H + 2 G, e].

        Values are not turned: times 1 and 0, so that all heads take one operation.
        """
        angles = self._frequencies * position
        cos, sin = angles.cos() * self._rotary_scale, angles.sin() * self._rotary_scale
        n_turned = self._n_heads + self._n_groups
        times_heads = torch.ones(n_turned + self._n_groups, self._head_width)
        times_swapped = torch.zeros_like(times_heads)
        times_heads[:n_turned] = torch.cat([cos, cos])
        times_swapped[:n_turned] = torch.cat([-sin, sin])
        return times_heads, times_swapped


def make_decoder(model: Any, storage: torch.dtype = torch.float16) -> LlamaDecoder | None:
    """A decoder for a causal LM of transformers, or None where only transformers itself will do.

    That is for any device but the CPU, any architecture but a plain Llama, and models so large that they had better
    not be kept twice.
    """
    config = model.config
    plain = (
        model.device.type == "cpu"
        and config.model_type == "llama"
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and config.rope_parameters["rope_type"] in _STATIC_ROPE
        and model.num_parameters() <= MOST_PARAMETERS
    )
    if not plain:
        return None
    with torch.inference_mode():
        return LlamaDecoder(model, storage)


def _copy_layer(layer: Any, storage: torch.dtype) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    return _Layer(
        attention_norm=layer.input_layernorm.weight.float(),
        query_key_value=_stacked([attention.q_proj, attention.k_proj, attention.v_proj], storage),
        attention_out=attention.o_proj.weight.to(storage),
        mlp_norm=layer.post_attention_layernorm.weight.float(),
        gate_up=_stacked([mlp.gate_proj, mlp.up_proj], storage),
        down=mlp.down_proj.weight.to(storage),
    )


def _stacked(linears: Sequence[Any], storage: torch.dtype) -> Tensor:
    """The weights of linear layers with the same input as one matrix, without a copy in between."""
    n_rows = [len(linear.weight) for linear in linears]
    stacked = torch.empty(sum(n_rows), linears[0].weight.shape[1], dtype=storage)
    for part, linear in zip(stacked.split(n_rows), linears, strict=True):
        part.copy_(linear.weight)
    return stacked
