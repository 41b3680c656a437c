"""A base model that is watched while it answers.

What reads and answers is the code that ``ask`` runs; the model notes how likely the right answer was after the first
window that it read for a question, and reads a beginning that many windows share only once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy.typing as npt
from torch import Tensor

from mctool.app.answer_nets import AnswerNets, Reading
from mctool.app.code_places import CodePlaces
from mctool.core.evidence import Evidence
from mctool.engine.answer import AnswerConfig
from mctool.engine.assemble import Window
from mctool.nets.base_model import BaseModel, Decoding


@dataclass(frozen=True)
class Judged:
    """By what it was decided whether a window holds an answer.

    Attributes:
        reading: Kind of reading, see :func:`mctool.app.answer_nets.reading_kind`.
        silence: Log odds that the adapter would say nothing; None without one.
        evidence: What the lens found; None where no lens has chosen the text.
    """

    reading: str
    silence: float | None
    evidence: Evidence | None


@dataclass
class Notes:
    """What was noted while one question was answered.

    Attributes:
        gold: Token ids of the right answer; none when there is none.
        nll: Nats per token of the right answer after the first window; None without one, or before a window was read.
        seconds: What is to be added to the time of reading: less for noting, more for a beginning that was read before.
        judged: How it was decided whether there is an answer; None before a window was read.
    """

    gold: list[int]
    nll: float | None = None
    seconds: float = 0.0
    judged: Judged | None = None


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

    def answer(
        self,
        window: Window,
        kind: str,
        config: AnswerConfig,
        evidence: Evidence | None = None,
        on_text: Callable[[str], None] | None = None,
        refocus: Callable[[str], Window | None] | None = None,
        places: CodePlaces | None = None,
    ) -> Reading:
        """See :meth:`AnswerNets.answer`."""
        reading = super().answer(window, kind, config, evidence, on_text, refocus, places)
        if self.model.notes is not None:
            self.model.notes.judged = Judged(kind, reading.silence, evidence)
        return reading

    def _model_class(self) -> type[MeasuredModel]:
        return MeasuredModel
