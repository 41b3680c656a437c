"""What gists are trained for without the base model: to tell the tokens that they stand for.

Two objectives, both against the embedding table of the base, so that a gist says it in the reader's own language:
*bag*, which tokens there are, rare ones counting more, read off the gist itself; *order*, which token is where, read
off what DeGistNet makes of it. Above level 1, children are gists; DeGistNet is to tell them apart from those of other
blocks.

Candidates are the tokens of the batch, each with the logarithm of its frequency added, as in a sampled softmax.
Source: Mikolov et al. 2013 for the candidates; Ge et al. 2024, ICAE, for rebuilding text from slots.

Shape letters: B blocks, K children per block (32), D base width, C candidate tokens, P places in a
block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mctool.core.blocks import BLOCK_TOKENS
from mctool.nets.degistnet import DeGistNet

NORM_CEILING = 1.6
"""Length of a gist, over that of an embedding, beyond which it costs: vectors fitted to the reader have 1.5."""


@dataclass(frozen=True)
class Vocabulary:
    """The base's tokens.

    Attributes:
        table: Their embeddings. Shape: [V, D].
        log_frequency: Natural logarithm of the share of each in text. Shape: [V].
    """

    table: Tensor
    log_frequency: Tensor

    def candidates(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The different tokens among ``ids``, and for each of ``ids`` its number among those."""
        found, places = torch.unique(ids, return_inverse=True)
        return found, places


def bag_loss(
    gists: Float[Tensor, "B D"], ids: Int[Tensor, "B _"], vocabulary: Vocabulary, sharpness: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Nats by which gists miss the tokens of their blocks, each different token counting by its rarity.

    Args:
        gists: Shape: [B, D].
        ids: Tokens under each gist. Shape: [B, n].
        vocabulary: The tokens.
        sharpness: Factor on the cosines.
    """
    candidates, places = vocabulary.candidates(ids)
    directions = F.normalize(vocabulary.table[candidates], dim=1)
    logits = (F.normalize(gists, dim=1) @ directions.T) * sharpness + vocabulary.log_frequency[candidates]
    present = torch.zeros(len(ids), len(candidates), device=gists.device).scatter_(1, places, 1.0)
    weights = present * -vocabulary.log_frequency[candidates]
    weights = weights / weights.sum(1, keepdim=True)
    return -(weights * logits.log_softmax(1)).sum(1).mean()


def order_loss(
    net: DeGistNet,
    gists: Float[Tensor, "B D"],
    ids: Int[Tensor, "B K"],
    asked: Int[Tensor, " P"],
    vocabulary: Vocabulary,
) -> Float[Tensor, ""]:
    """Nats a token by which DeGistNet misses the tokens of blocks.

    Args:
        net: Takes the gists apart.
        gists: Of level 1. Shape: [B, D].
        ids: Tokens of their blocks. Shape: [B, K].
        asked: Places of the blocks whose tokens are asked for.
        vocabulary: The tokens.
    """
    candidates, places = vocabulary.candidates(ids)
    logits = net.token_logits(gists, vocabulary.table[candidates], asked) + vocabulary.log_frequency[candidates]
    return F.cross_entropy(logits.flatten(0, 1), places[:, asked].flatten())


def children_loss(
    net: DeGistNet, gists: Float[Tensor, "B D"], children: Float[Tensor, "B K D"], level: int
) -> Float[Tensor, ""]:
    """Nats by which DeGistNet fails to tell each child from all children of the batch; for levels above 1.

    Args:
        net: Takes the gists apart.
        gists: Shape: [B, D].
        children: What they stand for. Shape: [B, K, D].
        level: LOD of ``gists``.
    """
    told = net(gists, level).flatten(0, 1)
    logits = (told @ F.normalize(children.detach().flatten(0, 1), dim=1).T) * net.sharpness.exp()
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def norm_loss(gists: Float[Tensor, "B D"], embedding_norm: Tensor) -> Float[Tensor, ""]:
    """What gists cost for being too long for the reader. Shape: gists [B, D]."""
    excess = F.relu(gists.norm(dim=1) / embedding_norm - NORM_CEILING)
    return excess.square().mean()


@torch.inference_mode()
def rebuilt(net: DeGistNet, gists: Float[Tensor, "B D"], ids: Int[Tensor, "B K"], vocabulary: Vocabulary) -> float:
    """Share of tokens that DeGistNet gets back from gists of level 1, out of the whole vocabulary.

    Args:
        net: Takes the gists apart.
        gists: Shape: [B, D].
        ids: Tokens of their blocks. Shape: [B, K].
        vocabulary: The tokens.
    """
    right = 0
    for first in range(0, len(gists), BLOCK_TOKENS):
        some = slice(first, first + BLOCK_TOKENS)
        logits = net.token_logits(gists[some], vocabulary.table, None) + vocabulary.log_frequency
        right += int((logits.argmax(2) == ids[some]).sum())
    return right / max(ids.numel(), 1)
