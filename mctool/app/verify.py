"""The use case ``verify``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mctool.app.trees import locate_tree
from mctool.core.errors import TreeDamagedError
from mctool.core.records import Record
from mctool.tree import Damage, Tree, check_lexical, verify_tree


@dataclass(frozen=True)
class DamageRecord(Record):
    """One thing that is wrong.

    Attributes:
        what: What is wrong.
        where: The file within the tree, or the path of the document.
        start_block: First block id that it touches; None when that is not known.
        end_block: One past the last.
    """

    what: str
    where: str
    start_block: int | None
    end_block: int | None


@dataclass(frozen=True)
class VerifyReport(Record):
    """Result of ``mctool verify``: the tree is sound when ``damage`` is empty."""

    tree: str
    ok: bool
    damage: list[DamageRecord]


def verify(tree: Path | None) -> VerifyReport:
    """Check everything that a tree holds: checksums, counts and invariants.

    Args:
        tree: As given to ``--tree``; None for the nearest one.

    Raises:
        TreeNotFoundError: There is no tree.
        MismatchError: A newer mctool made the tree.
        ResourceError: A file may not be read.
    """
    place = locate_tree(tree)
    try:
        found = verify_tree(place) + _check_lexical(place)
    except TreeDamagedError as error:  # the catalog itself, so that nothing else can be checked
        found = [Damage(error.message, "catalog.sqlite", None)]
    damage = [DamageRecord(one.what, one.where, *(one.range or (None, None))) for one in found]
    return VerifyReport(str(place), not damage, damage)


def _check_lexical(place: Path) -> list[Damage]:
    """The damage of the lexical index; none when the tree cannot be opened, the reason of which is damage itself."""
    with suppress(TreeDamagedError), Tree.open(place) as tree:
        wrong = check_lexical(tree)
        if wrong is not None:
            return [Damage(f"lexical index: {wrong}; the next ingest makes it anew", "lexical", None)]
    return []
