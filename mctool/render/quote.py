"""Text of a document, quoted below the line that says where it stands."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mctool.render.palette import FAINT
from mctool.render.safe_text import safe_text

INDENT = "    "
FEWEST_LINES = 3
"""A start, a gap and an end."""


@dataclass(frozen=True)
class Quote:
    """A Rich renderable: safe, indented, wrapped to the width, and shortened in the middle to ``max_lines`` lines.

    Raises:
        ValueError: ``max_lines`` is below 3.
    """

    text: str
    max_lines: int

    def __post_init__(self) -> None:
        if self.max_lines < FEWEST_LINES:
            raise ValueError(f"{self.max_lines} lines cannot show a start, a gap and an end; {FEWEST_LINES} can")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of the quote."""
        quoted = Text(safe_text(self.text).strip("\n"), overflow="fold")
        lines = list(quoted.wrap(console, max(options.max_width - len(INDENT), 1)))
        left_out = len(lines) - self.max_lines + 1
        head = self.max_lines // 2
        if left_out > 1:
            lines[head : head + left_out] = [Text(f"… {left_out} more lines …", FAINT)]
        for line in lines:
            line.rstrip()
            yield Text(INDENT if line else "", no_wrap=True).append_text(line)
