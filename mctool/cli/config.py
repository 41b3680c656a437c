"""``mctool config show`` and ``path``: what is set, and by whom."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mctool.cli.config_files import (
    CommandPath,
    Configuration,
    ConfigurationFiles,
    configurable,
    leaf_commands,
    read_configuration,
)
from mctool.cli.console import note_console, output_console, print_json
from mctool.cli.options import DebugOption, JsonOption, QuietOption
from mctool.core.records import Record

config = typer.Typer(help="Tell what options are set to, and where.", no_args_is_help=True)

_SECRET = frozenset({"token"})
"""Options whose value is nobody else's business."""

Source = Literal["default", "user", "project", "environment"]


@dataclass(frozen=True)
class Setting(Record):
    """What an option of a command is when the command line does not say.

    Attributes:
        command: As it is typed after ``mctool``.
        option: Long name without dashes; what files call it.
        value: Plain JSON types.
        source: Who says so.
        where: The variable, or the file and its line; None for a default.
        variable: Environment variable that sets it.
    """

    command: str
    option: str
    value: Any
    source: Source
    where: str | None
    variable: str | None


@config.command()
def show(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="List options that have their default, too.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Show what options are set to, and by which variable, or which line of which file.

    Options beat MCTOOL_* variables, they beat mctool.toml of the project (the nearest one upward), and that beats
    config.toml of the user.
    """
    program = context.find_root().command
    found = settings(program, read_configuration(program, Path.cwd()))
    if json:
        print_json({"settings": [setting.to_json() for setting in found]})
        return
    shown = [setting for setting in found if every or setting.source != "default"]
    console = output_console()
    for setting in shown:
        where = f"  ({setting.source}: {setting.where})" if setting.where else "  (default)"
        console.print(f"{setting.command} --{setting.option}: {_text(setting.value)}{where}", markup=False)
    if not every:
        rest = len(found) - len(shown)
        note_console(quiet).print(f"{rest} options have their default; --all lists them", style="dim", markup=False)


@config.command()
def path(json: JsonOption = False, _debug: DebugOption = False) -> None:
    """Print the configuration files that count: the project's, if there is one, and the user's."""
    files = ConfigurationFiles.find(Path.cwd())
    if json:
        project = None if files.project is None else str(files.project)
        print_json({"project": project, "user": str(files.user), "user_exists": files.user.is_file()})
        return
    for file in (files.project, files.user):
        if file is not None:
            sys.stdout.write(f"{file}{'' if file.is_file() else ' (not there)'}\n")


def settings(program: Any, configuration: Configuration) -> list[Setting]:
    """Every option of every command, as it would be without a command line.

    Raises:
        typer.TyperException: A variable holds a value that is none for its option.
    """
    return [
        _setting(names, command, name, param, configuration)
        for names, command in leaf_commands(program)
        for name, param in configurable(command).items()
    ]


def _setting(names: CommandPath, command: Any, name: str, param: Any, configuration: Configuration) -> Setting:
    defaults: Any = configuration.defaults
    for inner in names:
        defaults = defaults.get(inner, {})
    context = typer.Context(command, default_map=defaults)
    value, given = param.consume_value(context, {})
    source: Source = "default"
    where = None
    if given.name == "ENVIRONMENT":
        source, where = "environment", param.envvar
    elif given.name == "DEFAULT_MAP":
        origin = configuration.origins[names, param.name]
        source, where = origin.layer, str(origin)
    if value is not None:
        value = param.process_value(context, value)
    if value is not None and name in _SECRET:
        value = "(set)"
    return Setting(" ".join(names), name, _plain(value), source, where, param.envvar)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
