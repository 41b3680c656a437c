"""Pictures of what Rich draws in a terminal: one, or several that follow each other as an animation."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments

from mctool.render.safe_text import safe_line

_FONTS = re.compile(r"@font-face\s*\{[^}]*\}")
_LINE_ENDS = re.compile(r"<text [^>]*>\n</text>")
_INNER = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
_VIEW = re.compile(r'viewBox="[^"]*"')


def picture_console(columns: int) -> Console:
    """A console that draws for :func:`export_svg` alone."""
    return Console(
        file=io.StringIO(), record=True, width=columns, highlight=False, color_system="truecolor", force_terminal=True,
        no_color=False,
    )  # fmt: skip


def export_svg(console: Console, title: str) -> str:
    """What was printed on a console of :func:`picture_console` as SVG; it fetches no fonts."""
    return _svg(console, title, "mctool")


@dataclass(frozen=True)
class Frame:
    """What is shown for some seconds."""

    parts: Sequence[RenderableType]
    seconds: float


def export_animation(frames: Sequence[Frame], columns: int, title: str) -> str:
    """Frames as one SVG that shows them in turn, again and again, without a script.

    Whoever has asked for reduced motion, and whatever does not animate, shows the last frame alone.

    Args:
        frames: At least one; the last one should tell the most.
        columns: Width of the terminal.
        title: Its title.
    """
    consoles = []
    for frame in frames:
        consoles.append(console := picture_console(columns))
        for part in frame.parts:
            console.print(Segments(Segment.simplify(console.render(part))), end="")
    heights = [console.file.getvalue().count("\n") for console in consoles]  # type: ignore[attr-defined]
    for console, height in zip(consoles, heights, strict=True):
        if height < max(heights):
            console.print("\n" * (max(heights) - height), end="")
    pictures = [_svg(console, title, f"mctool-{number}") for number, console in enumerate(consoles)]
    groups = [
        f'<g class="frame frame-{number}">{match[1]}</g>'
        for number, picture in enumerate(pictures)
        if (match := _INNER.search(picture))
    ]
    view = _VIEW.search(pictures[0])
    style = _timing([frame.seconds for frame in frames])
    return (
        f'<svg class="rich-terminal" {view[0] if view else ""} role="img" xmlns="http://www.w3.org/2000/svg">\n'
        f"<style>{style}</style>\n" + "\n".join(groups) + "\n</svg>\n"
    )


def _svg(console: Console, title: str, unique_id: str) -> str:
    return _LINE_ENDS.sub("", _FONTS.sub("", console.export_svg(title=safe_line(title), unique_id=unique_id)))


def _timing(seconds: Sequence[float]) -> str:
    """Style by which each frame is seen for its share of the time."""
    total = sum(seconds)
    ends = [100 * end / total for end in accumulate(seconds)]
    last = len(seconds) - 1
    rules = [".frame{visibility:hidden}", f".frame-{last}{{visibility:visible}}"]
    moving = []
    for number, (start, end) in enumerate(zip([0.0, *ends], ends, strict=False)):
        before = "0%{visibility:hidden}" if number else ""
        after = "" if number == last else f"{end:.3f}%,100%{{visibility:hidden}}"
        moving.append(f"@keyframes frame-{number}{{{before}{start:.3f}%{{visibility:visible}}{after}}}")
        moving.append(f".frame-{number}{{animation:frame-{number} {total:g}s step-end infinite}}")
    return "".join([*rules, "@media (prefers-reduced-motion:no-preference){", *moving, "}"])
