"""Where the program writes: results on stdout; notes, warnings and progress on stderr.

Rich takes care of ``NO_COLOR``, ``TERM=dumb`` and output that is not a terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from rich.console import Console


class PipeConsole(Console):
    """A Rich console that tells its caller about a closed pipe instead of ending the program."""

    def on_broken_pipe(self) -> NoReturn:
        """Called by Rich within the handling of the BrokenPipeError, which goes on."""
        raise BrokenPipeError


def output_console() -> Console:
    """Console on stdout, for results. Words are not coloured on their own; lines are wrapped by the terminal."""
    return PipeConsole(file=sys.stdout, highlight=False, soft_wrap=True)


def note_console(quiet: bool = False) -> Console:
    """Console on stderr, for all that is not the result; without effect when ``quiet``."""
    return PipeConsole(file=sys.stderr, highlight=False, soft_wrap=True, quiet=quiet)


def reporter(quiet: bool) -> Callable[[str], None]:
    """A function that prints one line of plain text on stderr, unless ``quiet``."""
    console = note_console(quiet)

    def report(line: str) -> None:
        from mctool.render.safe_text import safe_line

        console.print(safe_line(line), style="dim", markup=False)

    return report


def print_json(value: Any) -> None:
    """Print plain JSON types as one line on stdout, at once: the next program may be waiting for it."""
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    # A file name that is no Unicode can only be written escaped.
    text = json.dumps(value, ensure_ascii=False)
    if not is_unicode or not _is_encodable(text):
        text = json.dumps(value)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def progress_bar(what: str, unit: str, quiet: bool = False, scale: int = 1) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while the body runs, shown only on a terminal that can move its cursor, not when ``quiet``.

    Args:
        what: What goes on.
        unit: What is counted; numbers get the prefixes k and M.
        quiet: Show nothing.
        scale: Units for each step that is reported.

    Yields:
        A function that takes (steps done, steps known so far).
    """
    from tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"
    with tqdm(
        total=0, desc=what, unit=unit, unit_scale=True, disable=hidden, file=sys.stderr, leave=False, delay=0.5
    ) as bar:

        def show(done: int, known: int) -> None:
            bar.total = known * scale
            bar.update(done * scale - bar.n)

        yield show


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
