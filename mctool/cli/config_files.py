"""Defaults of options: ``MCTOOL_*`` variables, ``mctool.toml`` of the project, ``config.toml`` of the user.

Keys are long option names without the dashes. A key at the top is for all commands that have the option, a table such
as ``[ask]`` for one command. The project's file goes before the user's, and a variable before both.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import typer
from platformdirs import user_config_dir

from mctool.core.errors import UsageError

PROJECT_FILE = "mctool.toml"
USER_FILE = "config.toml"

Defaults = dict[str, Any]
"""Parameter name -> value, and command name -> the same for that command; what click calls a default map."""

CommandPath = tuple[str, ...]
"""Names of commands from the program's first on; empty for the program itself."""

_PATHS = frozenset({"tree"})
"""Options whose relative value counts from the directory of the file that gives it."""

_TABLE = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?")
_KEY = re.compile(r"\s*([^=#\[]+?)\s*=")


@dataclass(frozen=True)
class Origin:
    """Which line of which file sets an option; the line is None where it cannot be told.

    Attributes:
        file: The file.
        layer: Whose file it is.
        line: Counted from 1.
        value: As the file gives it.
    """

    file: Path
    layer: Literal["project", "user"]
    line: int | None
    value: Any

    def __str__(self) -> str:
        return _place(self.file, self.line).rstrip(",")


@dataclass(frozen=True)
class ConfigurationFiles:
    """The files that count.

    Attributes:
        project: The nearest ``mctool.toml`` at or above the working directory; None without one.
        user: Where the user's file is, or would be.
    """

    project: Path | None
    user: Path

    @classmethod
    def find(cls, start: Path) -> ConfigurationFiles:
        """Look for the project's file from a directory upward."""
        places = (place / PROJECT_FILE for place in (start, *start.parents))
        user = Path(user_config_dir("mctool", appauthor=False)) / USER_FILE
        return cls(next((place for place in places if place.is_file()), None), user)


@dataclass
class Configuration:
    """What the files say.

    Attributes:
        files: The files that count.
        defaults: What click takes as a default map.
        origins: Command and parameter name -> where its default comes from.
    """

    files: ConfigurationFiles
    defaults: Defaults = field(default_factory=dict)
    origins: dict[tuple[CommandPath, str], Origin] = field(default_factory=dict)

    def blame(self, message: str) -> str:
        """An error message, with the line of the file that sets the option and value that it begins with."""
        for (_, name), origin in self.origins.items():
            if message.startswith(f"--{name.replace('_', '-')} {origin.value} "):
                return f"{message} (set in {origin})"
        return message


def read_configuration(command: Any, start: Path) -> Configuration:
    """Defaults for all commands below ``command``.

    Args:
        command: The command group of the program.
        start: Where the search for the project's file begins, upward.

    Raises:
        UsageError: A file cannot be read, is not TOML, has a key that is no option, or a value that is none for it.
    """
    configuration = Configuration(ConfigurationFiles.find(start))
    if configuration.files.user.is_file():  # first, so that the project's goes over it
        _File(configuration.files.user, "user", configuration).add(command)
    if configuration.files.project is not None:
        _File(configuration.files.project, "project", configuration).add(command)
    return configuration


def leaf_commands(command: Any, path: CommandPath = ()) -> Iterator[tuple[CommandPath, Any]]:
    """All commands below a group that do something, each with its path."""
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, inner in below.items():
        yield from leaf_commands(inner, (*path, name))


def configurable(command: Any) -> dict[str, Any]:
    """The options of a command that files and variables may set: name without dashes -> parameter."""
    return {
        option[2:]: param
        for param in command.params
        for option in param.opts
        if option.startswith("--") and param.expose_value and option != "--version"
    }


def name_variables(command: Any) -> None:
    """Let every option of all commands be set by a variable: ``--w-max`` by ``MCTOOL_W_MAX``."""
    for _, leaf in leaf_commands(command):
        for name, param in configurable(leaf).items():
            if param.envvar is None:
                param.envvar, param.show_envvar = f"MCTOOL_{name.replace('-', '_').upper()}", False


class _File:
    """One configuration file on its way into the configuration."""

    def __init__(self, file: Path, layer: Literal["project", "user"], configuration: Configuration) -> None:
        self._file, self._layer, self._into = file, layer, configuration
        try:
            self._text = file.read_text("utf-8")
            self._table = tomllib.loads(self._text)
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}", "check its permissions") from error
        except ValueError as error:
            raise UsageError(f"{file} is not TOML: {error}", "correct or remove it") from error

    def add(self, command: Any) -> None:
        """Take all keys over; those that no command knows are refused."""
        unknown = self._add(command, (), self._table, (), self._into.defaults)
        if unknown:
            key = min(unknown, key=lambda key: _line_of(self._text, key) or 0)
            raise UsageError(
                f"{_place(self._file, _line_of(self._text, key))} sets {'.'.join(key)!r}, which is no option",
                "see `mctool --help` for the names",
            )

    def _add(
        self, command: Any, path: CommandPath, table: dict[str, Any], above: tuple[str, ...], defaults: Defaults
    ) -> set[tuple[str, ...]]:
        """Fill ``defaults`` for a command and those below it; return the keys that none of them knows."""
        below: dict[str, Any] = getattr(command, "commands", {})
        names = configurable(command)
        options = {key: value for key, value in table.items() if not isinstance(value, dict)}
        unknown = {(*above, key) for key in options}
        for key in options.keys() & names.keys():
            param, full_key = names[key], (*above, key)
            origin = Origin(self._file, self._layer, _line_of(self._text, full_key), options[key])
            defaults[param.name] = self._value(command, param, full_key, options[key])
            self._into.origins[path, param.name] = origin
            unknown.discard(full_key)
        for name, inner in below.items():
            unknown &= self._add(inner, (*path, name), options, above, defaults.setdefault(name, {}))
        for name in table.keys() - options.keys():
            if name in below:
                unknown |= self._add(below[name], (*path, name), table[name], (*above, name), defaults[name])
            else:
                unknown.add((*above, name))
        return unknown

    def _value(self, command: Any, param: Any, key: tuple[str, ...], value: Any) -> Any:
        """A value, checked against the type of its option; a path counts from the directory of the file."""
        is_list, is_flag = bool(param.multiple), bool(getattr(param, "is_flag", False))
        wrong = None
        if isinstance(value, list) != is_list:
            wrong = f"is {'not ' if is_list else ''}a list"
        elif isinstance(value, bool) != is_flag:
            wrong = "is not true or false" if is_flag else "is true or false"
        else:
            try:
                param.process_value(typer.Context(command), value)
            except typer.TyperException as error:
                wrong = f"makes no sense: {getattr(error, 'message', error)}".rstrip(".")
        if wrong is not None:
            place = _place(self._file, _line_of(self._text, key))
            raise UsageError(f"the value of {'.'.join(key)!r} in {place} {wrong}", "correct it there")
        if key[-1] in _PATHS:
            return str(self._file.parent / Path(value).expanduser())
        return value


def _place(file: Path, line: int | None) -> str:
    return str(file) if line is None else f"{file}, line {line},"


def _line_of(text: str, key: tuple[str, ...]) -> int | None:
    """The line, from 1, on which a TOML file sets a key or begins a table; None for a key in an inline table."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if head := _TABLE.fullmatch(line):
            table = _parts(head[1])
            if table == key:
                return number
        elif (found := _KEY.match(line)) and (*table, *_parts(found[1])) == key:
            return number
    return None


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
