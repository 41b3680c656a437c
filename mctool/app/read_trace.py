"""Reading traces back: what :mod:`mctool.app.trace` wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

from mctool.app.trace import TRACE_VERSION
from mctool.core.blocks import TOP_LOD
from mctool.core.errors import MismatchError, SourceError
from mctool.core.inspection import TracedAnswer, TracedQuestion, TraceStep
from mctool.core.records import Citation, FocusEntry, FocusIteration

Event = dict[str, Any]

_FIX = "record it again with `mctool ask QUESTION --trace FILE`"


def read_trace(lines: Iterable[str], name: str) -> list[TracedQuestion]:
    """All questions of a trace, in order. A question without an answer was interrupted.

    Args:
        lines: The trace, one JSON object a line.
        name: What messages call it.

    Raises:
        SourceError: It is no trace, or a line of it is damaged; says which.
        MismatchError: It has another version.
    """
    questions: list[TracedQuestion] = []
    for number, event in _events(lines, name):
        try:
            if event["event"] == "question":
                questions.append(_question(event, name))
            elif not questions:
                raise ValueError("no question comes before it")
            elif event["event"] == "refocus":
                questions[-1].steps.append(_step(event, questions[-1].tokens))
            elif event["event"] == "answer":
                questions[-1] = replace(questions[-1], answer=_answer(event))
            else:
                raise ValueError(f"unknown event {event['event']!r}")
        except KeyError as error:
            raise SourceError(f"{name}, line {number}: the field {error} is missing", _FIX) from error
        except (ValueError, TypeError) as error:
            raise SourceError(f"{name}, line {number}: {error}", _FIX) from error
    if not questions:
        raise SourceError(f"{name} is empty", _FIX)
    return questions


def _events(lines: Iterable[str], name: str) -> Iterator[tuple[int, Event]]:
    try:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            event = json.loads(line)
            if not isinstance(event, dict):
                raise SourceError(f"{name}, line {number} is not a JSON object", _FIX)
            yield number, event
    except (ValueError, RecursionError) as error:  # bytes that are not UTF-8, too
        raise SourceError(f"{name} is not a trace: {error}", _FIX) from error


def _question(event: Event, name: str) -> TracedQuestion:
    if event["version"] != TRACE_VERSION:
        fix = "update mctool" if _whole(event, "version") > TRACE_VERSION else _FIX
        raise MismatchError(f"{name} is a trace of version {event['version']}, not {TRACE_VERSION}", fix)
    tokens, w_max = _whole(event, "tokens"), _whole(event, "w_max")
    if w_max < 1:
        raise ValueError(f"w_max is {w_max}")
    entries = _entries(event, tokens)
    return TracedQuestion(_text(event, "question"), w_max, _text(event, "tree"), tokens, entries, [], None)


def _step(event: Event, tokens: int) -> TraceStep:
    record = FocusIteration(
        expanded=_whole(event, "expanded"),
        collapsed=_whole(event, "collapsed"),
        swap_rate=_number(event, "swap_rate"),
        cost=_whole(event, "cost"),
        seconds=_number(event, "seconds"),
    )
    expand, collapse = _nodes(event, "expand"), _nodes(event, "collapse")
    return TraceStep(_whole(event, "iteration"), expand, collapse, record, _entries(event, tokens))


def _answer(event: Event) -> TracedAnswer:
    if not isinstance(event["supported"], bool) or not isinstance(event["citations"], list):
        raise ValueError("supported or citations has a wrong type")
    citations = [_citation(stored) for stored in event["citations"]]
    nearest = [_citation(stored) for stored in event.get("nearest", [])]
    return TracedAnswer(_text(event, "answer"), event["supported"], citations, nearest)


def _citation(stored: Any) -> Citation:
    _require_fields(stored, Citation)
    return Citation(
        path=_text(stored, "path"),
        start_line=_whole(stored, "start_line"),
        end_line=_whole(stored, "end_line"),
        start_char=_whole(stored, "start_char"),
        end_char=_whole(stored, "end_char"),
        text=_text(stored, "text"),
        delta_nats=None if stored["delta_nats"] is None else _number(stored, "delta_nats"),
        place=None if stored.get("place") is None else _text(stored, "place"),
    )


def _entries(event: Event, tokens: int) -> list[FocusEntry]:
    """The entries of an event, which have to tile the timeline."""
    entries = []
    reached = 0
    for stored in event["entries"]:
        entry = _entry(stored)
        if entry.start_token != reached or entry.end_token <= reached:
            raise ValueError(f"an entry begins at token {entry.start_token} where the entries reach {reached}")
        reached = entry.end_token
        entries.append(entry)
    if reached != tokens:
        raise ValueError(f"the entries reach token {reached} of {tokens}")
    return entries


def _entry(stored: Any) -> FocusEntry:
    _require_fields(stored, FocusEntry)
    lod = _whole(stored, "lod")
    if lod > TOP_LOD:
        raise ValueError(f"an entry has LOD{lod}")
    return FocusEntry(
        lod=lod,
        start_token=_whole(stored, "start_token"),
        end_token=_whole(stored, "end_token"),
        cost=_whole(stored, "cost"),
        score=_number(stored, "score"),
        path=None if stored["path"] is None else _text(stored, "path"),
        start_char=None if stored["start_char"] is None else _whole(stored, "start_char"),
        end_char=None if stored["end_char"] is None else _whole(stored, "end_char"),
    )


def _require_fields(stored: Any, record: type[FocusEntry] | type[Citation]) -> None:
    expected = {field.name for field in fields(record)}
    if not isinstance(stored, dict) or set(stored) != expected:
        raise ValueError(f"a {record.__name__} has not the fields {', '.join(sorted(expected))}")


def _nodes(event: Event, name: str) -> list[list[int]]:
    nodes = event[name]
    if not isinstance(nodes, list) or not all(
        isinstance(node, list) and len(node) == 2 and all(type(part) is int for part in node) for node in nodes
    ):
        raise ValueError(f"{name} is not a list of nodes")
    return nodes


def _whole(event: Event, name: str) -> int:
    value = event[name]
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {value!r}, not a whole number")
    return value


def _number(event: Event, name: str) -> float:
    value = event[name]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    return float(value)


def _text(event: Event, name: str) -> str:
    value = event[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not text")
    return value
