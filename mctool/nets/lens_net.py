"""LensNet: how much the answer to a question would gain if a block were shown, learned from located answers.

Two sides look at each other in turn: a few conditioning slots attend to all entries, so that they know what there is to
choose from, and each entry attends to the slots. The order of entries does not matter; what an entry's neighbours hold
is among its features (:mod:`mctool.focus.entry_features`).

Shape letters: B questions, N entries, F features, W width, S slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mctool.core.errors import UsageError

UNTRAINED_MIX = 8.0
"""What the first feature, the mix of words and keys, is multiplied by before anything is learnt."""


@dataclass(frozen=True)
class LensNetConfig:
    """Shape of a LensNet.

    Attributes:
        n_features: F.
        width: W.
        heads: Heads of each attention.
        layers: Rounds of looking at each other.
        slots: S.
        cross_attention: Without it, each entry is judged by itself, which is for comparison only.
        tells_gain: Tell beside the score how many nats of the answer an entry is worth to the reader.
    """

    n_features: int
    width: int = 64
    heads: int = 4
    layers: int = 2
    slots: int = 4
    cross_attention: bool = True
    tells_gain: bool = False

    def __post_init__(self) -> None:
        if min(self.n_features, self.width, self.heads, self.layers, self.slots) < 1 or self.width % self.heads:
            raise UsageError(f"no LensNet of width {self.width} with {self.heads} heads")


class LensNet(nn.Module):
    """Scores entries.

    It begins as the mix of words and keys that its first feature is: the last layer is zero.

    Args:
        config: Its shape.
    """

    def __init__(self, config: LensNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.mean = nn.Parameter(torch.zeros(config.n_features), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(config.n_features), requires_grad=False)
        self.enter = nn.Sequential(nn.Linear(config.n_features, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.slots = nn.Parameter(torch.randn(config.slots, width) * 0.02)
        self.rounds = nn.ModuleList(_Round(config) for _ in range(config.layers))
        self.leave = nn.Linear(width, 2 if config.tells_gain else 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.mix = nn.Parameter(torch.tensor(UNTRAINED_MIX))

    def forward(self, features: Float[Tensor, "B N F"], absent: Bool[Tensor, "B N"]) -> Float[Tensor, "B N"]:
        """Log odds, but for a number common to all entries of a question, that an entry is worth its tokens.

        Args:
            features: Of each entry.
            absent: True for what only fills the batch up.
        """
        return self.judge(features, absent)[0]

    def judge(
        self, features: Float[Tensor, "B N F"], absent: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B N"] | None]:
        """Scores as :meth:`forward` gives them, and gains in nats, negative for what distracts; None if not told."""
        entries = self.enter((features - self.mean) / self.spread)
        slots = self.slots.expand(len(features), -1, -1)
        for one in self.rounds:
            entries, slots = one(entries, slots, absent)
        left = self.leave(entries)
        return self.mix * features[..., 0] + left[..., 0], left[..., 1] if self.config.tells_gain else None


class _Round(nn.Module):
    """Slots attend to entries, entries to slots, and each entry thinks."""

    def __init__(self, config: LensNetConfig) -> None:
        super().__init__()
        width = config.width
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.looks = config.cross_attention
        if self.looks:
            self.of_entries, self.of_slots = nn.LayerNorm(width), nn.LayerNorm(width)
            self.gather = nn.MultiheadAttention(width, config.heads, batch_first=True)
            self.tell = nn.MultiheadAttention(width, config.heads, batch_first=True)

    def forward(self, entries: Tensor, slots: Tensor, absent: Tensor) -> tuple[Tensor, Tensor]:
        if self.looks:
            seen = self.of_entries(entries)
            slots = slots + self.gather(slots, seen, seen, key_padding_mask=absent, need_weights=False)[0]
            known = self.of_slots(slots)
            entries = entries + self.tell(seen, known, known, need_weights=False)[0]
        return entries + self.think(entries), slots
