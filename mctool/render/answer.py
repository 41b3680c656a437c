"""Citations as text: where each run of raw text stands, what it says, and what it is worth to the answer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from mctool.core.records import Citation
from mctool.render.palette import FAINT, PLACE
from mctool.render.quote import Quote
from mctool.render.safe_text import safe_line

MAX_LINES = 8
"""Most lines of the terminal that the quoted text of one citation takes."""


def citation_place(citation: Citation) -> str:
    """Where a citation stands: ``book.pdf p. 12``, else ``path:start-end`` in lines from 1; safe for a terminal."""
    if citation.place is not None:
        return f"{safe_line(citation.path)} {safe_line(citation.place)}"
    return f"{safe_line(citation.path)}:{citation.start_line}-{citation.end_line}"


def render_citations(citations: Sequence[Citation], *, max_lines: int = MAX_LINES) -> Group:
    """Draw citations in the given order, numbered, each with its quoted text; print the result with Rich.

    Args:
        citations: What the answer rests on.
        max_lines: Most lines of text for each, at least 3; longer text is shortened in the middle.

    Raises:
        ValueError: ``max_lines`` is below 3.
    """
    parts: list[Text | Quote] = []
    for number, citation in enumerate(citations, 1):
        head = Text(f"[{number}] ", overflow="fold")
        head.append(citation_place(citation), PLACE)
        if citation.delta_nats is not None:
            head.append(f"  worth {citation.delta_nats:.2f} nats", FAINT)
        parts += [head, Quote(citation.text, max_lines)]
    return Group(*parts) if parts else Group(Text("no citations", FAINT))


def render_nearest(passages: Sequence[Citation]) -> Group:
    """Draw what was found where it does not hold an answer; at least one passage."""
    return Group(Text("Nearest passages:", FAINT), render_citations(passages))
