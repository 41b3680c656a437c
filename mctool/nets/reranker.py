"""The reranker of LensNet: how well functions that the lens has found fit a question, word piece by word piece.

A key is one vector for 32 tokens, made before any question is known. Here each piece of the question looks for the
piece of a function that is most like it, which tells functions apart that are about the same thing. The net is the key
encoder with low-rank additions to its upper layers.
Source: late interaction as in ColBERT (Khattab and Zaharia 2020), LoRA (Hu et al. 2021). Differs: pieces of the
question have learned weights, and the mean over them is taken in place of the sum.

Shape letters: Q questions, N texts, T and S pieces of the longest question and text, D width.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import cast

import torch
from jaxtyping import Bool, Float
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrize

from mctool.core.errors import MismatchError
from mctool.nets.device import choose_dtype
from mctool.nets.key_net import KeyNet
from mctool.nets.key_pieces import PieceRun, WordPieces, batches

BATCH_PIECES = 4096
"""Word pieces of texts side by side in one pass, padding included."""

LONGEST_TEXT = 4000
"""Characters of a function that can matter, with room to spare."""

ADAPTED = ("query_key_value", "attended", "up", "down")
"""Matrices of a layer that get an addition."""


@dataclass(frozen=True)
class RerankerConfig:
    """Shape of a reranker.

    Attributes:
        layers: Upper layers of the key net that get additions.
        rank: Rank of the additions.
        text_pieces: Word pieces that are read of a text, its first ones.
        question_pieces: Those that are read of a question.
    """

    layers: int = 3
    rank: int = 32
    text_pieces: int = 256
    question_pieces: int = 60

    def __post_init__(self) -> None:
        for name in ("layers", "rank", "text_pieces", "question_pieces"):
            if getattr(self, name) < 1:
                raise MismatchError(f"reranker: {name} {getattr(self, name)} is not positive")


class LowRank(nn.Module):
    """A matrix of low rank that is added to another one, nothing at first: B A, as in LoRA."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.a = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The sum."""
        return weight + self.b @ self.a


class RerankerNet(nn.Module):
    """A key net with additions, and what each piece of a question counts.

    Args:
        key_net: Copied; of the copy only the additions are trained.
        config: Shape of the additions.

    Raises:
        MismatchError: The key net has fewer layers.
    """

    def __init__(self, key_net: KeyNet, config: RerankerConfig) -> None:
        super().__init__()
        if config.layers > len(key_net.layers):
            raise MismatchError(f"reranker: {config.layers} layers of a key net of {len(key_net.layers)}")
        self.config = config
        self.key_net = copy.deepcopy(key_net).float().requires_grad_(False)
        for layer in self.key_net.layers[-config.layers :]:
            for name in ADAPTED:
                linear = getattr(layer, name)
                parametrize.register_parametrization(linear, "weight", LowRank(linear.weight, config.rank))
                linear.parametrizations.weight.original.requires_grad_(False)
        self.piece_weight = nn.Parameter(torch.zeros(key_net.config.width))

    def additions(self) -> dict[str, Tensor]:
        """All that is trained, by name, as in ``layers.3.up.a``."""
        found = {"piece_weight": cast(Tensor, self.piece_weight)}
        for number in range(len(self.key_net.layers) - self.config.layers, len(self.key_net.layers)):
            for name in ADAPTED:
                (added,) = getattr(self.key_net.layers[number], name).parametrizations.weight
                found |= {f"layers.{number}.{name}.a": added.a, f"layers.{number}.{name}.b": added.b}
        return found

    def merge(self) -> None:
        """Add the additions for good: it is the faster for it and cannot be trained any more."""
        for layer in self.key_net.layers[-self.config.layers :]:
            for name in ADAPTED:
                parametrize.remove_parametrizations(getattr(layer, name), "weight")
        self.requires_grad_(False)

    def forward(
        self, questions: Sequence[PieceRun], texts: Sequence[PieceRun], n_questions: int, n_texts: int
    ) -> Float[Tensor, "Q N"]:
        """How well each text fits each question: weighted means of cosines; 0 for what has no word.

        Args:
            questions: Runs, numbered below ``n_questions``.
            texts: Runs, numbered below ``n_texts``.
            n_questions: Q.
            n_texts: N.
        """
        scores = torch.zeros(n_questions, n_texts, device=self.piece_weight.device)
        if not questions:
            return scores
        hidden, numbers = self.key_net.hidden(questions)
        asked = hidden.float()
        weights = (asked @ self.piece_weight).float().masked_fill(numbers < 0, -torch.inf).softmax(dim=1)
        rows = torch.tensor([run.blocks[1] for run in questions], device=scores.device)
        for some in batches(texts, BATCH_PIECES):
            hidden, numbers = self.key_net.hidden(some)
            columns = torch.tensor([run.blocks[1] for run in some], device=scores.device)
            nearest = _nearest(asked, hidden.float(), numbers >= 0)
            scores = scores.index_put((rows[:, None], columns[None]), (nearest * weights[..., None]).sum(dim=1))
        return scores


def _nearest(
    asked: Float[Tensor, "Q T D"], texts: Float[Tensor, "N S D"], is_piece: Bool[Tensor, "N S"]
) -> Float[Tensor, "Q T N"]:
    """Cosine of each piece of questions and the piece of each text that is most like it."""
    with torch.autocast(asked.device.type, enabled=False):  # three digits are too few to rank by
        cosines = torch.einsum("qtd,nsd->qtns", F.normalize(asked, dim=2), F.normalize(texts, dim=2))
    return cosines.masked_fill(~is_piece, -1.0).amax(dim=3)


class Reranker:
    """A reranker at work.

    Args:
        net: The net; its additions are merged, and it is moved to ``device`` and to bfloat16 where that is fast there.
        tokenizer: The word pieces of the key encoder.
        device: Where to run.
    """

    def __init__(self, net: RerankerNet, tokenizer: Tokenizer, device: torch.device | str = "cpu") -> None:
        place = torch.device(device)
        net.merge()
        self._net = net.to(place).eval()
        self._net.key_net.to(choose_dtype("auto", place))
        self._pieces = WordPieces(tokenizer, net.key_net.config.positions)

    @torch.inference_mode()
    def __call__(self, question: str, functions: Mapping[str, str]) -> dict[str, float]:
        """How well each function fits a question, from -1 to 1; of a long one only the beginning is read.

        Args:
            question: What is asked.
            functions: The text of each by its name, ``path:Class.method``.

        Raises:
            UsageError: The question holds half of a surrogate pair, which is no character.
        """
        config = self._net.config
        questions = self._pieces.beginnings([question], config.question_pieces, asked=True)
        texts = [shown_function(name, text) for name, text in functions.items()]
        runs = self._pieces.beginnings(texts, config.text_pieces)
        fits = self._net(questions, runs, 1, len(texts))[0]
        return dict(zip(functions, fits.tolist(), strict=True))


def shown_function(name: str, text: str) -> str:
    """A function as the reranker reads it, below the name of its file and its own."""
    return f"{PurePath(name).name}\n{text[:LONGEST_TEXT]}"
