"""Writes REFERENCE.md, the description of all commands, from the commands: ``python -m mctool.cli.reference``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from mctool.cli.config_files import PROJECT_FILE, configurable, leaf_commands
from mctool.cli.examples import EXAMPLES
from mctool.cli.program import PROGRAM, program_command

REFERENCE = Path(__file__).parent / "REFERENCE.md"

_HEAD = f"""# Commands of {PROGRAM}

Made from the commands by `python -m mctool.cli.reference`; do not edit.

Every option can also be set by its variable, or by its long name in `{PROJECT_FILE}` of the project (the nearest one
upward) or `config.toml` of the user: at the top for all commands, in a table such as `[ask]` for one. Options beat
variables, they beat the project's file, and that beats the user's. `{PROGRAM} config show` tells what is set.
"""


def render_reference() -> str:
    """The whole text, in Markdown."""
    parts = [_HEAD]
    for path, command in leaf_commands(program_command()):
        parts += _command(" ".join(path), command)
    return "\n".join(parts)


def _command(name: str, command: Any) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(typer.Context(command)))
    yield f"## {PROGRAM} {name}\n"
    yield f"`{PROGRAM} {name} {usage}`\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    yield "\n".join(["```sh", *EXAMPLES.get(name, ()), "```", ""])
    yield "| argument or option | | default | variable |"
    yield "| --- | --- | --- | --- |"
    variables = {param.name for param in configurable(command).values()}
    for param in command.params:
        if not getattr(param, "hidden", False):
            variable = f"`{param.envvar}`" if param.name in variables else ""
            yield f"| {_names(param)} | {_cell(param.help or '')} | {_default(param)} | {variable} |"
    yield ""


def _names(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.display_name_raw}`"
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    *others, last = param.opts
    return ", ".join([*(f"`{name}`" for name in others), f"`{last}{value}`"])


def _default(param: Any) -> str:
    default = param.show_default if isinstance(param.show_default, str) else param.default
    if param.required:
        return "(needed)"
    return "" if default is None or default is False or callable(default) or default == "" else f"`{default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    REFERENCE.write_text(render_reference(), encoding="utf-8")
    sys.stdout.write(f"{REFERENCE}\n")
