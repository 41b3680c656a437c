"""How right an answer is: the scores of SQuAD, and for lookups in code whether the right function is named."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NAMED = re.compile(r"([^\s\"'`:()\[\]]+):([^\W\d]\w*(?:\.[^\W\d]\w*)*)")
"""``path/of/file.py:Qualified.name`` anywhere in a text."""


def words(text: str) -> list[str]:
    """The words that are compared: lower case, without ASCII punctuation and the articles a, an and the.

    Source: the evaluation script of SQuAD 1.1 (Rajpurkar et al. 2016).
    """
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def f1(answer: str, golds: Iterable[str]) -> float:
    """Harmonic mean of precision and recall of words, the best over the right answers.

    Where a side has no words, 1 if both have none, else 0.
    """
    return max(_f1(words(answer), words(gold)) for gold in golds)


def exact_match(answer: str, golds: Iterable[str]) -> float:
    """1 when the words are those of one of the right answers, else 0."""
    found = words(answer)
    return float(any(found == words(gold) for gold in golds))


def names_function(answer: str, gold: str) -> bool:
    """Whether an answer names a function as ``PATH:Qualified.name`` does.

    Of the path the end is enough, from the file name on, and more directories before it do not matter; likewise for the
    class before the function's own name.

    Args:
        answer: Any text.
        gold: ``PATH:Qualified.name``.
    """
    path, _, name = gold.rpartition(":")
    return any(
        _same_end(found_path.split("/"), path.split("/")) and _same_end(found_name.split("."), name.split("."))
        for found_path, found_name in _NAMED.findall(answer)
    )


def _f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    common = (Counter(found) & Counter(wanted)).total()
    return 2 * common / (len(found) + len(wanted))


def _same_end(one: list[str], other: list[str]) -> bool:
    """Whether the shorter of two rows of parts is the end of the other."""
    shared = min(len(one), len(other))
    return one[-shared:] == other[-shared:]
