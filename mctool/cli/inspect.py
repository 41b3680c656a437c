"""``mctool inspect``: what a tree holds, and how focus moved."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mctool.cli.console import output_console, print_json, reporter
from mctool.cli.options import DebugOption, JsonOption, ModelOption, QuietOption, TreeOption
from mctool.core.config import DEFAULT_MODEL, AskConfig
from mctool.core.errors import MctoolError, SourceError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mctool.core.inspection import TracedQuestion
    from mctool.core.records import FocusEntry, FocusIteration
    from mctool.render.lod_cells import Places
    from mctool.tree import Tree

STDIN = "-"
PIPE_WIDTH = 400
"""Columns of tables that go into a file or a pipe, where lines should not be folded."""


def inspect(
    query: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Show the focus for a question without answering; - for standard input."),
    ] = None,
    node: Annotated[
        str | None, typer.Option(metavar="LOD:INDEX", help="Show one node: text, place, parent, children, counters.")
    ] = None,
    doc: Annotated[str | None, typer.Option(metavar="GLOB", help="List the documents whose path matches.")] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Print the text of one document, in which citations count."),
    ] = None,
    trace: Annotated[
        str | None, typer.Option(metavar="FILE", help="Replay a trace of `mctool ask --trace`; - for standard input.")
    ] = None,
    hot: Annotated[int | None, typer.Option(metavar="N", help="List the N spans that focus touched most.")] = None,
    lens: Annotated[
        str, typer.Option(help="The lens of --query: hybrid, by words and by meaning; lexical, by words alone.")
    ] = AskConfig.lens,
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Show what a MegaContext Tree holds: documents, tokens, nodes, sizes, model and history.

    With an option, show one document, one node, the most touched spans, the focus for a question, or a recorded trace.
    """
    _require_one({"--query": query, "--node": node, "--doc": doc, "--text": text, "--trace": trace, "--hot": hot})
    if trace is not None:
        _show_trace(trace, as_json)
    elif query is not None:
        config = AskConfig(lens=lens)  # type: ignore[arg-type]  (checked by AskConfig)
        _show_query(sys.stdin.read() if query == STDIN else query, config, tree, model, as_json, quiet)
    elif node is not None:
        _show_node(node, tree, as_json)
    elif doc is not None:
        _show_documents(doc, tree, as_json)
    elif text is not None:
        _show_text(text, tree, as_json)
    elif hot is not None:
        _show_hot(hot, tree, as_json)
    else:
        _show_tree(tree, as_json)


