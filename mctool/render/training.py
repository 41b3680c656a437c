"""What a training run shows: a line now and then, and a table of the measurements before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
        """Print a record as :class:`LoraTrainer` writes it, unless one was printed a moment ago."""
        head = f"step {metrics['step']:,} · {metrics['seconds'] / 60:.1f} min"
        if "dev" in metrics:
            figures = "  ".join(f"{name} {value:.3f}" for name, value in metrics["dev"].items())
            self._report(f"{head} · {figures}")
        elif time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._report(f"{head} · loss {metrics['loss']:.3f} · rate {metrics['rate']:.1e}")


def training_table(before: Mapping[str, float], after: Mapping[str, float]) -> Table:
    """Measurements before and after, a line for each."""
    table = Table("measure", "base model", "with the adapter")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, value in after.items():
        table.add_row(name.replace("_", " "), f"{before[name]:.3f}" if name in before else "", f"{value:.3f}")
    return table
