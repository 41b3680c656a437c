"""The nets of ingests: found and loaded with the first use, and kept for the ingests that follow in this process."""

from __future__ import annotations

import time
from functools import cached_property

from mctool.app.key_nets import KeyNets
from mctool.app.text_nets import Report, TextNets
from mctool.nets.model_store import resolve_model


class IngestNets:
    """What an ingest needs of a model and of the lens.

    Attributes:
        resolve_seconds: Time that finding (and perhaps downloading) the model took so far.
    """

    def __init__(self, model: str, device: str, report: Report | None = None) -> None:
        """Take the name of the model, where its nets are to run, and who is told when something slow begins."""
        self.resolve_seconds = 0.0
        self._model, self._device = model, device
        self._report = report or (lambda _line: None)

    @cached_property
    def text(self) -> TextNets:
        """Tokenizer and GistNet.

        Raises:
            MissingBackendError: The model is not here and cannot be had.
            MismatchError: Its tokenizer is missing or broken.
        """
        start = time.perf_counter()
        files = resolve_model(self._model, report=self._report)
        self.resolve_seconds += time.perf_counter() - start
        return TextNets(files, self._device, self._report)

    @cached_property
    def keys(self) -> KeyNets | None:
        """The key encoder; None without one. Raises as :meth:`KeyNets.find` does."""
        return KeyNets.find(self._device)
