"""What each part of LensNet is for: nets that lack one, trained alike, beside lenses that need no training.

The conditioning that there is: a few learnt slots that attend to all entries of a question. LensNet sees no gists of
the end of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from mctool.app.lens_data import LensData
from mctool.core.config import FocusConfig
from mctool.core.records import Record
from mctool.focus.entry_features import NAMES
from mctool.focus.lens import FloatArray
from mctool.focus.scored_lens import SOFTNESS
from mctool.nets.lens_net import LensNet
from mctool.training.lens_gain import rank_correlation, signs_told
from mctool.training.lens_loop import RECALL_TOKENS, LensTraining, judged, train_lens_net
from mctool.training.lens_rows import LensRow, recall

AROUND = tuple(
    name
    for name in NAMES
    if any(part in name for part in ("before", "after", "within", "of the document"))
    if name not in ("BM25 within 0", "coverage within 0", "length of the document", "first of the document")
)
"""Features that tell of the blocks around an entry, or of its document as a whole."""

COLUMNS = {"words alone": "words", "keys alone": "keys", "words and keys in a fixed mix": "hybrid"}
"""Lenses that are a feature."""

FULL = "LensNet: gold spans and labels"

Judged = list[tuple[FloatArray, FloatArray | None]]
"""Scores and, where they are told, gains of the candidates of each row."""


@dataclass(frozen=True)
class AblationRow(Record):
    """One lens, and its figures by name; means over seeds where it was trained.

    ``recall@128 prose`` is the mean over sets; ``spearman`` is the rank correlation of scores with measured gains;
    ``negative told`` and ``positive told`` are shares of the entries with such gains of which the net tells so.
    ``shown`` and ``tokens`` are the answers shown after narrowing and the raw tokens left, by share of the best
    block's utility, as ``ask`` narrows, or by told gain.
    """

    name: str
    seeds: int
    figures: dict[str, float]


def compare(
    training: LensTraining, data: LensData, seeds: int, report: Callable[[dict[str, Any]], None]
) -> list[AblationRow]:
    """A row for each lens, the whole of LensNet last.

    Args:
        training: How nets are trained.
        data: With labels.
        seeds: Nets of each kind.
        report: Takes the metrics of each step.
    """
    rows = [AblationRow(name, 1, _figures(data, _by_feature(column))) for name, column in COLUMNS.items()]
    kinds = {
        "LensNet without cross-attention": (replace(training.net, cross_attention=False), data),
        "LensNet without features of what is around": (training.net, _without(data, AROUND)),
        "LensNet: gold spans alone": (training.net, replace(data, labelled=[])),
        FULL: (training.net, data),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for seed in range(training.seed, training.seed + seeds):
        for name, (shape, mine) in kinds.items():
            report({"net": name, "seed": seed})
            net = train_lens_net(replace(training, net=shape, seed=seed), mine.rows, report, mine.labelled)
            found[name].append(
                _figures(mine, partial(judged, net)) | _narrowed(mine.dev_rows, judged(net, mine.dev_rows))
            )
            report({"net": name, "seed": seed, "dev": found[name][-1]})
    for name, of_seeds in found.items():
        means = {figure: float(np.mean([figures[figure] for figures in of_seeds])) for figure in of_seeds[0]}
        rows.append(AblationRow(name, seeds, means))
    return rows


def gain_figures(net: LensNet, rows: Sequence[LensRow]) -> dict[str, float]:
    """How well a net knows the gains of rows with labels; nothing without rows."""
    return _gain_figures(rows, judged(net, rows)) if rows else {}


def _figures(data: LensData, judge: Callable[[Sequence[LensRow]], Judged]) -> dict[str, float]:
    scores = judge(data.dev_rows)
    figures = _gain_figures(data.dev_labelled, judge(data.dev_labelled))
    for budget in RECALL_TOKENS:
        by_set = recall(data.dev_rows, [score for score, _ in scores], budget)
        for kind, names in _kinds(data.dev_rows).items():
            figures[f"recall@{budget} {kind}"] = float(np.mean([by_set[name] for name in names]))
    return figures


def _gain_figures(rows: Sequence[LensRow], found: Judged) -> dict[str, float]:
    figures: dict[str, float] = {}
    for kind, names in _kinds(rows).items():
        mine = [place for place, row in enumerate(rows) if row.set in names]
        figures[f"spearman {kind}"] = rank_correlation([rows[i] for i in mine], [found[i][0] for i in mine])
    gains = [gain for _, gain in found if gain is not None]
    if gains:
        figures["negative told"], figures["positive told"] = signs_told(rows, gains)
    return {name: value for name, value in figures.items() if not np.isnan(value)}  # what there are no labels for


def _narrowed(rows: Sequence[LensRow], found: Judged) -> dict[str, float]:
    """What a net leaves when it narrows, by either rule."""
    share = FocusConfig().narrow_share
    rules = {"by utility": [np.exp((score - score.max()) / SOFTNESS) > share for score, _ in found]}
    if all(gain is not None for _, gain in found):
        rules["by gain"] = [gain > 0 for _, gain in found if gain is not None]
    figures: dict[str, float] = {}
    for rule, kept in rules.items():
        left = [_left(row, score, keep) for row, (score, _), keep in zip(rows, found, kept, strict=True)]
        for kind, names in _kinds(rows).items():
            mine = [one for row, one in zip(rows, left, strict=True) if row.set in names]
            shown, tokens = np.mean(mine, axis=0).tolist()
            figures |= {f"shown {kind} {rule}": shown, f"tokens {kind} {rule}": tokens}
    return figures


def _left(row: LensRow, score: FloatArray, keep: npt.NDArray[np.bool_]) -> tuple[bool, int]:
    """Whether the answer is among the candidates to keep, the best of which fit the window, and their tokens."""
    order = np.argsort(-score, kind="stable")
    order = order[keep[order]]
    order = order[np.cumsum(row.tokens[order]) <= FocusConfig().narrow_tokens]
    shown = int(row.answer[order].sum())
    return (shown > 0 if row.any_block else shown == row.n_answer), int(row.tokens[order].sum())


def _kinds(rows: Sequence[LensRow]) -> dict[str, set[str]]:
    """The sets of prose and those of code."""
    code = {row.set for row in rows if row.any_block}
    kinds = {"prose": {row.set for row in rows} - code, "code": code}
    return {kind: names for kind, names in kinds.items() if names}


def _by_feature(name: str) -> Callable[[Sequence[LensRow]], Judged]:
    column = NAMES.index(name)
    return lambda rows: [(row.features[:, column].astype(np.float64), None) for row in rows]


def _without(data: LensData, names: Sequence[str]) -> LensData:
    """The same rows, with 0 for some features."""
    shown = ~np.isin(NAMES, names)

    def hide(rows: Sequence[LensRow]) -> list[LensRow]:
        return [replace(row, features=row.features * shown) for row in rows]

    return LensData(hide(data.rows), hide(data.dev_rows), hide(data.labelled), hide(data.dev_labelled))
