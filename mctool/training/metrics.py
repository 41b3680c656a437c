"""What a training run says of itself: JSON Lines, and TensorBoard where it is installed (``mctool[train]``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"


class MetricsWriter:
    """Appends records to ``metrics.jsonl`` in a directory and, as curves over steps, to TensorBoard files beside it.

    Args:
        directory: Exists.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / METRICS_FILE
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:  # an extra
            self._board = None
        else:
            self._board = SummaryWriter(str(directory), max_queue=1)

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a record: a step, and numbers or groups of numbers by name."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._board is None:
            return
        for name, value in record.items():
            if name == "step" or isinstance(value, str):
                continue
            curves = (
                {f"{name}/{part}": number for part, number in value.items()}
                if isinstance(value, dict)
                else {name: value}
            )
            for curve, number in curves.items():
                self._board.add_scalar(curve, number, record["step"])
        self._board.flush()  # or its thread may write after the run has ended
