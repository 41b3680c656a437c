"""Text to terms, the same for blocks and for questions.

Words are stemmed (Snowball, English). Identifiers are split at underscores and changes of case, and also kept whole, so
that "parse the JSON object" finds ``parseJSONObject`` and a question that names the identifier finds it best.
"""

from __future__ import annotations

import re
from functools import lru_cache

import snowballstemmer

TERMS_VERSION = 1
"""Grows when the same text would give other terms; an index made by another version is rebuilt."""

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
_DEFINITION = re.compile(
    r"^[ \t]*(?:(?:export|default|public|private|protected|internal|static|async|pub|final|abstract|unsafe|inline"
    r"|virtual|override)\s+)*"
    r"(?:def|class|fn|func|function|interface|struct|enum|trait|impl|type|module|macro_rules!)\s+\S.*$",
    re.MULTILINE,
)
_STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "may",
        "me",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "she",
        "should",
        "so",
        "some",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "us",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)
_stemmer = snowballstemmer.stemmer("english")


@lru_cache(maxsize=200_000)
def _terms_of_word(word: str) -> tuple[str, ...]:
    parts = [part.lower() for part in _PART.findall(word)]
    stems = tuple(_stemmer.stemWord(part) for part in parts)
    return (*stems, word.lower()) if len(parts) > 1 else stems


def terms(text: str) -> list[str]:
    """All terms of a text, in order, with repeats."""
    found: list[str] = []
    for word in _WORD.findall(text):
        found.extend(_terms_of_word(word))
    return found


def question_terms(question: str) -> list[str]:
    """The terms of a question that are worth looking up: no repeats, no stop words unless there is nothing else."""
    words = _WORD.findall(question)
    telling = [word for word in words if word.lower() not in _STOP_WORDS]
    return list(dict.fromkeys(term for word in telling or words for term in _terms_of_word(word)))


def definition_terms(text: str) -> list[tuple[int, list[str]]]:
    """Lines that define a symbol: (character at which the line begins, terms of the line)."""
    return [(match.start(), terms(match[0])) for match in _DEFINITION.finditer(text)]
