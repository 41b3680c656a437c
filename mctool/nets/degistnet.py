"""DeGistNet: one gist in, the 32 children that it stands for out.

It is the inverse of :mod:`mctool.nets.gistnet`, as good as a gist allows. It tells how much of a block its gist holds:
the share of tokens that come back. Source: glossary, "DeGistNet".

Shape letters: B blocks, K children per block (32), D base width, W inner width, C candidate tokens, P places in a
block.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD
from mctool.nets.gistnet import INIT_STD, ChildAttention, GistNetConfig

N_MIXES = 2


class DeGistNet(nn.Module):
    """The net that takes gists apart.

    Args:
        base_width: D, the width of the base model's embeddings.
        config: Shape of the net, as of the GistNet whose gists it reads.
        embedding_norm: Length of a typical embedding of the base.
        seed: Seed of the random weights.
    """

    embedding_norm: Tensor

    def __init__(self, base_width: int, config: GistNetConfig, embedding_norm: float, seed: int = 0) -> None:
        super().__init__()
        self.base_width = base_width
        self.into = nn.Linear(base_width, config.width)
        self.positions = nn.Parameter(torch.empty(BLOCK_TOKENS, config.width))
        self.scales = nn.Parameter(torch.ones(BLOCK_TOKENS, config.width))
        self.levels = nn.Embedding(TOP_LOD, config.width)
        self.mixes = nn.ModuleList(ChildAttention(config) for _ in range(N_MIXES))
        self.out_norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, base_width)
        self.sharpness = nn.Parameter(torch.tensor(math.log(16.0)))
        self.register_buffer("embedding_norm", torch.tensor(float(embedding_norm)))
        self._initialise(torch.Generator().manual_seed(seed))

    def forward(self, gists: Float[Tensor, "B D"], level: int) -> Float[Tensor, "B K D"]:
        """The directions of the children of each gist, each of length 1.

        Args:
            gists: Shape: [B, D].
            level: LOD of the gists, from 1 to TOP_LOD.
        """
        scaled = gists * (math.sqrt(self.base_width) / self.embedding_norm)
        inner = self.into(scaled) + self.levels.weight[level - 1]
        children = inner[:, None, :] * self.scales + self.positions
        for mix in self.mixes:
            children = mix(children, None)
        return F.normalize(self.out(self.out_norm(children)), dim=2)

    def token_logits(
        self, gists: Float[Tensor, "B D"], candidates: Float[Tensor, "C D"], places: Int[Tensor, " P"] | None
    ) -> Float[Tensor, "B P C"]:
        """How likely each candidate is in places of the blocks of gists of level 1, as unnormalised log odds.

        Args:
            gists: Shape: [B, D].
            candidates: Embeddings of tokens. Shape: [C, D].
            places: Children that are asked for; None for all. Shape: [P].
        """
        directions = self(gists, 1)
        if places is not None:
            directions = directions[:, places]
        return cast(Tensor, (directions @ F.normalize(candidates, dim=1).T) * self.sharpness.exp())

    def _initialise(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            if "norm" in name or name in ("scales", "sharpness"):
                continue
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
                continue
            std = parameter.shape[-1] ** -0.5 if parameter is self.into.weight else INIT_STD
            nn.init.normal_(parameter, std=std, generator=generator)
