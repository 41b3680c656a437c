"""Pictures of what Rich draws in a terminal."""

from __future__ import annotations

import io
import re

from rich.console import Console

from mctool.render.safe_text import safe_line

_FONTS = re.compile(r"@font-face\s*\{[^}]*\}")


def picture_console(columns: int) -> Console:
    """A console that draws for :func:`export_svg` alone."""
    return Console(
        file=io.StringIO(), record=True, width=columns, highlight=False, color_system="truecolor", force_terminal=True,
        no_color=False,
    )  # fmt: skip


def export_svg(console: Console, title: str) -> str:
    """What was printed on a console of :func:`picture_console` as SVG; it fetches no fonts."""
    return _FONTS.sub("", console.export_svg(title=safe_line(title), unique_id="mctool"))
