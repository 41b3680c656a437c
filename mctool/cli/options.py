"""Options that several commands share, as annotated types for the parameters of their functions.

Each has an environment variable; a value on the command line goes before it, configuration files after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

_COMMON = "Common options"


@dataclass
class Invocation:
    """What one call of the program is told besides the parameters of its command.

    Attributes:
        debug: Show tracebacks.
    """

    debug: bool = False


def _note_debug(context: typer.Context, debug: bool) -> bool:
    invocation = context.find_root().obj
    if isinstance(invocation, Invocation):  # else help or completion runs without one
        invocation.debug = invocation.debug or debug
    return debug


TreeOption = Annotated[
    Path | None,
    typer.Option(
        "--tree",
        "-t",
        metavar="PATH",
        envvar="MCTOOL_TREE",
        show_envvar=True,
        show_default=False,
        help="Directory of the MegaContext Tree; else the nearest .mctool/ at or above the working directory.",
        rich_help_panel=_COMMON,
    ),
]
"""Default: None."""

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        envvar="MCTOOL_MODEL",
        show_envvar=True,
        help="Built-in alias, Hugging Face directory, .gguf file, or hub name.",
        rich_help_panel=_COMMON,
    ),
]
"""Default: ``mctool.core.config.DEFAULT_MODEL``."""

DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        envvar="MCTOOL_DEVICE",
        show_envvar=True,
        help="auto, cpu, cuda, cuda:N or mps.",
        rich_help_panel=_COMMON,
    ),
]
"""Default: ``auto``."""

DtypeOption = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="NAME",
        envvar="MCTOOL_DTYPE",
        show_envvar=True,
        help="Number type of the base model: auto, float32, bfloat16 or float16.",
        rich_help_panel=_COMMON,
    ),
]
"""Default: ``auto``."""

NoLoraOption = Annotated[
    bool,
    typer.Option(
        "--no-lora",
        metavar="",
        envvar="MCTOOL_NO_LORA",
        show_envvar=True,
        help="Answer with the plain base model, without its adapter.",
        rich_help_panel=_COMMON,
    ),
]
"""Default: False."""

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar="",
        envvar="MCTOOL_JSON",
        show_envvar=True,
        help="Print the result as one JSON object on stdout.",
        rich_help_panel=_COMMON,
    ),
]
"""Default: False."""

QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        metavar="",
        envvar="MCTOOL_QUIET",
        show_envvar=True,
        help="No notes and no progress on stderr; errors only.",
        rich_help_panel=_COMMON,
    ),
]
"""Default: False."""

DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug",
        metavar="",
        envvar="MCTOOL_DEBUG",
        show_envvar=True,
        callback=_note_debug,
        help="Show the traceback of an error.",
        rich_help_panel=_COMMON,
    ),
]
"""Default: False. A command takes it as ``_debug`` and does nothing with it: ``main`` does."""
