"""Who is told what while a question is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mctool.app.trace import Trace
from mctool.core.records import FocusEntry, FocusIteration

OnRefocus = Callable[[int, list[FocusEntry], FocusIteration | None], None]
"""Told of the first cover (iteration 0, no record) and of the entries after each refocus."""


@dataclass(frozen=True)
class Stage:
    """A part of answering a question that has just ended.

    Attributes:
        name: ``load``, ``words``, ``lens``, ``rerank``, ``refocus``, ``prefill`` or ``decode``.
        started: ``time.perf_counter()`` when it began.
        seconds: How long it took.
        facts: What there is to say about it, by name.
    """

    name: str
    started: float
    seconds: float
    facts: Mapping[str, str | int | float]


@dataclass(frozen=True)
class Listeners:
    """Who is told what while a question is answered.

    Attributes:
        on_text: Told of each piece of the answer as it comes.
        on_refocus: Told of the first cover and of each refocus.
        trace: Written along with the focus and the answer.
        on_stage: Told of each part of the work when it has ended.
    """

    on_text: Callable[[str], None] | None = None
    on_refocus: OnRefocus | None = None
    trace: Trace | None = None
    on_stage: Callable[[Stage], None] | None = None

    @property
    def want_entries(self) -> bool:
        """Whether anybody listens to refocusing, for whom the entries have to be described."""
        return self.on_refocus is not None or self.trace is not None
