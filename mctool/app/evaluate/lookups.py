"""Questions that ask for a function: what its docstring says first. The docstring may be left in the text, or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mctool.sources.corpus import Question, Sample
from mctool.sources.docstrings import Documented, documented

MIN_LINES, MAX_LINES = 4, 150
"""Lines of the body of a function that is worth asking for."""


def worth_asking(text: str) -> Iterator[Documented]:
    """The functions of a Python file that are worth asking for, by what their docstrings say."""
    return (one for one in documented(text) if one.is_question and MIN_LINES <= one.body_lines <= MAX_LINES)


def asked_once(samples: Sequence[Sample]) -> list[Sample]:
    """The same samples without the questions that are asked for several functions."""
    counts = Counter(question.text for sample in samples for question in sample.questions)
    return [
        replace(sample, questions=[question for question in sample.questions if counts[question.text] == 1])
        for sample in samples
    ]


def documented_lookups(samples: Sequence[Sample]) -> list[Sample]:
    """The same texts with other questions: those that the docstrings in them make, which stay where they are."""
    return asked_once([replace(sample, questions=_in_place(sample), unanswerable=()) for sample in samples])


def _in_place(sample: Sample) -> list[Question]:
    return [
        Question(
            one.sentence, number, one.start, one.body[1], any_block=True,
            answer=f"{document.path}:{one.name}", def_start=one.start,
        )
        for number, document in enumerate(sample.documents)
        for one in worth_asking(document.text)
    ]  # fmt: skip
