"""``mctool evaluate show``: the tables and the picture of figures that were measured before."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mctool.cli.console import output_console
from mctool.cli.options import DebugOption
from mctool.core.errors import SourceError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

STDIN = "-"
PIPE_WIDTH = 400
"""Columns of tables that go into a file or a pipe, where lines should not be folded."""

PlotOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Draw the figures, too, as a .png or .svg (needs mctool\\[plot]).")
]
_MARKS = {"signal": "focus", "depth": "needle", "measure": "speed", "variant": "substitution", "f1": "answers",
          "walk": "walk"}  # fmt: skip
"""A field that rows of one measurement alone have, and its name."""
CURVE = "curve"
"""Measurements at several times of one training."""


def show(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="What another evaluate command or train gist printed with --json, or the card of a net; - for stdin.",
        ),
    ],
    plot: PlotOption = None,
    _debug: DebugOption = False,
) -> None:
    """Show the figures of a run that was saved with --json, as tables, and as a picture with --plot."""
    from mctool.render.plots import require_plotting

    if plot is not None:
        require_plotting(plot)
    result = _read(file)
    try:
        is_curve = "curve" in result
        name = CURVE if is_curve else next(name for field, name in _MARKS.items() if field in result["rows"][0])
        tables = _tables(name, result)
        if plot is not None:
            _plot(name, result, plot)
    except (KeyError, IndexError, TypeError, StopIteration, ValueError) as error:
        raise SourceError(f"{file} holds no figures of an evaluate command", "save them with --json") from error
    print_tables(tables)


def print_tables(tables: Iterable[RenderableType]) -> None:
    """Print tables on stdout, each with an empty line after it; into a pipe without folding."""
    console = output_console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    for table in tables:
        console.print(table)
        console.print()


def _read(file: str) -> Any:
    try:
        text = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise SourceError(f"cannot read {file}: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file} is not JSON", "save figures with --json") from error


def _tables(name: str, result: dict[str, Any]) -> list[RenderableType]:
    from mctool.render.evaluation import answer_tables, speed_table, substitution_tables
    from mctool.render.focus_loop import all_focus_tables
    from mctool.render.needle import needle_maps
    from mctool.render.training import gist_curve_table
    from mctool.render.walk import walk_tables

    if name == CURVE:
        return [gist_curve_table(result["curve"])]
    rows = result["rows"]
    if name == "focus":
        return [*all_focus_tables(result)]
    if name == "answers":
        return [*answer_tables(rows, result["sets"])]
    if name == "needle":
        return [*needle_maps(rows, result["haystack"])]
    if name == "walk":
        return [*walk_tables(result)]
    return [speed_table(rows)] if name == "speed" else [*substitution_tables(rows, result["content"], result["harm"])]


def _plot(name: str, result: dict[str, Any], file: Path) -> None:
    from mctool.render.needle_plot import plot_needle
    from mctool.render.plots import plot_answers, plot_focus, plot_gist_curve, plot_speed

    if name == CURVE:
        plot_gist_curve(result["curve"], file)
        return
    rows = result["rows"]
    if name == "focus":
        plot_focus(rows, result["sets"], file)
    elif name == "answers":
        plot_answers(rows, result["sets"], file)
    elif name == "needle":
        plot_needle(rows, result["haystack"], file)
    elif name == "speed":
        plot_speed(rows, file)
    else:
        raise UsageError(f"there is no picture of evaluate {name}", "leave --plot out")
