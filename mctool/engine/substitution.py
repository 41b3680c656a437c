"""Is a gist worth its slot? What the base model loses, and gists give back, when blocks of text leave the window.

A window of held-out text is a first sink token, N blocks and a raw tail. The blocks are shown in full, dropped, or
replaced by one vector each: the mean of their embeddings, their rarest token's embedding, their gist, or the gist of a
block of another document of the same domain (the control: what a wrong gist gives back is style, not content). Measured
is the NLL of tokens of the tail in two places: ``hard``, after one raw token, and ``gap``, after 96.

R = 1 - (NLL_x - NLL_full) / (NLL_drop - NLL_full); content = R(gist) - R(wrong); harm = NLL_gist - NLL_drop.

Shape letters: N replaced blocks, M replacing vectors, H horizon, D base width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD
from mctool.core.config import PositionMode
from mctool.core.errors import UsageError
from mctool.core.records import Record
from mctool.core.timeline import IntArray
from mctool.engine.nll import FloatArray, continuation_nll, mean_estimate, ratio_estimate
from mctool.focus.positions import plan_positions

if TYPE_CHECKING:
    from torch import Tensor

    from mctool.nets.base_model import BaseModel
    from mctool.nets.gistnet import GistNet

HORIZONS: Mapping[str, int] = {"narrative": 64, "expository": 64, "agent": 96, "code": 128}
"""Tokens over which NLL is measured, by domain (glossary, "Horizon")."""

GAP_TOKENS = 96
"""Raw tokens between the replaced blocks and the place ``gap``."""

Variant = Literal["full", "drop", "mean", "rarest", "gist", "wrong"]
PLACES = ("hard", "gap")
VARIANTS: tuple[Variant, ...] = ("full", "drop", "mean", "rarest", "gist", "wrong")


@dataclass(frozen=True)
class SubstitutionConfig:
    """What is measured.

    Attributes:
        n_blocks: How many blocks are replaced; all windows are measured for each.
        n_windows: Windows per domain and number of blocks.
        lods: Levels of the gists that replace; a level is left out where its nodes do not tile the blocks.
        horizons: H by domain.
        positions: How positions are chosen.
        seed: Seed of the draw of windows.
    """

    n_blocks: tuple[int, ...] = (16, 64, 256)
    n_windows: int = 8
    lods: tuple[int, ...] = (1, 2)
    horizons: Mapping[str, int] = field(default_factory=lambda: HORIZONS)
    positions: PositionMode = "squeeze"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.n_blocks or min(self.n_blocks) < 1:
            raise UsageError(f"numbers of replaced blocks {list(self.n_blocks)} are not all positive")
        if not self.lods or min(self.lods) < 1 or max(self.lods) > TOP_LOD:
            raise UsageError(f"levels {list(self.lods)} of gists are not all between 1 and {TOP_LOD}")
        if self.n_windows < 1:
            raise UsageError(f"{self.n_windows} windows are less than 1")
        if min(self.horizons.values()) < 1:
            raise UsageError(f"horizons {dict(self.horizons)} are not all positive")


@dataclass(frozen=True)
class SubstitutionRow(Record):
    """Mean NLL of one variant, and its R; ``r`` is None where the full text does not fit the model, or is the row."""

    domain: str
    lod: int
    n_blocks: int
    place: str
    horizon: int
    variant: str
    nll: float
    se: float | None
    n: int
    r: float | None
    r_se: float | None


@dataclass(frozen=True)
class ContentRow(Record):
    """R of the right gists less R of another document's, over all numbers of blocks whose full text fits."""

    domain: str
    lod: int
    place: str
    value: float
    se: float | None


@dataclass(frozen=True)
class HarmRow(Record):
    """NLL with gists less NLL with nothing in their place, nats per token over all domains and both places."""

    lod: int
    n_blocks: int
    value: float
    se: float | None


@dataclass(frozen=True)
class SubstitutionReport(Record):
    """Result of ``mctool evaluate substitution``."""

    rows: list[SubstitutionRow]
    content: list[ContentRow]
    harm: list[HarmRow]


