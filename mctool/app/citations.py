"""Which runs of raw text an answer rests on, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable

from mctool.engine.runs import RawRun
from mctool.tree import Tree

WORTHLESS_NATS = 0.05
"""A run that an answer loses no more than this without is not what it rests on."""

_ARTICLES = frozenset({"a", "an", "the"})


def runs_by_text(runs: list[RawRun], answer: str, tree: Tree) -> list[RawRun]:
    """All runs: those that say the answer first, then by score.

    A place in code, ``path:name``, is said nowhere: where the reader concludes it, the lens knows the place better.

    Args:
        runs: The raw runs of the working context.
        answer: Text.
        tree: What the runs are of.
    """
    wanted = _words(answer)

    def says(run: RawRun) -> bool:
        return bool(wanted.strip()) and wanted in _words(tree.text(run.first_block, run.end_block))

    return sorted(runs, key=lambda run: (not says(run), -run.score))


def runs_by_worth(runs: list[RawRun], worth: Callable[[RawRun], float]) -> list[tuple[RawRun, float]]:
    """The runs that are worth something to the answer with their nats, the best first; the best one in any case.

    Args:
        runs: The raw runs of the working context.
        worth: Nats that the answer loses without a run; called once for each.
    """
    measured = sorted(((run, worth(run)) for run in runs), key=lambda pair: -pair[1])
    return [(run, nats) for run, nats in measured if nats > WORTHLESS_NATS] or measured[:1]


def _words(text: str) -> str:
    """The words of a text without articles, each between spaces, so that a phrase is found only as whole words."""
    words = [word for word in re.findall(r"\w+", text.casefold()) if word not in _ARTICLES]
    return f" {' '.join(words)} "
