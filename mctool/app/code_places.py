"""What a window of code shows, by name: a small reader that is asked for a function tends to make up a name for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mctool.engine.runs import RawRun
from mctool.sources.definitions import definitions_around
from mctool.sources.names import is_code
from mctool.tree import Tree

_SPACE = re.compile(r"\s+")
_MADE_UP = re.compile(r"\S*:\s?\w|:?$|```")


@dataclass(frozen=True)
class CodePlaces:
    """Functions and classes of a window.

    Attributes:
        names: As in ``path:Class.method``; at least one.
        text: The raw text of the window.
    """

    names: tuple[str, ...]
    text: str

    def meant(self, answer: str) -> tuple[str, ...]:
        """Names of which one is to stand in place of an answer; none where the answer is right as it is.

        Those that a short form like ``method`` may stand for; all where a name like ``path:method`` is made up, or
        nothing is said but that code follows; none for anything else, which may be a value.
        """
        said = _SPACE.sub(" ", answer).strip()
        if said in self.names:
            return ()
        if short := tuple(name for name in self.names if f".{name.rpartition(':')[2]}".endswith(f".{said}")):
            return short
        is_quoted = bool(said) and said in _SPACE.sub(" ", self.text)
        return self.names if not is_quoted and _MADE_UP.match(said) else ()


def code_places(tree: Tree, runs: Sequence[RawRun], paths: Sequence[str]) -> CodePlaces | None:
    """The functions and classes to which the raw runs of a working context belong; None when there are none.

    Args:
        tree: What the runs are of.
        runs: Raw runs.
        paths: Paths of the documents of the tree.
    """
    names: dict[str, None] = {}
    shown = []
    for run in runs:
        shown.append(tree.text(run.first_block, run.end_block))
        if is_code(paths[run.document]):
            document = tree.documents[run.document]
            whole = tree.text(int(tree.timeline.first_block[run.document]), run.end_block)
            names |= {
                f"{document.path}:{name}": None
                for name in definitions_around(whole, len(whole) - len(shown[-1]), len(whole))
            }
    return CodePlaces(tuple(names), "\n".join(shown)) if names else None
