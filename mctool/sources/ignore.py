"""Ignore files with the semantics of git: nested, the deepest rule that speaks decides, ``!`` takes a rule back.

As in git, nothing below an ignored directory can be taken back, because the walk never enters it.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

GIT_IGNORE = ".gitignore"
OWN_IGNORE = ".mctoolignore"


@dataclass(frozen=True)
class IgnorePattern:
    """One line of an ignore file.

    Attributes:
        regex: Has to match the whole path of what is ignored, without a slash at the end.
        ignore: True ignores what matches, False takes it back.
        directories_only: Matches no files.
    """

    regex: re.Pattern[str]
    ignore: bool
    directories_only: bool


@dataclass(frozen=True)
class IgnoreRules:
    """The rules of one ignore file, on top of the weaker rules that hold above it.

    Attributes:
        prefix: Directory that the patterns are relative to: absolute, with a slash at the end.
        patterns: The patterns, weakest first.
        above: Rules asked when these say nothing.
    """

    prefix: str
    patterns: tuple[IgnorePattern, ...]
    above: IgnoreRules | None = None

    @classmethod
    def of_lines(cls, directory: Path, lines: Iterable[str], above: IgnoreRules | None = None) -> IgnoreRules | None:
        """Rules whose patterns are relative to ``directory``; just ``above`` when no line says anything."""
        patterns = tuple(pattern for line in lines if (pattern := compile_pattern(line)) is not None)
        prefix = os.path.join(directory, "")  # noqa: PTH118  (Path drops the slash)
        return cls(prefix, patterns, above) if patterns else above


def ignores(rules: IgnoreRules | None, path: Path, is_directory: bool) -> bool:
    """Whether the rules ignore ``path`` (absolute) itself; its parents are taken to be not ignored."""
    target = str(path)
    while rules is not None:
        relative = target[len(rules.prefix) :]
        for pattern in reversed(rules.patterns):
            if (is_directory or not pattern.directories_only) and pattern.regex.fullmatch(relative):
                return pattern.ignore
        rules = rules.above
    return False


def compile_pattern(line: str) -> IgnorePattern | None:
    """One line of an ignore file; None for blanks, comments and what git takes for a pattern that matches nothing.

    pathspec knows the syntax, but its patterns also match all that is below a match, in one file at a time. A walk
    with nested ignore files asks about one name at a time, so the tail of a pattern is put such that it matches
    the path itself and nothing below: ``a/**`` becomes ``a/**/?*``.
    """
    line = line.removesuffix("\r")
    if not line.endswith("\\ "):
        line = line.rstrip(" ")
    body = line.removesuffix("/")
    head, slash, tail = body.rpartition("/")
    bang = "!" if not slash and tail.startswith("!") else ""
    if tail.removeprefix(bang) == "**":
        body += "/?*"
    elif tail.removeprefix(bang) == "*":
        body = f"{head}{slash}{bang}?*"
    with warnings.catch_warnings():
        # `[[:alpha:]]` compiles with a warning about Python's own future syntax.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            pattern = GitIgnoreSpecPattern(body)
        except (ValueError, re.error):
            return None
    if pattern.include is None or pattern.regex is None:
        return None
    return IgnorePattern(pattern.regex, pattern.include, directories_only=line.endswith("/"))


def read_rules(file: Path, directory: Path, above: IgnoreRules | None) -> IgnoreRules | None:
    """The rules of an ignore file on top of ``above``; just ``above`` when there is no such file or it is empty.

    Args:
        file: The ignore file.
        directory: What its patterns are relative to.
        above: Weaker rules.

    Raises:
        OSError: The file is there and cannot be read; going on without its rules could read what is meant to stay out.
    """
    try:
        data = file.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return above
    # Names that are not UTF-8 come from the system with surrogate escapes; patterns have to look the same.
    return IgnoreRules.of_lines(directory, data.decode("utf-8-sig", "surrogateescape").split("\n"), above)


def repository_rules(directory: Path) -> IgnoreRules | None:
    """Rules that a git repository keeps in .git/info/exclude; the weakest of its rules."""
    return read_rules(directory / ".git" / "info" / "exclude", directory, None)


def inherited_rules(directory: Path, name: str) -> IgnoreRules | None:
    """Rules that the enclosing git repository sets from above ``directory``.

    A directory that is itself ignored, but was named by the user, inherits nothing: naming it is the stronger word.

    Args:
        directory: Absolute path.
        name: Name of the ignore files, ``GIT_IGNORE`` or ``OWN_IGNORE``.

    Raises:
        OSError: An ignore file cannot be read.
    """
    lineage = [directory, *directory.parents]
    depth = next((i for i, ancestor in enumerate(lineage) if (ancestor / ".git").exists()), None)
    if depth is None:
        return None
    rules = repository_rules(lineage[depth]) if name == GIT_IGNORE else None
    for i in range(depth, 0, -1):
        rules = read_rules(lineage[i] / name, lineage[i], rules)
        if ignores(rules, lineage[i - 1], is_directory=True):
            return None
    return rules