@dataclass(frozen=True)
class _Window:
    """Text to measure on: the sink, N blocks and the tail of one document, and N blocks of another."""

    domain: str
    n_blocks: int
    horizon: int
    ids: IntArray
    wrong_ids: IntArray

    @property
    def tail(self) -> int:
        """Where the tail begins in ``ids``."""
        return 1 + self.n_blocks * BLOCK_TOKENS


Measured = dict[tuple[int, Variant], FloatArray]
"""NLL by (lod, variant), at the places of ``PLACES``, nats per token, shape [2]; no ``full`` where it does not fit."""


def measure_substitution(
    model: BaseModel,
    gistnet: GistNet,
    documents: Mapping[str, Sequence[IntArray]],
    config: SubstitutionConfig | None = None,
    report: Callable[[int, int], None] | None = None,
) -> SubstitutionReport:
    """Measure what replacing text by gists costs the base model.

    Args:
        model: The frozen reader.
        gistnet: Makes the gists, on the model's device.
        documents: Token ids of held-out documents by domain; at least two long ones in each. Shapes: [n].
        config: What is measured.
        report: Called with the windows done and the windows in all.

    Raises:
        UsageError: A domain has no horizon, or no two documents that are long enough.
    """
    config = config or SubstitutionConfig()
    windows = list(_draw_windows(documents, config))
    measured = []
    for done, window in enumerate(windows, 1):
        measured.append((window, _measure_window(model, gistnet, window, config)))
        if report:
            report(done, len(windows))
    keys = dict.fromkeys((window.domain, window.n_blocks) for window in windows)
    groups = {key: [(w, nll) for w, nll in measured if (w.domain, w.n_blocks) == key] for key in keys}
    rows = [row for group in groups.values() for lod in config.lods for row in _rows(group, lod)]
    content = [row for domain in documents for lod in config.lods for row in _content(measured, domain, lod)]
    harm = [row for n in config.n_blocks for lod in config.lods for row in _harm(measured, n, lod)]
    return SubstitutionReport(rows, content, harm)


def _draw_windows(documents: Mapping[str, Sequence[IntArray]], config: SubstitutionConfig) -> Iterator[_Window]:
    rng = np.random.default_rng(config.seed)
    for domain, texts in documents.items():
        if domain not in config.horizons:
            raise UsageError(f"domain {domain} has no horizon; known are {', '.join(config.horizons)}")
        horizon = config.horizons[domain]
        for n_blocks in config.n_blocks:
            n_replaced = n_blocks * BLOCK_TOKENS
            n_tokens = 1 + n_replaced + GAP_TOKENS + horizon
            long = [text for text in texts if len(text) >= n_tokens]
            if len(long) < 2:
                raise UsageError(
                    f"replacing {n_blocks} blocks needs two documents of {n_tokens} tokens, {domain} has {len(long)}",
                    "give more or longer documents, or replace fewer blocks",
                )
            for _ in range(config.n_windows):
                right, wrong = rng.choice(len(long), size=2, replace=False)
                yield _Window(
                    domain, n_blocks, horizon, _cut(long[right], n_tokens, rng), _cut(long[wrong], n_replaced, rng)
                )


def _cut(ids: IntArray, n_tokens: int, rng: np.random.Generator) -> IntArray:
    start = int(rng.integers(len(ids) - n_tokens + 1))
    return np.asarray(ids[start : start + n_tokens], dtype=np.int64)


@torch.inference_mode()
def _measure_window(model: BaseModel, gistnet: GistNet, window: _Window, config: SubstitutionConfig) -> Measured:
    embeddings, wrong = model.embed(window.ids), model.embed(window.wrong_ids)
    replaced = embeddings[1 : window.tail]

    def nll(vectors: Tensor) -> FloatArray:
        return _tail_nll(model, window, torch.cat([embeddings[:1], vectors, embeddings[window.tail :][:1]]), config)

    measured: Measured = {(0, "drop"): nll(replaced[:0])}
    if len(window.ids) <= model.trained_positions:
        measured[0, "full"] = nll(replaced)
    for lod in config.lods:
        span = BLOCK_TOKENS**lod
        if len(replaced) % span:
            continue
        nodes = replaced.view(-1, span, replaced.shape[1])
        # Byte-pair tokens are numbered by falling frequency: the largest id is the rarest token.
        rarest = torch.from_numpy(window.ids[1 : window.tail].reshape(-1, span).argmax(axis=1)).to(nodes.device)
        measured[lod, "mean"] = nll(nodes.mean(dim=1))
        measured[lod, "rarest"] = nll(nodes[torch.arange(len(nodes), device=nodes.device), rarest])
        measured[lod, "gist"] = nll(_gists(gistnet, replaced, lod))
        measured[lod, "wrong"] = nll(_gists(gistnet, wrong, lod))
    return measured


