"""Several continuations of one text as a tree of tokens, so that what they begin with in common is read once.

Source of reading trees in one pass: Miao et al. 2024, SpecInfer, tree attention.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class TokenTree:
    """Tokens, each after one of those before it or after the text that all follow. Shape letter: n tokens."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._parents: list[int] = []
        self._places: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def add(self, ids: Sequence[int]) -> list[int]:
        """Add a continuation; returns the place of each of its tokens in :attr:`ids`."""
        place, path = -1, []
        for token in ids:
            step = (place, token)
            if step not in self._places:
                self._places[step] = len(self._tokens)
                self._tokens.append(token)
                self._parents.append(place)
            place = self._places[step]
            path.append(place)
        return path

    @property
    def ids(self) -> Int[Tensor, " n"]:
        """The tokens."""
        return torch.tensor(self._tokens, dtype=torch.long)

    @property
    def sees(self) -> Bool[Tensor, "n n"]:
        """Which tokens each one follows, itself among them."""
        sees = torch.eye(len(self), dtype=torch.bool)
        for place, parent in enumerate(self._parents):
            if parent >= 0:
                sees[place] |= sees[parent]
        return sees
