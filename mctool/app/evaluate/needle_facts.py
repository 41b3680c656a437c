"""Needles: made-up sentences that nothing but themselves can tell, and a question about each.

Source: needle in a haystack (Kamradt 2023) and RULER (Hsieh et al. 2024, sec. 3); differs: sentences are worded as
people write, names and numbers are drawn for each needle, and tracking asks for the value at the end of two links.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mctool.core.errors import UsageError

NeedleKind = Literal["pass-key", "fact", "multi-key", "tracking"]
KINDS: tuple[NeedleKind, ...] = get_args(NeedleKind)
DISTRACTORS = 3
"""Keys of a multi-key needle that nobody asks for."""

_ADJECTIVES = (
    "amber", "ancient", "azure", "brittle", "crimson", "crooked", "dusty", "eastern", "frozen", "gilded", "hollow",
    "ivory", "lonely", "marble", "northern", "quiet", "rusty", "silver", "velvet", "windy",
)  # fmt: skip
_PLACES = (
    "abbey", "archive", "bakery", "boathouse", "brewery", "chapel", "foundry", "granary", "harbour office",
    "lighthouse", "mill", "museum", "observatory", "orchard", "quarry", "sawmill", "tannery", "tower", "vineyard",
    "well",
)  # fmt: skip
_ONSETS = ("b", "br", "d", "dr", "f", "g", "gr", "h", "k", "kl", "l", "m", "n", "p", "r", "st", "t", "tr", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u")
_ENDINGS = ("ck", "ld", "lm", "n", "nd", "r", "rn", "s", "st", "x")
_FACTS = (
    ("The old clock of {town} was built by {person}.", "Who built the old clock of {town}?", "person"),
    ("The ferry to {town} leaves from {other}.", "Where does the ferry to {town} leave from?", "other"),
    ("{person} is buried in {town}.", "Where is {person} buried?", "town"),
    ("The winner of the {town} regatta was {person}.", "Who was the winner of the {town} regatta?", "person"),
)


@dataclass(frozen=True)
class Needle:
    """What is hidden, and what is asked about it.

    Attributes:
        kind: What it tests.
        sentence: Holds the answer, and stands at the depth that is measured.
        links: Further sentences that the answer needs, somewhere in the text.
        distractors: Sentences of the same form that the answer does not need, somewhere in the text.
        question: What is asked.
        answer: The only right answer.
    """

    kind: NeedleKind
    sentence: str
    question: str
    answer: str
    links: tuple[str, ...] = ()
    distractors: tuple[str, ...] = ()


def require_kind(kind: str) -> None:
    """Raise a UsageError unless there are needles of this kind."""
    if kind not in KINDS:
        raise UsageError(f"--kind {kind} is not one of {', '.join(KINDS)}")


def make_needle(kind: NeedleKind, rng: np.random.Generator) -> Needle:
    """Draw a needle; one that was drawn before comes up again only by chance."""
    if kind == "fact":
        return _fact(rng)
    if kind == "tracking":
        return _tracking(rng)
    n_keys = 1 + (DISTRACTORS if kind == "multi-key" else 0)
    names = rng.choice(len(_ADJECTIVES) * len(_PLACES), n_keys, replace=False).tolist()
    owners = [f"{_ADJECTIVES[name % len(_ADJECTIVES)]} {_PLACES[name // len(_ADJECTIVES)]}" for name in names]
    keys = _numbers(rng, n_keys)
    sentences = [f"The pass key of the {owner} is {key}." for owner, key in zip(owners, keys, strict=True)]
    question = f"What is the pass key of the {owners[0]}?"
    return Needle(kind, sentences[0], question, keys[0], distractors=tuple(sentences[1:]))


def _fact(rng: np.random.Generator) -> Needle:
    sentence, question, wanted = _FACTS[rng.integers(len(_FACTS))]
    words = {"town": _name(rng), "other": _name(rng), "person": f"{_name(rng)} {_name(rng)}"}
    return Needle("fact", sentence.format(**words), question.format(**words), words[wanted])


def _tracking(rng: np.random.Generator) -> Needle:
    """The value stands at the depth that is measured; the link that leads to it stands elsewhere."""
    first, last, (value,) = _name(rng).upper(), _name(rng).upper(), _numbers(rng, 1)
    return Needle(
        "tracking",
        f"The variable {first} has the value {value}.",
        f"What is the value of the variable {last}?",
        value,
        links=(f"The variable {last} has the value of the variable {first}.",),
    )


def _numbers(rng: np.random.Generator, n: int) -> list[str]:
    return [str(number) for number in 10_000 + rng.choice(90_000, n, replace=False)]


def _name(rng: np.random.Generator) -> str:
    """A name that no language has, of two or three syllables."""
    syllables = (f"{rng.choice(_ONSETS)}{rng.choice(_VOWELS)}" for _ in range(rng.integers(2, 4)))
    return f"{''.join(syllables)}{rng.choice(_ENDINGS)}".capitalize()
