"""Where the terms of a question stand in the live timeline: what the lexical index tells the lens."""

from __future__ import annotations

from dataclasses import dataclass

from mctool.core.timeline import IntArray


@dataclass(frozen=True)
class TermHits:
    """The places of one term. All arrays hold ranks of live blocks (see ``Timeline.rank``), ascending, without repeats.

    Attributes:
        term: The term, stemmed.
        blocks: Blocks whose text holds it.
        definitions: Blocks in which a line that defines a symbol (``def``, ``class``, ``func``, ...) holds it.
        documents: Indices of live documents whose path holds it.
    """

    term: str
    blocks: IntArray
    definitions: IntArray
    documents: IntArray
