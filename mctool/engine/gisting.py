"""Building gists in bulk: arrays from a tree in, arrays for a tree out.

Shape letters: B blocks, K tokens per block (32), D base width, N gists of one level. This is the torch side of the
tree's ``GistBuilder`` protocol; it does not know where the arrays come from or go to.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.errors import MismatchError, ResourceError
from mctool.nets.gistnet import GistNet

Gists = npt.NDArray[np.float16]

CPU_BATCH_BLOCKS = 128
"""Keeps the activations of a batch within the cache of a core; larger batches are slower."""

ACCELERATOR_BATCH_BLOCKS = 4096


class TorchGistBuilder:
    """Makes gists with a GistNet on the device of the net.

    Args:
        net: The net; evaluation mode.
        table: Embeddings of the base model, moved to the net's device in their own dtype. Shape: [V, D].
        batch_blocks: Blocks per forward pass; None for a size that suits the device.

    Raises:
        MismatchError: The table's width is not the net's.
    """

    def __init__(self, net: GistNet, table: Tensor, batch_blocks: int | None = None) -> None:
        if table.shape[1] != net.base_width:
            raise MismatchError(f"the embeddings have width {table.shape[1]}, GistNet was made for {net.base_width}")
        self._net = net
        self._device = net.target_norm.device
        self._table = table.to(self._device)
        self._batch_blocks = batch_blocks or (
            CPU_BATCH_BLOCKS if self._device.type == "cpu" else ACCELERATOR_BATCH_BLOCKS
        )

    def leaves(self, ids: npt.NDArray[np.uint32], n_tokens: npt.NDArray[np.int64]) -> Gists:
        """Gists of blocks of tokens (LOD1).

        Args:
            ids: Token ids; what stands after the last token of a short block does not matter. Shape: [B, K].
            n_tokens: Tokens of each block, 1 to K. Shape: [B].

        Returns:
            Shape: [B, D].

        Raises:
            MismatchError: A token id lies outside the embedding table.
            ResourceError: One block does not fit into the memory of the device.
        """
        live = np.arange(BLOCK_TOKENS) < np.asarray(n_tokens)[:, None]
        known = np.where(live, ids, 0).astype(np.int64)
        if known.size and known.max() >= len(self._table):
            raise MismatchError(
                f"token id {known.max()} lies outside the {len(self._table)} embeddings of the model",
                "use the model that the tree was made with",
            )

        def embed(first: int, end: int) -> Tensor:
            return torch.nn.functional.embedding(torch.from_numpy(known[first:end]).to(self._device), self._table)

        return self._in_batches(embed, live, level=1)

    def parents(self, gists: Gists, live: npt.NDArray[np.bool_], lod: int) -> Gists:
        """Gists of gists (LOD2 and up); the last parent may have fewer than K children.

        Args:
            gists: Children in document order, one level below ``lod``. Shape: [N, D].
            live: Children that are not retired. Shape: [N].
            lod: Level of the result, from 2.

        Returns:
            Zeros for parents of which nothing is live. Shape: [ceil(N / K), D].

        Raises:
            ResourceError: One parent does not fit into the memory of the device.
        """
        n_parents = -(-len(gists) // BLOCK_TOKENS)
        padded = np.zeros((n_parents * BLOCK_TOKENS, self._net.base_width), np.float16)
        padded[: len(gists)] = gists
        children = padded.reshape(n_parents, BLOCK_TOKENS, self._net.base_width)
        mask = np.zeros(n_parents * BLOCK_TOKENS, np.bool_)
        mask[: len(live)] = live

        def embed(first: int, end: int) -> Tensor:
            return torch.from_numpy(children[first:end]).to(self._device)

        return self._in_batches(embed, mask.reshape(n_parents, BLOCK_TOKENS), level=lod)

    @torch.inference_mode()
    def _in_batches(self, embed: Callable[[int, int], Tensor], live: npt.NDArray[np.bool_], level: int) -> Gists:
        gists = np.zeros((len(live), self._net.base_width), np.float16)
        first = 0
        while first < len(live):
            end = min(first + self._batch_blocks, len(live))
            try:
                gists[first:end] = self._one_batch(embed(first, end), live[first:end], level)
                first = end
            except torch.OutOfMemoryError as error:
                if end - first == 1:
                    raise ResourceError(
                        f"one block does not fit into the memory of {self._device}", "use --device cpu"
                    ) from error
                self._batch_blocks = (end - first) // 2
        return gists

    def _one_batch(self, children: Tensor, live: npt.NDArray[np.bool_], level: int) -> Gists:
        mask = None if live.all() else torch.from_numpy(live).to(self._device)
        gists = self._net(children, mask, level).float()
        if not bool((gists.abs() <= torch.finfo(torch.float16).max).all()):
            raise MismatchError(
                f"GistNet made LOD{level} gists outside the range of float16",
                "train it again, or leave its weights out",
            )
        half: Gists = gists.half().cpu().numpy()
        return half
