"""GistNet: 32 children in, the one gist that can stand in their place out.

Shape letters: B blocks, K children per block (32), D base width, W inner width, H heads.

The way is 32 -> 1 -> 32 -> 1: the children attend to each other, a learned slot reads them, the slot is broadcast back
to the children, which attend to each other again, and the slot reads them a second time. One set of weights serves all
levels; a level embedding tells tokens from gists.

The gist is a *start* plus a residual whose last projection begins at zero, so that an untrained net gives the start
itself: the importance-weighted mean of the children, sharply toward the rarest, at the length of a typical embedding.
(A plain mean of embeddings hurts a frozen reader far more than leaving the text out.)

This module does not know tokens, trees, devices or files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD
from mctool.core.errors import MismatchError

INIT_STD = 0.02


@dataclass(frozen=True)
class GistNetConfig:
    """Shape of a GistNet. The defaults give 3.7 M parameters for a base of width 576.

    Attributes:
        width: Inner width W.
        head_width: Width of one attention head; divides ``width``.
        child_mlp_ratio: Hidden width of the MLPs that run for every child, over W.
        slot_mlp_ratio: Hidden width of the MLPs that run once per block, over W: capacity that costs little time.
        sharpness: Factor on the importance before the softmax of the start; larger leans more to the rarest child.
    """

    width: int = 256
    head_width: int = 64
    child_mlp_ratio: int = 2
    slot_mlp_ratio: int = 6
    sharpness: float = 16.0

    def __post_init__(self) -> None:
        for name in ("width", "head_width", "child_mlp_ratio", "slot_mlp_ratio", "sharpness"):
            if not getattr(self, name) > 0:
                raise MismatchError(f"GistNet {name} {getattr(self, name)} is not positive")
        if self.width % self.head_width:
            raise MismatchError(f"GistNet width {self.width} is not a multiple of head_width {self.head_width}")


class Mlp(nn.Sequential):
    """Pre-norm feed-forward layer with GELU; the caller adds the residual."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width)
        )


class ChildAttention(nn.Module):
    """Self-attention over the children of a block, then an MLP."""

    def __init__(self, config: GistNetConfig) -> None:
        super().__init__()
        self.n_heads = config.width // config.head_width
        self.norm = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.mlp = Mlp(config.width, config.child_mlp_ratio)

    def forward(self, children: Float[Tensor, "B K W"], mask: Bool[Tensor, "B K"] | None) -> Float[Tensor, "B K W"]:
        """Mix the children of each block.

        Args:
            children: Shape: [B, K, W].
            mask: Children that may be attended to. Shape: [B, K].
        """
        n_blocks, n_children, width = children.shape
        qkv = self.qkv(self.norm(children)).view(n_blocks, n_children, 3, self.n_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attend = None if mask is None else mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attend)
        children = children + self.out(mixed.transpose(1, 2).reshape(n_blocks, n_children, width))
        return cast(Tensor, children + self.mlp(children))


class SlotRead(nn.Module):
    """Cross-attention of the slot to the children, then an MLP on the slot.

    With one query per block, the key projection is folded into the query and the value projection is applied after the
    mixing: the same numbers as ordinary attention at 1/64 of its work per child.
    """

    def __init__(self, config: GistNetConfig) -> None:
        super().__init__()
        self.n_heads = config.width // config.head_width
        self.slot_norm = nn.LayerNorm(config.width)
        self.child_norm = nn.LayerNorm(config.width)
        self.query = nn.Linear(config.width, config.width)
        self.key = _head_weights(self.n_heads, config)
        self.value = _head_weights(self.n_heads, config)
        self.out = nn.Linear(config.width, config.width)
        self.mlp = Mlp(config.width, config.slot_mlp_ratio)

    def forward(
        self, slot: Float[Tensor, "B W"], children: Float[Tensor, "B K W"], mask: Bool[Tensor, "B K"] | None
    ) -> Float[Tensor, "B W"]:
        """Read the children into the slot.

        Args:
            slot: Shape: [B, W].
            children: Shape: [B, K, W].
            mask: Children that may be read. Shape: [B, K].
        """
        children = self.child_norm(children)
        query = self.query(self.slot_norm(slot)).view(len(slot), self.n_heads, -1)
        query = torch.einsum("bhe,hew->bhw", query, self.key)
        attend = None if mask is None else mask[:, None, :]
        scale = self.key.shape[1] ** -0.5
        mixed = F.scaled_dot_product_attention(query, children, children, attend, scale=scale)
        slot = slot + self.out(torch.einsum("bhw,hew->bhe", mixed, self.value).reshape_as(slot))
        return cast(Tensor, slot + self.mlp(slot))


