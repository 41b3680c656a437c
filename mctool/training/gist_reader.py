"""The frozen base model as the judge of gists: how well it reads on after a window that shows gists for text.

A window is a sink token, N nodes and a raw tail. What is trained is that the tail is as likely, or the reader's states
in it as like, as if the nodes' whole text stood there. Gradients go through the reader into the gists alone.

Shape letters: B windows, N nodes of a window, S slots, T tokens of the tail, D base width, C candidate tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.timeline import IntArray
from mctool.focus.positions import plan_positions
from mctool.nets.checkpoint import read_tensors
from mctool.nets.hugging_face import make_model, read_config
from mctool.nets.model_store import ModelFiles

COMMON_TOKENS = 4096
"""Tokens of the vocabulary that are candidates in every batch, the most frequent ones."""
FUNCTION_TOKENS = 512
"""The most frequent tokens, which tell nothing of a text when they come again."""


@dataclass(frozen=True)
class GistWindows:
    """Windows of one shape.

    Attributes:
        ids: Sink, text of the nodes, tail, and one token more, to be told. Shape: [B, 1 + N * 32^lod + T + 1].
        lod: Level of the nodes.
        n_nodes: N.
    """

    ids: Tensor
    lod: int
    n_nodes: int

    @property
    def tail(self) -> int:
        """Where the tail begins in ``ids``."""
        return 1 + self.n_nodes * BLOCK_TOKENS**self.lod

    @property
    def text(self) -> Int[Tensor, "B _"]:
        """Tokens of the nodes."""
        return self.ids[:, 1 : self.tail]

    @property
    def targets(self) -> Int[Tensor, "B T"]:
        """The tokens to be told, from the second of the tail on."""
        return self.ids[:, self.tail + 1 :]

    def repeating(self, n_tokens: int) -> GistWindows:
        """Windows with the same nodes whose tail is the text of the last block again, and no more."""
        again = self.ids[:, self.tail - BLOCK_TOKENS : self.tail][:, :n_tokens]
        return GistWindows(torch.cat([self.ids[:, : self.tail], again], dim=1), self.lod, self.n_nodes)


class GistReader:
    """The base model, frozen, with its embedding table in float32.

    Args:
        files: The base model.
        device: Where it computes.
        dtype: Number type of its weights.
        layers: How many layers ``states`` goes through.
    """

    def __init__(self, files: ModelFiles, device: torch.device, dtype: torch.dtype, layers: int) -> None:
        config = read_config(files.directory)
        self._model = make_model(config, read_tensors(files, dtype), dtype).to(device).eval().requires_grad_(False)
        self.trained_positions = int(config.get_text_config().max_position_embeddings)
        self.device, self._dtype = device, dtype
        self.table = self._model.get_input_embeddings().weight.detach().float()
        self._head: Tensor = self._model.get_output_embeddings().weight
        decoder = self._model.get_decoder()
        self._blocks: nn.ModuleList = decoder.layers
        self._depth = min(layers, len(self._blocks))

    def embed(self, ids: Int[Tensor, "*any"]) -> Float[Tensor, "*any D"]:
        """Input embeddings of tokens."""
        return self.table[ids]

    def window(
        self, windows: GistWindows, nodes: Float[Tensor, "B N D"] | None
    ) -> tuple[Float[Tensor, "B S D"], Int[Tensor, " S"]]:
        """What a window shows, and the positions of its slots.

        Args:
            windows: The windows.
            nodes: What stands for the nodes; None for their text; none (N = 0) for nothing.
        """
        sink, tail = self.embed(windows.ids[:, :1]), self.embed(windows.ids[:, windows.tail : -1])
        if nodes is None:
            return self.embed(windows.ids[:, :-1]), torch.arange(windows.ids.shape[1] - 1)
        positions = _positions(windows, nodes.shape[1], self.trained_positions)
        return torch.cat([sink, nodes, tail], dim=1), torch.from_numpy(positions)

    def read(
        self, embeddings: Float[Tensor, "B S D"], positions: Int[Tensor, " S"], n_last: int
    ) -> Float[Tensor, "B T D"]:
        """Last states of the last slots, as the head reads them."""
        states = self._decode(embeddings, positions)
        return states[:, -n_last:]

    def states(
        self, embeddings: Float[Tensor, "B S D"], positions: Int[Tensor, " S"], n_last: int
    ) -> Float[Tensor, "B T D"]:
        """States of the last slots after the first layers, in float32."""
        found: list[Tensor] = []
        layer = self._blocks[self._depth - 1]

        def keep(_layer: object, _input: object, output: Tensor | tuple[Tensor, ...]) -> None:
            found.append(output if isinstance(output, Tensor) else output[0])
            raise _DeepEnoughError

        hook = layer.register_forward_hook(keep)
        try:
            self._decode(embeddings, positions)
        except _DeepEnoughError:
            pass
        finally:
            hook.remove()
        return found[0][:, -n_last:].float()

    def logits(self, states: Float[Tensor, "B T D"], candidates: Int[Tensor, " C"] | None) -> Float[Tensor, "B T C"]:
        """Log odds of candidate tokens, None for the whole vocabulary, in float32."""
        head = self._head if candidates is None else self._head[candidates]
        return (states @ head.T).float()

    def _decode(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        decoder = cast(Callable[..., object], self._model.get_decoder())
        rows = positions.to(self.device)[None].expand(len(embeddings), -1)
        # Without a mask, transformers takes a leap in positions for the beginning of another text.
        seen = torch.ones(rows.shape, dtype=torch.long, device=self.device)
        read = decoder(
            inputs_embeds=embeddings.to(self._dtype), position_ids=rows, attention_mask=seen, use_cache=False
        )
        return cast(Tensor, read.last_hidden_state)  # type: ignore[attr-defined]


class _DeepEnoughError(Exception):
    """The layers that matter have been gone through."""


def _positions(windows: GistWindows, n_nodes: int, trained_positions: int) -> IntArray:
    """Positions of sink, nodes and tail, as windows for measuring have them."""
    span = (windows.tail - 1) // max(n_nodes, 1)
    starts = np.concatenate([[0], 1 + span * np.arange(n_nodes), [windows.tail]])
    ends = starts + np.concatenate([[1], np.full(n_nodes, span), [1]])
    n_tail = windows.ids.shape[1] - 1 - windows.tail
    shown, first = plan_positions("squeeze", starts, ends, np.ones_like(starts), n_tail - 1, trained_positions)
    return np.concatenate([shown, first + np.arange(n_tail - 1)])


def continuation_loss(
    reader: GistReader,
    windows: GistWindows,
    nodes: Float[Tensor, "B N D"],
    common: Int[Tensor, " C"],
    *,
    taught: bool,
    recall_weight: float = 0.0,
) -> Float[Tensor, ""]:
    """Nats a token by which the reader misses the tail after gists.

    Args:
        reader: The base model.
        windows: The windows.
        nodes: What stands for their nodes.
        common: Candidates besides the tokens of the windows, the most frequent first.
        taught: Compare with what the reader expects after the whole text, rather than with the text.
        recall_weight: Weight of the mean over *recalled* tokens beside that over all: those that are not common, stand
            in the nodes' text, and come up in the tail for the first time. They tell content from style.
    """
    candidates, places = torch.unique(torch.cat([common, windows.ids.flatten()]), return_inverse=True)
    targets = places[len(common) :].view_as(windows.ids)[:, windows.tail + 1 :]
    n_last = targets.shape[1]
    student = reader.logits(reader.read(*reader.window(windows, nodes), n_last), candidates)
    if not taught:
        nats = F.cross_entropy(student.flatten(0, 1), targets.flatten(), reduction="none")
        recalled = _recalled(windows, common).flatten()
        return nats.mean() + recall_weight * (nats * recalled).sum() / recalled.sum().clamp_min(1)
    with torch.no_grad():
        teacher = reader.logits(reader.read(*reader.window(windows, None), n_last), candidates)
    expected = teacher.log_softmax(2)
    return F.kl_div(student.log_softmax(2), expected, reduction="none", log_target=True).sum(2).mean()


def _recalled(windows: GistWindows, common: Tensor) -> Tensor:
    """Which targets are recalled tokens. Shape: [B, T]."""
    targets = windows.targets
    tail = windows.ids[:, windows.tail :]
    stands = (targets[:, :, None] == windows.text[:, None, :]).any(2)
    before = torch.ones(targets.shape[1], tail.shape[1], dtype=torch.bool, device=targets.device).tril()
    came = ((targets[:, :, None] == tail[:, None, :]) & before).any(2)
    return stands & ~came & ~torch.isin(targets, common[:FUNCTION_TOKENS])


def states_loss(reader: GistReader, windows: GistWindows, nodes: Float[Tensor, "B N D"]) -> Float[Tensor, ""]:
    """Squared distance of the reader's first layers' states in the tail from those after the whole text.

    In units of the distance that dropping the text would make.

    Args:
        reader: The base model.
        windows: The windows.
        nodes: What stands for their nodes.
    """
    n_last = windows.targets.shape[1]
    with torch.no_grad():
        full = reader.states(*reader.window(windows, None), n_last)
        dropped = reader.states(*reader.window(windows, nodes[:, :0]), n_last)
    seen = reader.states(*reader.window(windows, nodes), n_last)
    return (seen - full).square().sum() / (dropped - full).square().sum()


@torch.inference_mode()
def tail_nll(reader: GistReader, windows: GistWindows, nodes: Float[Tensor, "B N D"] | None) -> Float[Tensor, " B"]:
    """Nats a token of the tail of each window, over the whole vocabulary.

    Args:
        reader: The base model.
        windows: The windows.
        nodes: As for :meth:`GistReader.window`.
    """
    targets = windows.targets
    states = reader.read(*reader.window(windows, nodes), targets.shape[1])
    nats = [
        F.cross_entropy(reader.logits(some[None], None)[0], mine) for some, mine in zip(states, targets, strict=True)
    ]
    return torch.stack(nats)
