"""What a training run shows: a line now and then, and a table of the measurements before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

SECONDS_BETWEEN_LINES = 30.0


class MetricsLog:
    """Prints the metrics of some steps, and of every measurement.

    Args:
        report: Takes a line.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._last = 0.0

    def take(self, metrics: Mapping[str, Any]) -> None:
        """Print a record of a step or a measurement, unless one was printed a moment ago."""
        head = f"step {metrics['step']:,} · {metrics['seconds'] / 60:.1f} min"
        if "dev" in metrics:
            figures = "  ".join(f"{name} {value:.3f}" for name, value in metrics["dev"].items())
            self._report(f"{head} · {figures}")
        elif time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            told = ("step", "seconds", "questions", "tokens", "rate")
            figures = "  ".join(
                f"{name} {value:.3f}"
                for name, value in metrics.items()
                if name not in told and isinstance(value, float)
            )
            self._report(f"{head} · {figures} · rate {metrics['rate']:.1e}")


def training_table(before: Mapping[str, float], after: Mapping[str, float]) -> Table:
    """Measurements before and after, a line for each."""
    table = Table("measure", "base model", "with the adapter")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, value in after.items():
        table.add_row(name.replace("_", " "), f"{before[name]:.3f}" if name in before else "", f"{value:.3f}")
    return table


_CURVE = ("r_lod1", "content_lod1", "r_lod2", "content_lod2")


def gist_curve_table(curve: Sequence[Mapping[str, float]]) -> Table:
    """What gists were worth after so many tokens of training, a line for each measurement."""
    table = Table("tokens", "R LOD1", "content LOD1", "R LOD2", "content LOD2", "rebuilt")
    for column in table.columns:
        column.justify = "right"
    for point in curve:
        cells = [f"{point[name]:.3f} ±{point[f'{name}_se']:.3f}" if name in point else "" for name in _CURVE]
        table.add_row(f"{point['tokens']:,.0f}", *cells, f"{point['rebuilt']:.3f}")
    return table
