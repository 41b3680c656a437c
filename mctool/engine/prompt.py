"""The words around the history: a plain prompt, with the question nearest to the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mctool.core.config import AnswerStyle
from mctool.nets.tokenizer import TextTokenizer

Style = Literal["short", "long"]
"""A name, a number, a few words; or whole sentences."""

HEAD = "Text: "
GAP = " ... "
_QUESTION = "\nQuestion: "
TAILS: dict[Style, str] = {
    "short": _QUESTION + "{question}\nShort answer:",
    "long": _QUESTION + "{question}\nAnswer:",
}


@dataclass(frozen=True)
class Turn:
    """A question that was asked before, and its answer; None where the documents did not say."""

    question: str
    answer: str | None


_ASKED = r"(?:please\s+|(?:can|could|would|will)\s+you\s+(?:please\s+)?)?"
_EXPLAIN = re.compile(
    rf"""
      # At the start of a sentence.
      (?:^|[.?!:;\n]) \W* {_ASKED} (?:
        (?:explain|describe|summari[sz]e|outline|compare|discuss|list)\s | tell\s+(?:me|us)\s+(?:about|how|why)\b
      )
      # There, or after a comma.
    | (?:^|[.?!:;\n,]) \W* (?:
        why\b | how\s+(?:is|are|was|were|has|have|had|to|come)\b
      | what\s+(?:happens|happened|(?:is|was)\s+happening|(?:will|would|can|could|may|might|did)\s+happen)\b
      | what\s+(?:do|does|did)\s[^.?!]+(?<!\bto)\sdo
          (?=\W*$ | [.?!,:;)] | \s+(?:about|after|at|before|for|if|in|next|on|then|there|to|when|while|with)\b)
      | what\s+(?:is|are|was|were)\s+the\s+(?:differences?|purpose)\b
      | what\s+(?:is|are)\s+\S+\s+for\b
      )
      # Anywhere: the order of words is that of a question.
    | \b(?:how|why)\s+(?:do|does|did|can|could|should|would)\b
    | \b(?:and|or|but)\s+(?:how|why)\W*$
    """,
    re.IGNORECASE | re.VERBOSE,
)


def style_of(question: str) -> Style:
    """Whether a question asks for an explanation, or for a name, a number or a place."""
    return "long" if _EXPLAIN.search(question) else "short"


def chosen_style(question: str, style: AnswerStyle) -> Style:
    """The style that a setting means for a question."""
    return style_of(question) if style == "auto" else style


def name_line(path: str) -> str:
    """What stands before the first run of a document in a window."""
    return f"[{path}]\n"


def tail_ids(tokenizer: TextTokenizer, question: str, style: Style = "short") -> list[int]:
    """Token ids of what stands after the history."""
    return tokenizer.encode(TAILS[style].format(question=question))


def after_turns(turns: Sequence[Turn], question: str) -> str:
    """A question with the answered turns before it, as it is put into a prompt; the question itself without any."""
    told = [
        TAILS[style_of(turn.question)].format(question=turn.question) + f" {turn.answer}"
        for turn in turns
        if turn.answer
    ]
    return "".join([*told, f"{_QUESTION}{question}"]).removeprefix(_QUESTION)


def prompt_ids(tokenizer: TextTokenizer, question: str, style: Style = "short") -> tuple[list[int], list[int]]:
    """Token ids before the history and after it."""
    return tokenizer.encode(HEAD), tail_ids(tokenizer, question, style)
