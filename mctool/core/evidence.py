"""What is known of a question from the tree: where its terms stand, and how well it is met."""

from __future__ import annotations

from dataclasses import dataclass

from mctool.core.timeline import IntArray


@dataclass(frozen=True)
class Evidence:
    """How well a window fits a question, by what the lens found, before anything is read.

    Attributes:
        share: Share of the question's terms that the window shows, each by its rarity, from 0 to 1.
        similarity: Cosine of the question and the key in the tree that is most like it, from -1 to 1.
    """

    share: float
    similarity: float


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
