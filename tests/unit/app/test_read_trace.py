import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mctool.app import trace as trace_module
from mctool.app.read_trace import read_trace
from mctool.app.trace import Trace
from mctool.core.errors import MismatchError, SourceError
from mctool.core.records import (
    AskReport,
    AskSeconds,
    Citation,
    FocusEntry,
    FocusIteration,
    FocusReport,
    TreeSummary,
    Usage,
)
from mctool.focus import Plan

COVER = [FocusEntry(2, 0, 100, 1, 0.0, None, None, None)]
FOCUSED = [FocusEntry(0, 0, 32, 32, 1.5, "a.py", 0, 70), FocusEntry(1, 32, 100, 1, -0.5, "b.py", 0, 9)]
STEP = FocusIteration(expanded=2, collapsed=1, swap_rate=0.1, cost=33, seconds=0.5)
CITATION = Citation("a.py", 1, 2, 0, 70, "text", 0.25)


def ask_report():
    return AskReport(
        question="what?",
        answer="this",
        supported=True,
        citations=[CITATION],
        focus=FocusReport(64, 33, [STEP], FOCUSED),
        model="m",
        lens="lexical",
        positions="squeeze",
        tree=TreeSummary("/t", 100, 2, []),
        usage=Usage(1, 1, 1),
        seconds=AskSeconds(*[0.0] * 7),
        peak_rss_mb=1.0,
    )


def written(n_questions=1, with_answer=True):
    stream = io.StringIO()
    trace = Trace(stream)
    for _ in range(n_questions):
        trace.question("what?", 64, "/t", 100, COVER)
        trace.refocus(1, Plan(expand=((1, 0),), collapse=((2, 3),)), STEP, FOCUSED)
        if with_answer:
            trace.answer(ask_report())
    return stream.getvalue().splitlines(keepends=True)


def test_what_was_written_is_read_back():
    first, second = read_trace(written(2), "t")
    assert first == second
    assert (first.question, first.w_max, first.tree, first.tokens, first.entries) == ("what?", 64, "/t", 100, COVER)
    assert first.steps[0].record == STEP
    assert first.steps[0].entries == FOCUSED
    assert (first.steps[0].expand, first.steps[0].collapse) == ([[1, 0]], [[2, 3]])
    assert (first.answer.answer, first.answer.supported, first.answer.citations) == ("this", True, [CITATION])


def test_a_trace_that_was_cut_short_has_no_answer():
    (question,) = read_trace(written(with_answer=False), "t")
    assert question.answer is None
    assert len(question.steps) == 1


def changed(line, **changes):
    lines = written()
    lines[line] = json.dumps(json.loads(lines[line]) | changes)
    return lines


def entry(**changes):
    return COVER[0].to_json() | changes


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "t is empty"),
        (["not json\n"], "not a trace"),
        (["[1]\n"], "line 1 is not a JSON object"),
        (["{}\n"], "line 1: the field 'event' is missing"),
        (written()[1:], "no question comes before it"),
        ([*written(), '{"event": "dance"}'], "unknown event 'dance'"),
        (changed(0, tokens="many"), "tokens is 'many'"),
        (changed(0, tokens=101), "the entries reach token 100 of 101"),
        (changed(0, w_max=0), "w_max is 0"),
        (changed(0, entries=[entry(lod=9)]), "LOD9"),
        (changed(0, entries=[entry(start_token=5)]), "begins at token 5"),
        (changed(0, entries=[entry(score=float("nan"))]), "score is nan"),
        (changed(0, entries=[{"lod": 1}]), "a FocusEntry has not the fields"),
        (changed(0, entries=7), "line 1"),
        (changed(1, expand=[[1]]), "expand is not a list of nodes"),
        (changed(1, cost=True), "cost is True"),
        (changed(2, citations=[{}]), "a Citation has not the fields"),
        (changed(2, supported="yes"), "supported"),
    ],
)
def test_damage_is_told_with_its_place(lines, told):
    with pytest.raises(SourceError, match=r"\S") as raised:
        read_trace(lines, "t")
    assert told in str(raised.value)


def test_another_version_is_refused():
    with pytest.raises(MismatchError, match="version 2, not 1"):
        read_trace(changed(0, version=2), "t")


def test_every_field_of_a_trace_is_documented():
    guide = (Path(trace_module.__file__).parent / "TRACE.md").read_text(encoding="utf-8")
    assert guide.startswith(f"# Traces, version {trace_module.TRACE_VERSION}\n")
    for line in written():
        event = json.loads(line)
        part = guide.split(f'## `"event": "{event.pop("event")}"`')[1].split("\n## ")[0]
        assert [name for name in event if f"`{name}`" not in part] == []
    assert all(f'"{name}"' in guide for name in [*FOCUSED[0].to_json(), *CITATION.to_json()])


def test_fields_that_a_later_writer_adds_do_not_matter():
    assert read_trace(changed(0, mood="calm"), "t")[0].question == "what?"


def test_nearest_passages_are_read_back():
    report = replace(ask_report(), supported=False, citations=[], nearest=[CITATION])
    stream = io.StringIO()
    trace = Trace(stream)
    trace.question("what?", 64, "/t", 100, COVER)
    trace.answer(report)
    (question,) = read_trace(stream.getvalue().splitlines(), "t")
    assert (question.answer.citations, question.answer.nearest) == ([], [CITATION])
