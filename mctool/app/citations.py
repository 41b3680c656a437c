"""Which runs of raw text an answer rests on, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable

from mctool.engine.runs import RawRun
from mctool.tree import Tree

WORTHLESS_NATS = 0.05
"""A run that an answer loses no more than this without is not what it rests on."""

_ARTICLES = frozenset({"a", "an", "the"})
_PLACE = re.compile(r"(\S.*):([^\W\d][\w.]*)")
_DEFINES = r"\b(?:class|def|enum|fn|func|function|impl|interface|module|struct|trait|type)\s+{name}\b"


def runs_by_text(runs: list[RawRun], answer: str, tree: Tree) -> list[RawRun]:
    """All runs: those that say the answer first, then by score.

    Args:
        runs: The raw runs of the working context.
        answer: Text; or ``path:name``, said by the runs of that document that define or mention the name.
        tree: What the runs are of.
    """
    rank = _rank_of(answer, tree)
    return sorted(runs, key=lambda run: (rank(run), -run.score))


def runs_by_worth(runs: list[RawRun], worth: Callable[[RawRun], float]) -> list[tuple[RawRun, float]]:
    """The runs that are worth something to the answer with their nats, the best first; the best one in any case.

    Args:
        runs: The raw runs of the working context.
        worth: Nats that the answer loses without a run; called once for each.
    """
    measured = sorted(((run, worth(run)) for run in runs), key=lambda pair: -pair[1])
    return [(run, nats) for run, nats in measured if nats > WORTHLESS_NATS] or measured[:1]


def _rank_of(answer: str, tree: Tree) -> Callable[[RawRun], int]:
    """How well a run says an answer; 0 is best."""
    place = _PLACE.fullmatch(answer.strip().rstrip("()"))
    paths = [document.path for document in tree.documents]
    if place and any(_is_path(path, place[1]) for path in paths):
        own_name = re.escape(place[2].strip(".").rpartition(".")[2])
        says = [re.compile(_DEFINES.format(name=own_name)), re.compile(rf"\b{own_name}\b"), re.compile("")]

        def rank_as_place(run: RawRun) -> int:
            text = tree.text(run.first_block, run.end_block)
            here = _is_path(paths[run.document], place[1])
            return next((rank for rank, pattern in enumerate(says) if here and pattern.search(text)), len(says))

        return rank_as_place

    wanted = _words(answer)

    def rank_as_text(run: RawRun) -> int:
        return 0 if wanted.strip() and wanted in _words(tree.text(run.first_block, run.end_block)) else 1

    return rank_as_text


def _is_path(path: str, said: str) -> bool:
    """Whether a document's path is the one that was said, or ends with it."""
    return path == said or path.endswith(f"/{said}")


def _words(text: str) -> str:
    """The words of a text without articles, each between spaces, so that a phrase is found only as whole words."""
    words = [word for word in re.findall(r"\w+", text.casefold()) if word not in _ARTICLES]
    return f" {' '.join(words)} "
