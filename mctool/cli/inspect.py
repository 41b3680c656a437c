"""``mctool inspect``: what a tree holds, and how focus moved."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mctool.cli.console import output_console, print_json
from mctool.cli.focus_views import (
    FocusSource,
    serve_page,
    show_query,
    show_trace,
    write_animation,
    write_page,
    write_picture,
)
from mctool.cli.options import DebugOption, JsonOption, ModelOption, QuietOption, TreeOption
from mctool.core.config import DEFAULT_MODEL, AskConfig
from mctool.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

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
    cold: Annotated[
        int | None, typer.Option(metavar="N", help="List the N documents that focus touched least.")
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write a page for the browser: the tree, or the focus of --query or --trace; - for standard output.",
        ),
    ] = None,
    svg: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the map of --query or --trace as a picture; - for standard output."),
    ] = None,
    animate: Annotated[
        bool, typer.Option("--animate", help="Let the picture of --svg show each refocus, one after the other.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Open the page of --html live, for the browser on this machine alone.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of --serve; 0 for any that is free.", min=0, max=65535)] = 0,
    lens: Annotated[
        str,
        typer.Option(
            help="The lens of --query: hybrid (words and meaning), learned (meaning alone) or lexical (words alone)."
        ),
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
    shown = {
        "--query": query, "--node": node, "--doc": doc, "--text": text, "--trace": trace, "--hot": hot, "--cold": cold,
    }  # fmt: skip
    _require_one(shown)
    if animate and svg is None:
        raise UsageError("--animate is for --svg", "give it --svg FILE, and --query TEXT or --trace FILE")
    _require_one({"--html": html, "--svg": svg, "--serve": serve or None, "--json": as_json or None})
    if query == STDIN:
        query = sys.stdin.read()
    config = AskConfig(lens=lens)  # type: ignore[arg-type]  (checked by AskConfig)
    source = FocusSource(query, config, trace, tree, model, quiet)
    if html is not None or serve:
        page = {"--serve" if serve else "--html": True}
        _require_one(page | {"--node": node, "--doc": doc, "--text": text, "--hot": hot, "--cold": cold})
        if html is not None:
            write_page(html, source)
        else:
            serve_page(source, port)
    elif svg is not None:
        if query is None and trace is None:
            raise UsageError("--svg draws the focus of a question", "give it --query TEXT or --trace FILE")
        (write_animation if animate else write_picture)(svg, source)
    elif trace is not None:
        show_trace(trace, as_json)
    elif query is not None:
        show_query(source, as_json)
    elif node is not None:
        _show_node(node, tree, as_json)
    elif doc is not None:
        _show_documents(doc, tree, as_json)
    elif text is not None:
        _show_text(text, tree, as_json)
    elif hot is not None or cold is not None:
        _show_touched(hot, cold, tree, as_json)
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


def _show_touched(hot: int | None, cold: int | None, place: Path | None, as_json: bool) -> None:
    from mctool.app.inspect import inspect_cold, inspect_hot
    from mctool.render.tree_panels import render_cold, render_hot

    with _opened(place) as tree:
        if hot is not None:
            spans = inspect_hot(tree, hot)
            record, drawn = spans.to_json(), render_hot(spans.spans)
        else:
            documents = inspect_cold(tree, cold or 0)
            record, drawn = documents.to_json(), render_cold(documents.documents)
    if as_json:
        print_json(record)
    else:
        _print(drawn)


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
