"""What measurements of located answers share: sets of records, the peer encoder, and who is told of the progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mctool.app.evaluate.lookups import documented_lookups
from mctool.app.evaluate.standard_library import SET_NAME, lookups, packages
from mctool.core.errors import UsageError
from mctool.sources.corpus import Sample, asked_where, in_dev_split, read_sets

if TYPE_CHECKING:
    from mctool.nets.minilm import MiniLM


Split = Literal["dev", "train", "all"]
"""Records that nets were not trained on, those that they may have been trained on, or both."""


@dataclass(frozen=True)
class Listener:
    """Who is told of the progress: questions done and in all, and a line when something slow begins."""

    progress: Callable[[int, int], None] = lambda _done, _known: None
    report: Callable[[str], None] = lambda _line: None


def require_split(split: str) -> None:
    """Raise a UsageError unless there is such a split."""
    if split not in get_args(Split):
        raise UsageError(f"--split {split} is not one of {', '.join(get_args(Split))}")


def asked_in(samples: Sequence[Sample], split: Split) -> list[Sample]:
    """The same samples, without the questions of those on the other side of a split: they only fill trees."""
    return asked_where(samples, lambda sample: split == "all" or in_dev_split(sample) == (split == "dev"))


def chosen_sets(data: Sequence[Path], wanted: Sequence[str], documented: bool = False) -> dict[str, list[Sample]]:
    """Records by set.

    Args:
        data: Data files; none for lookups in Python's standard library.
        wanted: Only sets whose name contains one of these; none for all.
        documented: Ask for functions that have kept their docstrings instead, see
            :func:`mctool.app.evaluate.lookups.documented_lookups`.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: No set fits.
        MissingBackendError: What a data file needs, or the standard library's source code, is not here.
    """
    library = packages if documented else lookups
    sets = read_sets(data) if data else {SET_NAME: library()}
    if not sets:
        raise UsageError(f"{', '.join(map(str, data))} holds no records", "give texts with questions, one JSON a line")
    chosen = {
        name: samples
        for name, samples in sets.items()
        if not wanted or any(part.lower() in name.lower() for part in wanted)
    }
    if not chosen:
        raise UsageError(f"--set {', '.join(wanted)} fits no set", f"there are: {'; '.join(sets)}")
    if not documented:
        return chosen
    asking = {f"{name}, documented": documented_lookups(samples) for name, samples in chosen.items()}
    asking = {name: samples for name, samples in asking.items() if any(sample.questions for sample in samples)}
    if not asking:
        raise UsageError("--documented: no function in the data has kept its docstring", "give data with Python code")
    return asking


def load_minilm() -> MiniLM | None:
    """MiniLM where it is installed, else None."""
    from mctool.nets.minilm import MiniLM, find_minilm

    directory = find_minilm()
    return MiniLM(directory) if directory else None
