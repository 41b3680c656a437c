"""Traces: one JSON object a line for the question, every refocus, and the answer. TRACE.md tells their fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TextIO

from mctool.core.records import AskReport, FocusEntry, FocusIteration
from mctool.focus import Plan

TRACE_VERSION = 1


class Trace:
    """Writes the events of one or more questions to a text stream."""

    def __init__(self, stream: TextIO) -> None:
        """Write to ``stream``, which stays the caller's to close."""
        self._stream = stream

    def question(self, question: str, w_max: int, tree: str, tokens: int, entries: Sequence[FocusEntry]) -> None:
        """A question begins, with the cover that refocusing starts from."""
        self._write(
            event="question", version=TRACE_VERSION, question=question, w_max=w_max, tree=tree, tokens=tokens,
            entries=[entry.to_json() for entry in entries],
        )  # fmt: skip

    def refocus(self, iteration: int, plan: Plan, record: FocusIteration, entries: Sequence[FocusEntry]) -> None:
        """One refocus: what was done, and the entries after it."""
        self._write(
            event="refocus", iteration=iteration, expand=plan.expand, collapse=plan.collapse, **record.to_json(),
            entries=[entry.to_json() for entry in entries],
        )  # fmt: skip

    def answer(self, report: AskReport) -> None:
        """The answer, as ``--json`` prints it, without the entries that the last refocus has."""
        record = report.to_json()
        del record["focus"]
        self._write(event="answer", **record)

    def _write(self, **event: Any) -> None:
        self._stream.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._stream.flush()
