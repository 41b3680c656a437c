"""Options that several measurements take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="FILE",
        help='Records {"id", "text", "questions"} as .jsonl or .jsonl.zst; may be repeated. '
        "[default: the source code of Python's standard library]",
        show_default=False,
    ),
]
DataArguments = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More files for --data.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TEXT", help="Only sets whose name contains this; may be repeated."),
]
SplitOption = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="dev, train or all: ask only about records on this side; the others fill the trees."
    ),
]
TreeTokensOption = Annotated[int, typer.Option(help="Most tokens of a tree.")]
PerTreeOption = Annotated[int, typer.Option(help="Most questions to one tree that it answers.")]
NoMiniLmOption = Annotated[
    bool, typer.Option("--no-minilm", help="Leave MiniLM out, which takes minutes where it is installed.")
]
DocumentedOption = Annotated[
    bool,
    typer.Option(
        "--documented",
        help="Ask for functions by what their docstrings say, which stay in the text, instead of what the data asks.",
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of all draws.")]
