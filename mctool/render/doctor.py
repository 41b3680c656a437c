"""What ``mctool doctor`` found, as lines that a bug report can take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from mctool.render.palette import BOLD, FAINT, PLACE
from mctool.render.safe_text import safe_line

MARKS = {"ok": " ", "note": "!", "broken": "x"}
_STYLES = {"ok": "", "note": PLACE, "broken": BOLD}


class Found(Protocol):
    """One thing that was looked at."""

    @property
    def section(self) -> str:
        """What it belongs to."""
        ...

    @property
    def name(self) -> str:
        """What it is."""
        ...

    @property
    def value(self) -> str:
        """What was found."""
        ...

    @property
    def state(self) -> str:
        """``ok``, ``note`` or ``broken``."""
        ...

    @property
    def fix(self) -> str | None:
        """What to do about it."""
        ...


def render_findings(findings: Sequence[Found]) -> Group:
    """Draw findings, one a line; ``!`` marks what may surprise and ``x`` what is broken."""
    names = max((cell_len(safe_line(one.name)) for one in findings), default=0)
    sections = max((cell_len(one.section) for one in findings), default=0)
    lines, last = [], ""
    for one in findings:
        section = one.section if one.section != last else ""
        line = Text(f"{MARKS[one.state]} {section:{sections}} {set_cell_size(safe_line(one.name), names)} ")
        line.append(safe_line(one.value), _STYLES[one.state])
        if one.fix is not None:
            line.append(f"; {safe_line(one.fix)}", FAINT)
        lines.append(line)
        last = one.section
    return Group(*lines)
