"""Defaults of options from configuration files: ``mctool.toml`` of the project, ``config.toml`` of the user.

Keys are long option names without the dashes. A key at the top is for all commands that have the option, a table such
as ``[ask]`` for one command. The project's file goes before the user's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from platformdirs import user_config_dir

from mctool.core.errors import UsageError

PROJECT_FILE = "mctool.toml"
USER_FILE = "config.toml"

Defaults = dict[str, Any]
"""Parameter name -> value, and command name -> the same for that command; what click calls a default map."""

_PATHS = frozenset({"tree"})
"""Options whose relative value counts from the directory of the file that gives it."""


def read_defaults(command: Any, start: Path) -> Defaults:
    """Defaults for all commands below ``command``.

    Args:
        command: The command group of the program.
        start: Where the search for the project's file begins, upward.

    Raises:
        UsageError: A file cannot be read, is not TOML, or has a key that is no option.
    """
    defaults: Defaults = {}
    for file in _files(start):  # the user's first, so that the project's goes over it
        table = _read(file)
        unknown = _add(command, table, file, defaults)
        if unknown:
            raise UsageError(f"{file} sets {unknown[0]!r}, which is no option", "see `mctool --help` for the names")
    return defaults


def _files(start: Path) -> Iterable[Path]:
    places = (start, *start.parents)
    project = next((place / PROJECT_FILE for place in places if (place / PROJECT_FILE).is_file()), None)
    user = Path(user_config_dir("mctool", appauthor=False)) / USER_FILE
    return [file for file in (user, project) if file is not None and file.is_file()]


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "check its permissions") from error
    except ValueError as error:
        raise UsageError(f"{file} is not TOML: {error}", "correct or remove it") from error


def _add(command: Any, table: dict[str, Any], file: Path, defaults: Defaults) -> list[str]:
    """Fill ``defaults`` for a command and those below it; return the keys that none of them knows."""
    below: dict[str, Any] = getattr(command, "commands", {})
    names = {option[2:]: param.name for param in command.params for option in param.opts if option.startswith("--")}
    names.pop("version", None)
    options = {key: value for key, value in table.items() if not isinstance(value, dict)}
    unknown = set(options)
    for key in options.keys() & names.keys():
        is_path = key in _PATHS and isinstance(options[key], str)
        defaults[names[key]] = str(file.parent / Path(options[key]).expanduser()) if is_path else options[key]
        unknown.discard(key)
    for name, inner in below.items():
        unknown &= set(_add(inner, options, file, defaults.setdefault(name, {})))
    for name in table.keys() - options.keys():
        if name in below:
            unknown |= {f"{name}.{key}" for key in _add(below[name], table[name], file, defaults[name])}
        else:
            unknown.add(name)
    return sorted(unknown)