class SlotBroadcast(nn.Module):
    """Cross-attention of the children to the slot.

    A softmax over the slot alone would be 1 for every child, so that each head also offers a learned null key with a
    zero value: a child takes from the slot as much as it wants.
    """

    def __init__(self, config: GistNetConfig) -> None:
        super().__init__()
        self.n_heads = config.width // config.head_width
        self.slot_norm = nn.LayerNorm(config.width)
        self.child_norm = nn.LayerNorm(config.width)
        self.query = _head_weights(self.n_heads, config)
        self.key_value = nn.Linear(config.width, 2 * config.width)
        self.null_score = nn.Parameter(torch.zeros(self.n_heads))
        self.out = _head_weights(self.n_heads, config)

    def forward(self, slot: Float[Tensor, "B W"], children: Float[Tensor, "B K W"]) -> Float[Tensor, "B K W"]:
        """Give the slot back to the children. Shape: slot [B, W], children [B, K, W]."""
        key, value = self.key_value(self.slot_norm(slot)).view(len(slot), 2, self.n_heads, -1).unbind(1)
        key = torch.einsum("bhe,hew->bhw", key, self.query) * self.query.shape[1] ** -0.5
        share = torch.sigmoid(self.child_norm(children) @ key.transpose(1, 2) - self.null_score)
        return children + share @ torch.einsum("bhe,hew->bhw", value, self.out)


