"""How good gists are while they are trained: R, content, and the share of tokens rebuilt, on texts kept apart.

A quick form of :mod:`mctool.engine.substitution`: one place (after one raw token), one number of nodes a level, windows
in batches. The windows are the same at every measurement, so that differences are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mctool.core.blocks import BLOCK_TOKENS
from mctool.engine.nll import FloatArray, ratio_estimate
from mctool.nets.degistnet import DeGistNet
from mctool.nets.gistnet import GistNet
from mctool.training.gist_loss import Vocabulary, rebuilt
from mctool.training.gist_reader import GistReader, GistWindows, tail_nll
from mctool.training.gist_texts import GistTexts

GistMetrics = dict[str, Any]

N_WINDOWS = {1: 32, 2: 8}
"""Windows of each domain, by level."""
N_NODES = {1: 8, 2: 1}
TAIL = 64
BATCH = 8
REBUILT_BLOCKS = 256


@dataclass(frozen=True)
class _Group:
    """Windows of one domain and level, with what they cost in full and with nothing in place of the nodes."""

    lod: int
    windows: list[GistWindows]
    full: FloatArray
    drop: FloatArray


class GistMeasure:
    """Measures GistNets on the same windows.

    Args:
        reader: The base model.
        texts: The texts kept apart.
        vocabulary: The tokens.
        seed: Decides which windows.
    """

    def __init__(self, reader: GistReader, texts: GistTexts, vocabulary: Vocabulary, seed: int) -> None:
        self._reader, self._texts, self._vocabulary, self._seed = reader, texts, vocabulary, seed
        self._groups: list[_Group] | None = None

    def take(self, net: GistNet, degist: DeGistNet) -> GistMetrics:
        """R and content of each level, with standard errors, over all domains; the share of tokens rebuilt."""
        if self._groups is None:
            self._groups = self._draw()
        metrics: GistMetrics = {}
        for lod in N_NODES:
            groups = [group for group in self._groups if group.lod == lod]
            if not groups:
                continue
            gist = np.concatenate([self._nll(group, net, wrong=False) for group in groups])
            wrong = np.concatenate([self._nll(group, net, wrong=True) for group in groups])
            full = np.concatenate([group.full for group in groups])
            drop = np.concatenate([group.drop for group in groups])
            for name, gain in ((f"r_lod{lod}", drop - gist), (f"content_lod{lod}", wrong - gist)):
                if (estimate := ratio_estimate(gain, drop - full)) is not None:
                    metrics[name], metrics[f"{name}_se"] = round(estimate.value, 4), round(estimate.se or 0.0, 4)
        blocks = self._blocks()
        with torch.inference_mode():
            gists = net(self._reader.embed(blocks), None, 1)
        metrics["rebuilt"] = round(rebuilt(degist, gists, blocks, self._vocabulary), 4)
        metrics["gist_norm"] = round(float(gists.norm(dim=1).mean() / net.target_norm), 3)
        return metrics

    def _draw(self) -> list[_Group]:
        rng = np.random.default_rng([self._seed, 1])
        groups = []
        for domain in self._texts.domains:
            for lod, n_nodes in N_NODES.items():
                n_tokens = 1 + n_nodes * BLOCK_TOKENS**lod + TAIL + 1
                if max(len(ids) for ids in self._texts.documents(domain)) < n_tokens:
                    continue
                ids = torch.from_numpy(self._texts.draw(N_WINDOWS[lod], n_tokens, rng, domain)).to(self._reader.device)
                windows = [GistWindows(some, lod, n_nodes) for some in ids.split(BATCH)]
                full = [tail_nll(self._reader, each, None) for each in windows]
                drop = [tail_nll(self._reader, each, self._nothing(each)) for each in windows]
                groups.append(_Group(lod, windows, _numbers(full), _numbers(drop)))
        return groups

    def _nothing(self, windows: GistWindows) -> Tensor:
        return self._reader.table.new_zeros(len(windows.ids), 0, self._reader.table.shape[1])

    def _nll(self, group: _Group, net: GistNet, *, wrong: bool) -> FloatArray:
        """NLL of windows with their gists, or with those of the next window of the group."""
        with torch.inference_mode():
            nodes = torch.cat([self._nodes(each, net) for each in group.windows])
            nodes = nodes.roll(1, dims=0) if wrong else nodes
            parts = nodes.split(BATCH)
            return _numbers([tail_nll(self._reader, e, n) for e, n in zip(group.windows, parts, strict=True)])

    def _nodes(self, windows: GistWindows, net: GistNet) -> Tensor:
        level = self._reader.embed(windows.text)
        for lod in range(1, windows.lod + 1):
            level = net(level.view(-1, BLOCK_TOKENS, level.shape[-1]), None, lod).view(
                len(windows.ids), -1, net.base_width
            )
        return level

    def _blocks(self) -> Tensor:
        rng = np.random.default_rng([self._seed, 2])
        return torch.from_numpy(self._texts.draw(REBUILT_BLOCKS, BLOCK_TOKENS, rng)).to(self._reader.device)


def _numbers(nats: list[Tensor]) -> FloatArray:
    return torch.cat(nats).double().cpu().numpy()
