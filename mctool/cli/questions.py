"""The questions of one call of ``mctool ask``, each handed out as soon as it is there."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mctool.core.errors import SourceError, UsageError

_STDIN = "-"
_QUESTION_LINE = 'write {"id": ..., "question": ...} on each line'


@dataclass(frozen=True)
class Asked:
    """A question, and the id that its result carries; None for a single question."""

    text: str
    id: Any = None
    numbered: bool = False


def questions_of(question: str | None, file: Path | None) -> Iterator[Asked]:
    """The questions that were asked, one way or the other; none of them is empty.

    A single question, and those of a regular file, are read and checked at once. Of a pipe or a terminal, a line is
    read when the question on it is asked for, so that the other end may wait for an answer before it writes on.

    Raises:
        UsageError: There is not one way to ask, or a line is no question.
        SourceError: What holds the questions cannot be read.
    """
    if (question is None) == (file is None):
        raise UsageError("give either a QUESTION or --questions FILE")
    if file is not None:
        asked = _questions_in(file)
        return asked if str(file) == _STDIN or _is_pipe(file) else iter(list(asked))
    text = _decoded(_read_stdin(), "the question") if question == _STDIN else str(question)
    if not text.strip():
        raise UsageError("the question is empty", "ask something")
    return iter([Asked(text)])


def _questions_in(file: Path) -> Iterator[Asked]:
    is_empty = True
    what = f"--questions {file}"
    for number, line in enumerate(_lines(file), 1):
        text = _decoded(line, what)
        text = text.removeprefix("\ufeff") if number == 1 else text
        if text.strip():
            is_empty = False
            yield _numbered(number, text, file)
    if is_empty:
        raise UsageError(f"{what} holds no question", _QUESTION_LINE)


def _lines(file: Path) -> Iterator[bytes]:
    """Only line feeds end a line: JSON may hold other line separators as they are."""
    try:
        if str(file) == _STDIN:
            yield from sys.stdin.buffer
        else:
            with file.open("rb") as stream:
                yield from stream
    except OSError as error:
        raise _unreadable(f"--questions {file}", error) from error


def _is_pipe(file: Path) -> bool:
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError as error:
        raise _unreadable(f"--questions {file}", error) from error


def _numbered(number: int, line: str, file: Path) -> Asked:
    """The question on one line of a file."""
    try:
        record = json.loads(line)
        question = Asked(record["question"], record.get("id"), numbered=True)
        if question.text.strip():
            return question
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UsageError(f'line {number} of {file} is not a JSON object with a "question"', _QUESTION_LINE) from error
    raise UsageError(f"the question on line {number} of {file} is empty", _QUESTION_LINE)


def _read_stdin() -> bytes:
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise _unreadable("the question", error) from error


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"cannot read {what}: {error}", "write it in UTF-8") from error


def _unreadable(what: str, error: OSError) -> SourceError:
    return SourceError(f"cannot read {what}: {error.strerror or error}", "check the path")
