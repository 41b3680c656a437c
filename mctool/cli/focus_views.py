"""How ``mctool inspect`` shows focus: as text, as a page for the browser, and as a picture."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mctool.cli.console import note_console, output_console, print_json, reporter
from mctool.core.config import AskConfig
from mctool.core.errors import MctoolError, ResourceError, SourceError, TreeNotFoundError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from mctool.core.inspection import TracedQuestion
    from mctool.core.page import Page
    from mctool.core.records import FocusEntry
    from mctool.render.lod_cells import Places
    from mctool.tree import Tree

STDIN = "-"
STDOUT = "-"
PICTURE_COLUMNS = 100


@dataclass(frozen=True)
class FocusSource:
    """Where focus comes from: a ``query``, or the file of a ``trace``; neither for a tree alone."""

    query: str | None
    config: AskConfig
    trace: str | None
    tree: Path | None
    model: str
    quiet: bool


def show_query(source: FocusSource, as_json: bool) -> None:
    """Refocus for a question and draw where that led, without answering."""
    from mctool.app.ask import Reader
    from mctool.app.traced_focus import traced_focus

    with Reader(source.tree, source.model, report=reporter(source.quiet)) as reader:
        if as_json:
            print_json(reader.focus(source.query or "", source.config).to_json())
            return
        traced = traced_focus(reader, source.query or "", source.config)
        _draw_outcome(output_console(), traced, reader.tree)


def show_trace(name: str, as_json: bool) -> None:
    """Draw every step of every question of a trace."""
    questions = _read_trace(name)
    if as_json:
        print_json({"questions": [question.to_json() for question in questions]})
        return
    for question in questions:
        with _tree_of(question) as tree:
            _replay(question, tree)


def write_page(file: str, source: FocusSource) -> None:
    """Write the page for the browser.

    Raises:
        ResourceError: The file cannot be written.
    """
    from mctool.render.html_page import render_page

    with _page(source) as (page, _):
        html = render_page(page)
    _write(file, "--html", html, source.quiet)


def write_picture(file: str, source: FocusSource) -> None:
    """Write where focus went, as an SVG picture of the terminal.

    Raises:
        ResourceError: The file cannot be written.
    """
    from mctool.cli.focus_cast import outcome
    from mctool.render.picture import export_svg, picture_console

    console = picture_console(PICTURE_COLUMNS)
    if source.trace is not None:
        for traced in (questions := _read_trace(source.trace)):
            with _tree_of(traced) as tree:
                _print_all(console, outcome(traced, tree, console.width))
        title = questions[0].question
    else:
        from mctool.app.ask import Reader
        from mctool.app.traced_focus import traced_focus

        title = source.query or ""
        with Reader(source.tree, source.model, report=reporter(source.quiet)) as reader:
            traced = traced_focus(reader, title, source.config)
            _print_all(console, outcome(traced, reader.tree, console.width))
    _write(file, "--svg", export_svg(console, title), source.quiet)


def write_animation(file: str, source: FocusSource) -> None:
    """Write how focus came about and what was answered, as one animated SVG of the terminal.

    Raises:
        ResourceError: The file cannot be written.
    """
    from mctool.cli.focus_cast import cast
    from mctool.render.picture import export_animation

    with _traced(source) as (traced, tree):
        frames = cast(traced, tree, PICTURE_COLUMNS)
    _write(file, "--svg", export_animation(frames, PICTURE_COLUMNS, traced.question), source.quiet)


@contextmanager
def _traced(source: FocusSource) -> Iterator[tuple[TracedQuestion, Tree | None]]:
    """The question of --query, or the first one of --trace, and its tree."""
    if source.trace is not None:
        traced = _read_trace(source.trace)[0]
        with _tree_of(traced) as tree:
            yield traced, tree
        return
    from mctool.app.ask import Reader
    from mctool.app.traced_focus import traced_focus

    with Reader(source.tree, source.model, report=reporter(source.quiet)) as reader:
        yield traced_focus(reader, source.query or "", source.config), reader.tree


def serve_page(source: FocusSource, port: int) -> None:
    """Serve the page to the browser on this machine until it is interrupted.

    Raises:
        TreeNotFoundError: The tree of a trace is gone, or is not as long as it was.
        ResourceError: The port is taken.
    """
    from mctool.app.page_server import page_server
    from mctool.app.page_tokens import find_tokenizer

    with _page(source) as (page, tree):
        if tree is None:
            raise TreeNotFoundError(f"the tree {page.tree.path} is gone or has changed", "use --html FILE")
        with page_server(page, tree, port, find_tokenizer(tree, source.model)) as server:
            address = f"http://{server.server_address[0]}:{server.server_address[1]}/"
            note_console().print(f"open {address} (Ctrl-C ends)", markup=False)
            server.serve_forever()


@contextmanager
def _page(source: FocusSource) -> Iterator[tuple[Page, Tree | None]]:
    """The page, and the open tree that it is about; None where only a trace is at hand."""
    from mctool.app.page import page_of_trace, page_of_tree
    from mctool.app.page_tokens import find_tokenizer

    if source.trace is not None:
        questions = _read_trace(source.trace)
        with _tree_of(questions[0]) as tree:
            if tree is None:
                yield page_of_trace(questions), None
            else:
                yield page_of_tree(tree, questions, find_tokenizer(tree, source.model)), tree
    elif source.query is not None:
        from mctool.app.ask import Reader
        from mctool.app.traced_focus import traced_focus

        with Reader(source.tree, source.model, report=reporter(source.quiet)) as reader:
            questions = [traced_focus(reader, source.query, source.config)]
            yield page_of_tree(reader.tree, questions, find_tokenizer(reader.tree, source.model)), reader.tree
    else:
        from mctool.app.trees import locate_tree
        from mctool.tree import Tree

        with Tree.open(locate_tree(source.tree)) as tree:
            yield page_of_tree(tree, [], find_tokenizer(tree, source.model)), tree


def _write(file: str, option: str, content: str, quiet: bool) -> None:
    if file == STDOUT:
        sys.stdout.write(content)
        return
    try:
        Path(file).write_text(content, encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"cannot write {option} {file}: {error.strerror}", "name another file") from error
    note_console(quiet).print(f"wrote {file}", style="dim", markup=False)


def _read_trace(name: str) -> list[TracedQuestion]:
    from mctool.app.read_trace import read_trace

    try:
        if name == STDIN:
            return read_trace(sys.stdin, "standard input")
        with Path(name).open(encoding="utf-8") as lines:
            return read_trace(lines, name)
    except OSError as error:
        raise SourceError(f"cannot read the trace {name}: {error.strerror}", "check the path") from error


def _draw_outcome(console: Console, traced: TracedQuestion, tree: Tree | None) -> None:
    """Draw the last step against the first cover, and the passages."""
    from mctool.render.lod_map import render_lod_map

    n_steps = len(traced.steps)
    entries = traced.steps[-1].entries if n_steps else traced.entries
    console.print(
        render_lod_map(
            entries,
            w_max=traced.w_max,
            cost=sum(entry.cost for entry in entries),
            width=console.width,
            previous=traced.entries,
            title=f"Focus after {n_steps} refocus{'' if n_steps == 1 else 'es'}, against the first cover",
            places=_places(tree),
        )
    )
    console.print()
    _print_passages(console, traced)


def _replay(traced: TracedQuestion, tree: Tree | None) -> None:
    """Draw the first cover and each refocus of one question, then its answer."""
    from mctool.render.lod_map import render_lod_map, step_title
    from mctool.render.safe_text import safe_text

    console, places = output_console(), _places(tree)
    console.print(safe_text(f"Question: {traced.question}"), style="bold", markup=False)
    maps: list[tuple[str, list[FocusEntry] | None, list[FocusEntry], int]] = [
        ("First cover", None, traced.entries, sum(entry.cost for entry in traced.entries))
    ]
    previous = traced.entries
    for step in traced.steps:
        maps.append((step_title(step.iteration, step.record), previous, step.entries, step.record.cost))
        previous = step.entries
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
    _print_passages(console, traced)


def _print_passages(console: Console, traced: TracedQuestion) -> None:
    from mctool.render.answer import render_citations, render_nearest

    answer = traced.answer
    if answer is not None and answer.nearest and not answer.citations:
        console.print(render_nearest(answer.nearest))
    else:
        console.print(render_citations(answer.citations if answer else []))


def _print_all(console: Console, parts: Iterable[RenderableType]) -> None:
    for part in parts:
        console.print(part)


def _places(tree: Tree | None) -> Places | None:
    from mctool.app.inspect import find_places

    return None if tree is None else find_places(tree)


@contextmanager
def _tree_of(traced: TracedQuestion) -> Iterator[Tree | None]:
    """The tree of a trace, when it is still there and as long as it was; else None."""
    from mctool.tree import Tree

    try:
        tree = Tree.open(Path(traced.tree))
    except MctoolError:  # a trace can be replayed without its tree
        yield None
        return
    with tree:
        yield tree if tree.timeline.total_tokens == traced.tokens else None
