"""Does a tree that is kept current by many small ingests stay as fast as a new one?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from statistics import median

from mctool.app.evaluate.speed_rows import (
    ModelOptions,
    ProgramRun,
    Report,
    SpeedRow,
    against,
    time_mctool,
    write_documents,
)
from mctool.app.ingest import IngestConfig
from mctool.app.ingest import ingest as ingest_here
from mctool.app.ingest_nets import IngestNets
from mctool.core.errors import UsageError
from mctool.sources.corpus import SampleDocument
from mctool.tree import Tree

ROUNDS = 5
FRESH = "new tree"


def measure_reingest(
    n_ingests: int, documents: Sequence[SampleDocument], question: str, options: ModelOptions, report: Report
) -> Iterator[SpeedRow]:
    """Ingest a folder again after each of many one-file edits; then time that tree beside a new one of the same text.

    Ask, inspect and the ingest of one more edit are timed as whole processes, both trees in turn; medians. The new
    tree is the baseline. The many ingests before that go on in this process, which loads the nets only once.

    Args:
        n_ingests: How often a file is edited and the folder ingested again.
        documents: What the folder holds.
        question: What the trees are asked.
        options: Model, device and number type.
        report: Told what goes on.

    Raises:
        UsageError: There is no document to edit.
        MctoolError: The program failed.
    """
    if not documents:
        raise UsageError("there is no text to ingest", "give a longer text, or a larger --chars")
    with tempfile.TemporaryDirectory(prefix="mctool-") as folder:
        text = Path(folder) / "text"
        write_documents(documents, text)
        files = sorted(path for path in text.rglob("*") if path.is_file())
        numbers = count()
        tree, most, nets = f"{folder}/kept", 0, IngestNets(options.model, options.device)

        def edit() -> None:
            number = next(numbers)
            with files[number % len(files)].open("a", encoding="utf-8") as file:
                file.write(f"\n# edit {number}\n")

        def ingest(tree: str) -> ProgramRun:
            return time_mctool("ingest", str(text), "--tree", tree, *options.of_ingest)

        report("reingest: a new tree")
        ingest(tree)
        for step in range(n_ingests):
            if step % 10 == 0:
                report(f"reingest: {step} of {n_ingests}")
            edit()
            ingest_here(IngestConfig((str(text),), Path(tree), options.model, options.device), nets=nets)
            most = max(most, _n_segments(tree))
        kept = f"after {n_ingests} ingests"
        trees = {kept: tree, FRESH: f"{folder}/fresh"}
        ingest(trees[FRESH])
        yield SpeedRow("reingest, most segments", kept, most, "segments")
        yield from _sizes(trees)
        commands: dict[str, Callable[[str], ProgramRun]] = {
            "ask": lambda place: time_mctool("ask", question, "--tree", place, *options.of_ask),
            "inspect": lambda place: time_mctool("inspect", "--tree", place),
            "ingest of one edit": ingest,
        }
        for name, command in commands.items():
            report(f"reingest: {name}")
            before = edit if name == "ingest of one edit" else None
            yield from _times(name, trees, command, before)


def _times(
    name: str, trees: dict[str, str], command: Callable[[str], ProgramRun], before: Callable[[], None] | None
) -> Iterator[SpeedRow]:
    """Median wall and processor time of a command with each tree, in turn; something may happen before each round."""
    runs: dict[str, list[ProgramRun]] = {which: [] for which in trees}
    for _ in range(ROUNDS):
        if before is not None:
            before()
        for which, place in trees.items():
            runs[which].append(command(place))
    wall = {which: median(run.wall for run in done) for which, done in runs.items()}
    yield from against(FRESH, wall, f"reingest, {name}", "s")
    cpu = {which: median(run.cpu for run in done) for which, done in runs.items()}
    yield from against(FRESH, cpu, f"reingest, {name}, processor time", "s")


def _sizes(trees: dict[str, str]) -> Iterator[SpeedRow]:
    held = {name: _n_segments(place) for name, place in trees.items()}
    yield from against(FRESH, held, "reingest, segments", "segments")
    sizes = {name: _bytes_below(Path(place)) / 1e6 for name, place in trees.items()}
    yield from against(FRESH, sizes, "reingest, size", "MB")


def _n_segments(tree: str) -> int:
    with Tree.open(Path(tree)) as opened:
        return opened.n_segments


def _bytes_below(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