class GistNet(nn.Module):
    """The net that makes gists; see the module's docstring.

    Source: glossary, "GistNet"; the slot follows ICAE (Ge et al. 2024, sec. 2) with one slot per block and a start that
    does no harm.

    Args:
        base_width: D, the width of the base model's embeddings.
        config: Shape of the net.
    """

    importance_weight: Tensor
    importance_bias: Tensor
    target_norm: Tensor

    def __init__(self, base_width: int, config: GistNetConfig) -> None:
        super().__init__()
        self.base_width = base_width
        self.config = config
        self.into = nn.Linear(base_width, config.width)
        self.positions = nn.Parameter(torch.empty(BLOCK_TOKENS, config.width))
        self.levels = nn.Embedding(TOP_LOD, config.width)
        self.slot = nn.Parameter(torch.empty(config.width))
        self.first_mix = ChildAttention(config)
        self.first_read = SlotRead(config)
        self.broadcast = SlotBroadcast(config)
        self.second_mix = ChildAttention(config)
        self.second_read = SlotRead(config)
        self.out_norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, base_width)
        self.register_buffer("importance_weight", torch.zeros(base_width))
        self.register_buffer("importance_bias", torch.zeros(()))
        self.register_buffer("target_norm", torch.ones(()))

    @classmethod
    def for_embeddings(
        cls, table: Tensor, config: GistNetConfig | None = None, seed: int = 0, n_special: int = 0
    ) -> GistNet:
        """An untrained net for a base model, the same on every call.

        Args:
            table: Embeddings of the base model, rows in the order of token ids. Shape: [V, D].
            config: Shape of the net.
            seed: Seed of the random weights; the gists of an untrained net do not depend on it.
            n_special: Leading token ids that are special tokens, left out of the fit.
        """
        net = cls(table.shape[1], config or GistNetConfig())
        net._initialise(torch.Generator().manual_seed(seed))
        weight, bias = fit_importance(table[n_special:], first_id=n_special)
        net.importance_weight.copy_(weight)
        net.importance_bias.copy_(bias)
        net.target_norm.copy_(table[n_special:].float().norm(dim=1).mean())
        return net.eval()

    def forward(
        self, children: Float[Tensor, "B K D"], mask: Bool[Tensor, "B _"] | None, level: int
    ) -> Float[Tensor, "B D"]:
        """Compress each block of children into its gist.

        Args:
            children: Token embeddings (for level 1) or gists (above) in document order, in base-embedding scale.
                Shape: [B, K, D].
            mask: Live children; None when all are. Shape: [B, K], bool.
            level: LOD of the result, from 1 to TOP_LOD.

        Returns:
            One gist per block in base-embedding scale, in the dtype of the net; zeros where no child is live.
            Shape: [B, D].

        Raises:
            MismatchError: The children are not blocks of K vectors of the width this net was made for, or the level
                is none that it knows.
        """
        self._check(children, mask, level)
        children = children.to(self.out.weight.dtype)
        if mask is None:
            return self.start(children, None) + self._residual(children, None, level)
        # A dead child may hold anything; as a zero vector it cannot bring NaN through a weight of 0.
        children = children.masked_fill(~mask[..., None], 0.0)
        some = mask.any(dim=1, keepdim=True)
        readable = mask | ~some
        return (self.start(children, readable) + self._residual(children, readable, level)) * some

    def start(self, children: Float[Tensor, "B K D"], mask: Bool[Tensor, "B K"] | None) -> Float[Tensor, "B D"]:
        """The importance-weighted mean of the children, at the mean length of the base's embeddings.

        Args:
            children: Shape: [B, K, D].
            mask: Live children, at least one per block; None when all are. Shape: [B, K].
        """
        importance = (children @ self.importance_weight + self.importance_bias) * self.config.sharpness
        if mask is not None:
            importance = importance.masked_fill(~mask, -math.inf)
        mean = (importance.softmax(dim=1)[:, None, :] @ children).squeeze(1)
        return F.normalize(mean, dim=1) * self.target_norm

    def _residual(self, children: Tensor, mask: Tensor | None, level: int) -> Tensor:
        # The base's embeddings are small numbers (about 0.13 each); the inner layers want them near 1.
        scaled = children * (math.sqrt(self.base_width) / self.target_norm)
        inner = self.into(scaled) + (self.positions + self.levels.weight[level - 1])
        inner = self.first_mix(inner, mask)
        slot = self.first_read(self.slot.expand(len(inner), -1), inner, mask)
        inner = self.broadcast(slot, inner)
        inner = self.second_mix(inner, mask)
        slot = self.second_read(slot, inner, mask)
        return cast(Tensor, self.out(self.out_norm(slot)))

    def _initialise(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            if "norm" in name or name.endswith(("bias", "null_score")):
                continue
            std = parameter.shape[-1] ** -0.5 if parameter is self.into.weight else INIT_STD
            nn.init.normal_(parameter, std=std, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.out.weight)

    def _check(self, children: Tensor, mask: Tensor | None, level: int) -> None:
        if children.ndim != 3 or children.shape[1:] != (BLOCK_TOKENS, self.base_width):
            raise MismatchError(
                f"GistNet got children of shape {list(children.shape)}, expected [B, {BLOCK_TOKENS}, {self.base_width}]"
            )
        if mask is not None and mask.shape != children.shape[:2]:
            raise MismatchError(f"GistNet got a mask of shape {list(mask.shape)}, expected {list(children.shape[:2])}")
        if not 1 <= level <= TOP_LOD:
            raise MismatchError(f"GistNet got level {level}, expected 1 to {TOP_LOD}")


def fit_importance(table: Tensor, first_id: int = 0, ridge: float = 0.1) -> tuple[Tensor, Tensor]:
    """Fit how rare a token is, from its embedding alone, so that the same probe can weigh gists.

    Byte-pair tokens are numbered by merge, that is by falling frequency, so log(1 + id) stands for -log(frequency)
    (Zipf's law). Ridge least squares over all rows.

    Args:
        table: Embeddings, rows in the order of token ids. Shape: [V, D].
        first_id: Token id of the first row.
        ridge: Penalty on the weights, relative to the mean variance of the embedding's coordinates.

    Returns:
        Weights, shape [D], and bias, shape [], of ``x @ weights + bias``, in float32.
    """
    rows = table.detach().to("cpu", torch.float64)
    rank = torch.log1p(torch.arange(first_id, first_id + len(rows), dtype=torch.float64))
    centre = rows.mean(dim=0)
    rows = rows - centre
    gram = rows.T @ rows / len(rows)
    penalty = ridge * gram.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    gram.diagonal().add_(penalty)
    weight = torch.linalg.solve(gram, rows.T @ (rank - rank.mean()) / len(rows))
    return weight.float(), (rank.mean() - centre @ weight).float()


def _head_weights(n_heads: int, config: GistNetConfig) -> nn.Parameter:
    """Projection weights kept by head. Shape: [H, head width, W]."""
    return nn.Parameter(torch.empty(n_heads, config.head_width, config.width))
