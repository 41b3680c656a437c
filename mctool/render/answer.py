"""Citations as text: where each run of raw text stands, what it says, and what it is worth to the answer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.text import Text

from mctool.core.records import Citation
from mctool.render.safe_text import safe_line, safe_text, shorten_lines

MAX_LINES = 8
"""Most lines that are quoted of one citation."""

_PLACE = Style(color="#268bd2", bold=True)
_FAINT = Style(color="#839496")


def citation_place(citation: Citation) -> str:
    """Where a citation stands, as ``path:start-end``: lines from 1, both inclusive; safe for a terminal."""
    return f"{safe_line(citation.path)}:{citation.start_line}-{citation.end_line}"


def render_citations(citations: Sequence[Citation], *, max_lines: int = MAX_LINES) -> RenderableType:
    """Draw citations in the given order, numbered, each with its quoted text, shortened in the middle.

    Args:
        citations: What the answer rests on.
        max_lines: Most lines of text for each, at least 3.

    Raises:
        ValueError: ``max_lines`` is below 3.
    """
    if not citations:
        return Text("no citations", _FAINT)
    parts: list[RenderableType] = []
    for number, citation in enumerate(citations, 1):
        head = Text(f"[{number}] ")
        head.append(citation_place(citation), _PLACE)
        if citation.delta_nats is not None:
            head.append(f"  worth {citation.delta_nats:.2f} nats", _FAINT)
        head.overflow = "fold"
        parts += [head, _quote(citation.text, max_lines)]
    return Group(*parts)


def _quote(text: str, max_lines: int) -> RenderableType:
    quoted = Text("\n".join(shorten_lines(safe_text(text), max_lines)), overflow="fold")
    return Padding(quoted, (0, 0, 0, 4))
