"""Where an answer came from, as one picture; and how focus came about, as the frames of an animation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from mctool.app.inspect import find_places
from mctool.core.records import Citation
from mctool.render.answer import citation_place, render_citations, render_nearest
from mctool.render.lod_map import render_lod_map, step_title
from mctool.render.palette import BOLD, FAINT, SPENT
from mctool.render.picture import Frame
from mctool.render.reach import render_reach
from mctool.render.safe_text import safe_line

if TYPE_CHECKING:
    from mctool.core.inspection import TracedQuestion
    from mctool.tree import Tree

COMMAND_S, STEP_S, LAST_S = 1.5, 1.3, 6.0
"""How long the command alone, each step, and the answer are shown, in seconds."""

CAST_PASSAGES, CAST_LINES = 2, 4
"""An animation is as high as its highest frame, so that its last one shows the first passages, and these in brief."""


def outcome(traced: TracedQuestion, tree: Tree | None, width: int) -> Iterator[RenderableType]:
    """The question, its answer, how much was read for it, where that stands, and what it says."""
    yield Text().append("Question  ", FAINT).append(safe_line(traced.question), BOLD)
    answer = traced.answer
    if answer is not None and answer.answer:
        yield Text().append("Answer    ", FAINT).append(safe_line(answer.answer), BOLD + SPENT)
    yield Text()
    passages = answer.citations or answer.nearest if answer is not None else []
    yield from _map(traced, tree, width, passages)
    yield Text()
    if answer is not None and answer.nearest and not answer.citations:
        yield render_nearest(answer.nearest)
    else:
        yield render_citations(passages)


def cast(traced: TracedQuestion, tree: Tree | None, width: int) -> list[Frame]:
    """``mctool ask --show-focus`` as it runs: the command, the first cover, each refocus, and the answer."""
    command = Text().append("$ ", SPENT).append(f'mctool ask "{safe_line(traced.question)}" --show-focus', BOLD)
    places = find_places(tree) if tree is not None else None
    titles = ["The cover that refocusing starts from"]
    titles += [step_title(step.iteration, step.record) for step in traced.steps]
    covers = [traced.entries, *(step.entries for step in traced.steps)]
    frames = [Frame([command], COMMAND_S)]
    for number, (title, entries) in enumerate(zip(titles, covers, strict=True)):
        drawn = render_lod_map(
            entries,
            w_max=traced.w_max,
            cost=sum(entry.cost for entry in entries),
            width=width,
            previous=covers[number - 1] if number else None,
            title=title,
            places=places,
        )
        frames.append(Frame([command, drawn], STEP_S))
    answer = traced.answer
    said = Text(safe_line(answer.answer) if answer is not None else "", BOLD + SPENT)
    passages = (answer.citations or answer.nearest)[:CAST_PASSAGES] if answer is not None else []
    last = [said, *_map(traced, tree, width, passages), render_citations(passages, max_lines=CAST_LINES)]
    return [*frames, Frame([command, *last], LAST_S)]


def _map(traced: TracedQuestion, tree: Tree | None, width: int, passages: list[Citation]) -> Iterator[RenderableType]:
    """The whole text with what was read of it, the passages numbered as below."""
    entries = traced.steps[-1].entries if traced.steps else traced.entries
    places = find_places(tree) if tree is not None else None
    yield render_reach(entries, len(places.document_starts) if places else None)
    yield render_lod_map(
        entries,
        w_max=traced.w_max,
        cost=sum(entry.cost for entry in entries),
        width=width,
        title="The whole text, from the first document to the last",
        places=places,
        numbers={citation_place(passage): f"[{number}]" for number, passage in enumerate(passages, 1)},
    )
