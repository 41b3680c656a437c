"""Several questions in a row, of which later ones may lean on earlier ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mctool.core.records import AskReport
from mctool.engine.prompt import Turn

MOST_TURNS = 3
"""Turns that a follow-up can carry: earlier ones are hardly meant, and every one takes room in the prompt."""

_SHORT = 3
"""``Why?``, ``Where exactly?``, ``Tell me more``: questions this short may have no subject of their own."""

_REFERS = re.compile(
    r"""
      ^\W*(?:and|but|or|so|then|also|(?:what|how)\s+about|what\s+else|who\s+else|why\s+not)\b
    | \b(?:he|she|it|they|him|her|hers|them|his|its|their|theirs)\b
    | \b(?:this|that|these|those)(?=\W*$|\s+(?:is|are|was|were|do|does|did|has|had|can|could|means?|works?|happen\w*)\b)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SMALL = frozenset(
    """a an and are be can could did do does else exactly for how i in is me more not of on or please so tell the
    then there to was were what when where which who whom whose why will with would you""".split()  # noqa: SIM905
)


def refers_back(question: str) -> bool:
    """Whether a question leans on an earlier one: by a pronoun, by how it begins, or by saying nearly nothing."""
    words = [word for word in re.findall(r"\w+", question.casefold()) if word not in _SMALL]
    return (not words and len(question.split()) <= _SHORT) or bool(_REFERS.search(question))


def topic_of(turns: Sequence[Turn], question: str) -> tuple[Turn, ...]:
    """The earlier turns that a question follows up: back to the last one that stood for itself; none when it does so.

    Args:
        turns: All earlier turns, in order.
        question: What is asked now.
    """
    topic: list[Turn] = []
    asked = question
    for turn in reversed(turns):
        if not refers_back(asked) or len(topic) == MOST_TURNS:
            break
        topic.insert(0, turn)
        asked = turn.question
    return tuple(topic)


@dataclass
class Dialogue:
    """The turns so far."""

    turns: list[Turn] = field(default_factory=list)

    def topic(self, question: str) -> tuple[Turn, ...]:
        """The turns that a question follows up."""
        return topic_of(self.turns, question)

    def add(self, report: AskReport) -> None:
        """Take in a turn that is over."""
        self.turns.append(Turn(report.question, report.answer if report.supported else None))