def _tail_nll(model: BaseModel, window: _Window, shown: Tensor, config: SubstitutionConfig) -> FloatArray:
    """NLL at both places when the window shows the sink, any number of equal spans, and the first token of the tail.

    Shapes: shown [1 + M + 1, D] -> [2].
    """
    n_spans = len(shown) - 2
    span = (window.tail - 1) // max(n_spans, 1)
    starts = np.concatenate([[0], 1 + span * np.arange(n_spans), [window.tail]])
    ends = starts + np.concatenate([[1], np.full(n_spans, span), [1]])
    targets = window.ids[window.tail + 1 :]
    positions, _ = plan_positions(
        config.positions, starts, ends, np.ones_like(starts), len(targets), model.trained_positions
    )
    nats = continuation_nll(model, shown, positions, targets)
    return np.array([nats[: window.horizon].mean(), nats[GAP_TOKENS - 1 :].mean()])


def _gists(gistnet: GistNet, embeddings: Tensor, lod: int) -> Tensor:
    """Gists of level ``lod`` of a run of tokens. Shapes: [M * 32^lod, D] -> [M, D]."""
    for level in range(1, lod + 1):
        embeddings = gistnet(embeddings.view(-1, BLOCK_TOKENS, embeddings.shape[1]), None, level).to(embeddings.dtype)
    return embeddings


def _key(lod: int, variant: Variant) -> tuple[int, Variant]:
    """Where ``Measured`` keeps a variant: full and drop are the same for every level."""
    return (0, variant) if variant in ("full", "drop") else (lod, variant)


def _stack(measured: Sequence[Measured], lod: int, variant: Variant, place: int) -> FloatArray:
    return np.array([nll[_key(lod, variant)][place] for nll in measured], dtype=np.float64)


def _rows(group: Sequence[tuple[_Window, Measured]], lod: int) -> Iterator[SubstitutionRow]:
    window, first = group[0]
    measured = [nll for _, nll in group]
    if (lod, "gist") not in first:
        return
    for place, place_name in enumerate(PLACES):
        for variant in VARIANTS:
            if _key(lod, variant) not in first:
                continue
            values = _stack(measured, lod, variant, place)
            nll, r = mean_estimate(values), None
            if (0, "full") in first and variant not in ("full", "drop"):
                drop, full = _stack(measured, lod, "drop", place), _stack(measured, lod, "full", place)
                r = ratio_estimate(drop - values, drop - full)
            yield SubstitutionRow(
                window.domain, lod, window.n_blocks, place_name, window.horizon, variant, nll.value, nll.se, nll.n,
                r.value if r else None, r.se if r else None,
            )  # fmt: skip


def _content(measured: Sequence[tuple[_Window, Measured]], domain: str, lod: int) -> Iterator[ContentRow]:
    known = [nll for w, nll in measured if w.domain == domain and (0, "full") in nll and (lod, "gist") in nll]
    for place, place_name in enumerate(PLACES):
        gain = _stack(known, lod, "wrong", place) - _stack(known, lod, "gist", place)
        loss = _stack(known, lod, "drop", place) - _stack(known, lod, "full", place)
        if (content := ratio_estimate(gain, loss)) is not None:
            yield ContentRow(domain, lod, place_name, content.value, content.se)


def _harm(measured: Sequence[tuple[_Window, Measured]], n_blocks: int, lod: int) -> Iterator[HarmRow]:
    differences = [
        float((nll[lod, "gist"] - nll[0, "drop"]).mean())
        for window, nll in measured
        if window.n_blocks == n_blocks and (lod, "gist") in nll
    ]
    if differences:
        harm = mean_estimate(np.array(differences))
        yield HarmRow(lod, n_blocks, harm.value, harm.se)
