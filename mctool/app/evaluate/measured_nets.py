"""A base model that is watched while it answers.

What reads and answers is the code that ``ask`` runs; the model notes how likely the right answer was after the first
window that it read for a question, and reads a beginning that many windows share only once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy.typing as npt
from torch import Tensor

from mctool.app.answer_nets import AnswerNets
from mctool.nets.base_model import BaseModel, Decoding


@dataclass
class Notes:
    """What was noted while one question was answered.

    Attributes:
        gold: Token ids of the right answer; none when there is none.
        nll: Nats per token of the right answer after the first window; None without one, or before a window was read.
        seconds: What is to be added to the time of reading: less for noting, more for a beginning that was read before.
    """

    gold: list[int]
    nll: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class _Beginning:
    """The first slots of all windows, read; and the time that it took."""

    n_slots: int
    decoding: Decoding
    seconds: float


class MeasuredModel(BaseModel):
    """A base model that takes notes.

    Attributes:
        notes: Those of the question that is being answered; to be replaced before each.
    """

    notes: Notes | None = None
    _beginning: _Beginning | None = None

    @contextmanager
    def shared(self, ids: list[int]) -> Iterator[None]:
        """Within, all windows begin with these tokens, without gaps in their positions: they are read once."""
        started = time.perf_counter()
        decoding = super().prefill(self.embed(ids))
        self._beginning = _Beginning(len(ids), decoding, time.perf_counter() - started)
        try:
            yield
        finally:
            self._beginning = None

    def prefill(self, embeddings: Tensor, positions: Tensor | npt.ArrayLike | None = None) -> Decoding:
        """See :meth:`BaseModel.prefill`."""
        notes = self.notes or Notes([])
        if self._beginning is None:
            decoding = super().prefill(embeddings, positions)
        else:
            forking = time.perf_counter()
            decoding = self._beginning.decoding.fork()
            notes.seconds += self._beginning.seconds - (time.perf_counter() - forking)
            decoding.read(embeddings[self._beginning.n_slots :])
        if notes.gold and notes.nll is None:
            noting = time.perf_counter()
            notes.nll = -float(decoding.log_likelihood(notes.gold).mean())
            notes.seconds -= time.perf_counter() - noting
        return decoding


class MeasuredNets(AnswerNets):
    """The nets of ``ask`` with a model that takes notes."""

    model: MeasuredModel

    def _model_class(self) -> type[MeasuredModel]:
        return MeasuredModel
