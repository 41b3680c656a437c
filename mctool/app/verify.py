"""The use case ``verify``: what is wrong with a tree, and making it anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mctool.app.repair import repair
from mctool.app.trees import locate_tree
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import TreeDamagedError
from mctool.core.records import Record
from mctool.tree import Damage, Document, Layout, index_fault, is_behind, verify_tree
from mctool.tree.catalog import read_snapshot

BEHIND = "an ingest was interrupted: the next one brings the lexical index up to date"


@dataclass(frozen=True)
class DamageRecord(Record):
    """One thing that is wrong.

    Attributes:
        what: What is wrong.
        where: The file within the tree, or the path of the document.
        start_block: First block id that it touches; None when that is not known.
        end_block: One past the last.
        documents: Paths of the live documents that have blocks there.
    """

    what: str
    where: str
    start_block: int | None
    end_block: int | None
    documents: list[str]


@dataclass(frozen=True)
class VerifyReport(Record):
    """Result of ``mctool verify``: the tree is sound when ``damage`` is empty.

    ``repaired`` is what was wrong before a repair and is not any more; ``notes`` are no damage.
    """

    tree: str
    ok: bool
    damage: list[DamageRecord]
    repaired: list[DamageRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RepairConfig:
    """How a tree is repaired.

    Attributes:
        model: The base model that it was made with.
        device: Where gists and keys are made.
        report: Takes a line for the user when something slow begins.
    """

    model: str = DEFAULT_MODEL
    device: str = "auto"
    report: Callable[[str], None] = lambda _line: None


def verify(tree: Path | None, repairs: RepairConfig | None = None) -> VerifyReport:
    """Check everything that a tree holds: checksums, counts and invariants.

    Args:
        tree: As given to ``--tree``; None for the nearest one.
        repairs: Make anew what is damaged and follows from the rest, or from unchanged sources; None only looks.

    Raises:
        TreeNotFoundError: There is no tree.
        MismatchError: A newer mctool made the tree; or, for repairs, another model is in use than the tree's.
        MissingBackendError: The model that a repair needs is not here.
        TreeBusyError: Another process is writing to the tree that is to be repaired.
        ResourceError: A file may not be read or written.
    """
    place = locate_tree(tree)
    damage, notes = _look(place)
    if repairs is None or not (damage or notes):
        return VerifyReport(str(place), not damage, damage, notes=notes)
    try:
        repair(place, repairs.model, repairs.device, repairs.report)
    except TreeDamagedError:
        return VerifyReport(str(place), ok=False, damage=damage, notes=notes)
    left, notes = _look(place)
    return VerifyReport(str(place), not left, left, [one for one in damage if one not in left], notes)


def _look(place: Path) -> tuple[list[DamageRecord], list[str]]:
    """The damage of a tree, and what is worth a note."""
    notes: list[str] = []
    layout = Layout(place)
    try:
        found = verify_tree(place)
        snapshot = read_snapshot(layout)
    except TreeDamagedError as error:  # the catalog itself, so that nothing else can be checked
        return [_record(Damage(error.message, layout.catalog.name, None), [])], notes
    wrong = index_fault(layout, snapshot.generation, up_to_bytes=None)
    if wrong is not None and is_behind(layout, snapshot):
        notes += [BEHIND] if snapshot.documents else []
    elif wrong is not None:
        found.append(Damage(f"lexical index: {wrong}", layout.lexical.name, None))
    return [_record(one, snapshot.documents) for one in found], notes


def _record(damage: Damage, documents: Iterable[Document]) -> DamageRecord:
    if damage.range is None:
        return DamageRecord(damage.what, damage.where, None, None, [])
    first, end = damage.range
    touched = [one.path for one in documents if one.first_block < end and first < one.end_block]
    return DamageRecord(damage.what, damage.where, first, end, touched)
