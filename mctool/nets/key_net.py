"""The transformer inside the key encoder: BERT's layers, few of them, in the form that MiniLM has.

Shape letters: B runs, T pieces of the longest, N blocks, D width, H heads.
Source: BERT (Devlin et al. 2019) with post-norm layers and learned positions; MiniLM (Wang et al. 2020) for the
weights that training starts from. Differs: the one used row of the token types is part of the positions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mctool.core.errors import MismatchError
from mctool.nets.key_pieces import PieceRun

NORM_EPS = 1e-12


@dataclass(frozen=True)
class KeyNetConfig:
    """Shape of a key net.

    Attributes:
        layers: Transformer layers.
        width: D, of the inner vectors and of the keys.
        heads: Attention heads.
        mlp: Inner width of the feed-forward parts.
        vocabulary: Word pieces.
        positions: Most pieces in one run.
    """

    layers: int = 2
    width: int = 384
    heads: int = 12
    mlp: int = 1536
    vocabulary: int = 30_522
    positions: int = 512

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "mlp", "vocabulary"):
            if getattr(self, name) < 1:
                raise MismatchError(f"key net: {name} {getattr(self, name)} is not positive")
        if self.width % self.heads:
            raise MismatchError(f"key net: width {self.width} is no multiple of its {self.heads} heads")
        if self.positions < 3:
            raise MismatchError(f"key net: {self.positions} positions hold no piece between two marks")


class KeyLayer(nn.Module):
    """Self-attention and a feed-forward part, each added to its input and normalised."""

    def __init__(self, config: KeyNetConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, NORM_EPS)
        self.up = nn.Linear(width, config.mlp)
        self.down = nn.Linear(config.mlp, width)
        self.mlp_norm = nn.LayerNorm(width, NORM_EPS)

    def forward(self, x: Float[Tensor, "B T D"], mask: Bool[Tensor, "B 1 1 T"] | None) -> Float[Tensor, "B T D"]:
        """One layer; ``mask`` is true for what may be seen, None when all may. Shapes: [B, T, D], [B, 1, 1, T]."""
        b, t, width = x.shape
        inner = self.query_key_value(x).view(b, t, 3, self.heads, width // self.heads)
        query, key, value = inner.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.attention_norm(x + self.attended(seen.transpose(1, 2).reshape(b, t, width)))
        return cast(Tensor, self.mlp_norm(x + self.down(F.gelu(self.up(x)))))


class KeyNet(nn.Module):
    """Word pieces to inner vectors, and their mean over each block."""

    def __init__(self, config: KeyNetConfig) -> None:
        super().__init__()
        self.config = config
        self.pieces = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.norm = nn.LayerNorm(config.width, NORM_EPS)
        self.layers = nn.ModuleList(KeyLayer(config) for _ in range(config.layers))
        for table in (self.pieces, self.positions):
            nn.init.normal_(table.weight, std=0.02)

    @classmethod
    def from_bert(cls, directory: Path, layers: Sequence[int], same_as: tuple[int, int]) -> KeyNet:
        """A net with layers of a BERT encoder.

        Args:
            directory: Of a Hugging Face BertModel.
            layers: Which of its layers, in order.
            same_as: A word piece that shall begin as a copy of another: (piece, other).

        Raises:
            MismatchError: It does not hold such a model.
        """
        try:
            heads = json.loads((directory / "config.json").read_text("utf-8"))["num_attention_heads"]
            held = load_file(directory / "model.safetensors")
            table = held["embeddings.word_embeddings.weight"]
            positions = held["embeddings.position_embeddings.weight"]
            mlp = len(held["encoder.layer.0.intermediate.dense.bias"])
            config = KeyNetConfig(len(layers), table.shape[1], heads, mlp, len(table), len(positions))
            net = cls(config)
            net.load_state_dict(_from_bert(held, layers))
        except (OSError, ValueError, TypeError, SafetensorError, KeyError, RuntimeError) as error:
            raise MismatchError(f"{directory} holds no BERT encoder with layers {list(layers)} ({error})") from error
        with torch.no_grad():
            net.pieces.weight[same_as[0]] = net.pieces.weight[same_as[1]]
        return net

    def with_layers(self, layers: Sequence[int]) -> KeyNet:
        """A copy with only these layers, in this order, on the same device."""
        net = KeyNet(replace(self.config, layers=len(layers)))
        for mine, theirs in ((net.pieces, self.pieces), (net.positions, self.positions), (net.norm, self.norm)):
            mine.load_state_dict(theirs.state_dict())
        for place, layer in enumerate(layers):
            net.layers[place].load_state_dict(self.layers[layer].state_dict())
        return net.to(self.pieces.weight.device)

    def forward(self, ids: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T D"]:
        """Inner vectors of word pieces.

        Args:
            ids: Word pieces with their marks. Shape: [B, T].
            mask: True where there is a piece; None when there is no padding. Shape: [B, T].

        Raises:
            MismatchError: A run is longer than the net has positions.
        """
        if ids.shape[1] > self.config.positions:
            raise MismatchError(f"a run of {ids.shape[1]} pieces, more than the net's {self.config.positions}")
        x = self.norm(self.pieces(ids) + self.positions.weight[: ids.shape[1]])
        seen = None if mask is None else mask[:, None, None, :]
        for layer in self.layers:
            x = layer(x, seen)
        return cast(Tensor, x)

    def hidden(self, runs: Sequence[PieceRun]) -> tuple[Float[Tensor, "B T D"], Int[Tensor, "B T"]]:
        """Inner vectors of runs that are read side by side, and the block of each: -1 for marks, -2 for padding."""
        device = self.pieces.weight.device
        width = max(len(run.ids) for run in runs)
        padded = any(len(run.ids) < width for run in runs)
        ids = torch.tensor([run.ids + [0] * (width - len(run.ids)) for run in runs], device=device)
        blocks = torch.tensor([run.blocks + [-2] * (width - len(run.ids)) for run in runs], device=device)
        return self(ids, blocks > -2 if padded else None), blocks

    def sums(self, runs: Sequence[PieceRun], n_blocks: int) -> Float[Tensor, "N D"]:
        """Sum of the inner vectors of each block, in float32; zeros for a block without a piece.

        Args:
            runs: Read side by side.
            n_blocks: Blocks that the runs number.
        """
        hidden, blocks = self.hidden(runs)
        inside = blocks >= 0
        sums = torch.zeros(n_blocks, hidden.shape[2], device=hidden.device)
        return sums.index_add(0, blocks[inside], hidden[inside].float())

    def vectors(self, batches: Sequence[Sequence[PieceRun]], n_blocks: int) -> Float[Tensor, "N D"]:
        """Mean vector of each block, at length 1; zeros for a block without a piece.

        Args:
            batches: Runs that are read side by side; a block may have pieces in several.
            n_blocks: Blocks that the runs number.
        """
        total = torch.zeros(n_blocks, self.config.width, device=self.pieces.weight.device)
        for runs in batches:
            total = total + self.sums(runs, n_blocks)
        return F.normalize(total, dim=1)  # a sum points where the mean does


def _from_bert(held: dict[str, Tensor], layers: Sequence[int]) -> dict[str, Tensor]:
    types = held["embeddings.token_type_embeddings.weight"][0]
    state = {
        "pieces.weight": held["embeddings.word_embeddings.weight"],
        "positions.weight": held["embeddings.position_embeddings.weight"] + types,
    }
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = held[f"embeddings.LayerNorm.{kind}"]
        for place, layer in enumerate(layers):
            old, new = f"encoder.layer.{layer}", f"layers.{place}"
            parts = [held[f"{old}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{new}.query_key_value.{kind}"] = torch.cat(parts)
            state[f"{new}.attended.{kind}"] = held[f"{old}.attention.output.dense.{kind}"]
            state[f"{new}.attention_norm.{kind}"] = held[f"{old}.attention.output.LayerNorm.{kind}"]
            state[f"{new}.up.{kind}"] = held[f"{old}.intermediate.dense.{kind}"]
            state[f"{new}.down.{kind}"] = held[f"{old}.output.dense.{kind}"]
            state[f"{new}.mlp_norm.{kind}"] = held[f"{old}.output.LayerNorm.{kind}"]
    return state
