"""The heat maps of ``evaluate needle`` as a picture, with matplotlib; see :mod:`mctool.render.plots`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mctool.render.plots import panels_of, save_figure
from mctool.render.safe_text import safe_line

Row = Mapping[str, Any]
DARK_BELOW, DARK_ABOVE = 0.2, 0.8
"""Shares whose cells are so dark that what is written in them has to be white."""


def plot_needle(rows: Iterable[Row], haystack: str, file: Path) -> None:
    """Depth against length, a panel a kind; arguments as for :func:`mctool.render.needle.needle_maps`.

    The colour is the share that was answered right, from red over pale yellow to green, and it is written in the cell;
    below it, where it differs, the share whose sentence was opened.

    Raises:
        ResourceError: The file cannot be written.
    """
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row)
    lengths = sorted({row["tokens"] for of_kind in kinds.values() for row in of_kind})
    depths = sorted({row["depth"] for of_kind in kinds.values() for row in of_kind})
    figure, panels = panels_of(len(kinds), 1.1 + 0.46 * len(depths))
    for panel, (kind, of_kind) in zip(panels, kinds.items(), strict=True):
        shares = np.full((len(depths), len(lengths)), np.nan)
        for row in of_kind:
            at = depths.index(row["depth"]), lengths.index(row["tokens"])
            correct, opened = row["correct"], row["opened"]
            shares[at] = correct
            words = f"{100 * correct:.0f} %" + ("" if opened == correct else f"\nopened {100 * opened:.0f} %")
            colour = "white" if not DARK_BELOW <= correct <= DARK_ABOVE else "black"
            panel.text(at[1], at[0], words, ha="center", va="center", fontsize=8, color=colour)
        panel.imshow(shares, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
        panel.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths])
        panel.set_yticks(range(len(depths)), [f"{depth:g} %" for depth in depths])
        panel.grid(visible=False)
        panel.set_xlabel("tokens of text")
        panel.set_ylabel("depth of the needle")
        mean = np.average([row["correct"] for row in of_kind], weights=[row["n"] for row in of_kind])
        panel.set_title(f"{safe_line(kind)}: {100 * mean:.0f} % answered right", fontsize=10)
    figure.suptitle(f"Needles in {safe_line(haystack)}", fontsize=11)
    save_figure(figure, file)