def _require_one(options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other", "give one of them")


def _show_tree(place: Path | None, as_json: bool) -> None:
    from mctool.app.inspect import inspect_tree
    from mctool.render.tree_panels import render_tree

    with _opened(place) as tree:
        report = inspect_tree(tree)
    if as_json:
        print_json(report.to_json())
    else:
        _print(render_tree(report))


def _show_documents(glob: str, place: Path | None, as_json: bool) -> None:
    from mctool.app.inspect import inspect_documents
    from mctool.render.tree_panels import render_documents

    with _opened(place) as tree:
        found = inspect_documents(tree, glob)
    if as_json:
        print_json(found.to_json())
    else:
        _print(render_documents(found.documents))


def _show_text(path: str, place: Path | None, as_json: bool) -> None:
    from mctool.app.inspect import inspect_text

    with _opened(place) as tree:
        document = inspect_text(tree, path)
    if as_json:
        print_json(document.to_json())
    else:
        sys.stdout.write(document.text)


def _show_hot(limit: int, place: Path | None, as_json: bool) -> None:
    from mctool.app.inspect import inspect_hot
    from mctool.render.tree_panels import render_hot

    with _opened(place) as tree:
        found = inspect_hot(tree, limit)
    if as_json:
        print_json(found.to_json())
    else:
        _print(render_hot(found.spans))


def _show_node(name: str, place: Path | None, as_json: bool) -> None:
    from mctool.app.inspect import inspect_node, parse_node
    from mctool.render.tree_panels import render_node

    lod, index = parse_node(name)
    with _opened(place) as tree:
        report = inspect_node(tree, lod, index)
    if as_json:
        print_json(report.to_json())
    else:
        _print(render_node(report))


def _show_query(question: str, config: AskConfig, place: Path | None, model: str, as_json: bool, quiet: bool) -> None:
    from mctool.app.ask import Listeners, Reader
    from mctool.app.inspect import find_places
    from mctool.render.answer import render_citations
    from mctool.render.lod_map import render_lod_map

    covers: list[list[FocusEntry]] = []

    def keep_cover(iteration: int, entries: list[FocusEntry], _record: FocusIteration | None) -> None:
        if iteration == 0:
            covers.append(entries)

    with Reader(place, model, report=reporter(quiet)) as reader:
        report = reader.focus(question, config, Listeners(on_refocus=keep_cover))
        if as_json:
            print_json(report.to_json())
            return
        console = output_console()
        n_steps = len(report.focus.iterations)
        lod_map = render_lod_map(
            report.focus.entries,
            w_max=report.focus.w_max,
            cost=report.focus.cost,
            width=console.width,
            previous=covers[0] if covers else None,
            title=f"Focus after {n_steps} refocus{'' if n_steps == 1 else 'es'}, against the first cover",
            places=find_places(reader.tree),
        )
        console.print(lod_map)
    console.print()
    console.print(render_citations(report.citations))


def _show_trace(name: str, as_json: bool) -> None:
    from mctool.app.read_trace import read_trace

    try:
        if name == STDIN:
            questions = read_trace(sys.stdin, "standard input")
        else:
            with Path(name).open(encoding="utf-8") as lines:
                questions = read_trace(lines, name)
    except OSError as error:
        raise SourceError(f"cannot read the trace {name}: {error.strerror}", "check the path") from error
    if as_json:
        print_json({"questions": [question.to_json() for question in questions]})
        return
    for question in questions:
        _replay(question)


def _replay(traced: TracedQuestion) -> None:
    """Draw the first cover and each refocus of one question, then its answer."""
    from mctool.render.answer import render_citations
    from mctool.render.lod_map import render_lod_map, step_title
    from mctool.render.safe_text import safe_text

    console = output_console()
    console.print(safe_text(f"Question: {traced.question}"), style="bold", markup=False)
    maps: list[tuple[str, list[FocusEntry] | None, list[FocusEntry], int]] = [
        ("First cover", None, traced.entries, sum(entry.cost for entry in traced.entries))
    ]
    previous = traced.entries
    for step in traced.steps:
        maps.append((step_title(step.iteration, step.record), previous, step.entries, step.record.cost))
        previous = step.entries
    with _places_of(traced) as places:
        for title, before, entries, cost in maps:
            console.print()
            lod_map = render_lod_map(
                entries,
                w_max=traced.w_max,
                cost=cost,
                width=console.width,
                previous=before,
                title=title,
                places=places,
            )
            console.print(lod_map)
    console.print()
    if traced.answer is None:
        console.print("The trace ends here, before an answer.", style="dim")
        return
    if traced.answer.answer:
        console.print(safe_text(traced.answer.answer), markup=False)
    console.print(render_citations(traced.answer.citations))


@contextmanager
def _places_of(traced: TracedQuestion) -> Iterator[Places | None]:
    """Documents and lines, when the tree of a trace is still there and as long as it was; else None."""
    from mctool.app.inspect import find_places
    from mctool.tree import Tree

    try:
        tree = Tree.open(Path(traced.tree))
    except MctoolError:  # a trace can be replayed without its tree
        yield None
        return
    with tree:
        yield find_places(tree) if tree.timeline.total_tokens == traced.tokens else None


@contextmanager
def _opened(place: Path | None) -> Iterator[Tree]:
    from mctool.app.trees import locate_tree
    from mctool.tree import Tree

    with Tree.open(locate_tree(place)) as tree:
        yield tree


def _print(what: RenderableType) -> None:
    """Print tables and text within the terminal; into a pipe without folding."""
    console = output_console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(what, soft_wrap=False)
