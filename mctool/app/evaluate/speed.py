"""The use case ``evaluate speed``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from mctool.app.evaluate.speed_rows import (
    ModelOptions,
    Report,
    SpeedEvaluation,
    SpeedRow,
    against,
    run_python,
    seconds_in_turn,
)
from mctool.app.evaluate.texts import first_chars, read_texts
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import UsageError
from mctool.nets.model_store import ModelFiles, resolve_model
from mctool.sources.corpus import SampleDocument

Part = Literal["ingest", "keys", "ask", "decode", "help"]
PARTS: tuple[Part, ...] = get_args(Part)
TREE_SIZES = (100_000, 1_000_000)
LARGE_TREE = 10_000_000
HELP_ROUNDS = 5

QUESTION = "Where is the default value added to the help message of an option?"


@dataclass(frozen=True)
class SpeedConfig:
    """What is measured.

    Attributes:
        parts: Which parts.
        data: Data files; none for the source code of Python's standard library.
        ingest_chars: Most characters of each set that are ingested.
        tree_sizes: About how many tokens the trees hold that are asked.
        question: What they are asked.
        model: The base model.
        device: Where it computes.
        dtype: Number type of its weights where it answers.
        reingests: After how many ingests of one edit each a tree is timed beside a new one; 0 for not at all.
        scale: About how many tokens the trees hold whose ingest and answers are timed; none for not at all.
        keep: Where the trees of ``scale`` stay, and are found again; None for nowhere.
    """

    parts: tuple[Part, ...] = PARTS
    data: tuple[Path, ...] = ()
    ingest_chars: int = 1_000_000
    tree_sizes: tuple[int, ...] = TREE_SIZES
    question: str = QUESTION
    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "auto"
    reingests: int = 0
    scale: tuple[int, ...] = ()
    keep: Path | None = None

    def __post_init__(self) -> None:
        unknown = [part for part in self.parts if part not in PARTS]
        if self.reingests < 0:
            raise UsageError(f"--reingest {self.reingests} is negative")
        if min(self.scale, default=1) < 1:
            raise UsageError(f"--scale {','.join(map(str, self.scale))} has a size that is not positive")
        if self.keep is not None and not self.scale:
            raise UsageError("--keep is given without --scale", "add --scale 1e5,1e6")
        if unknown or not (self.parts or self.reingests or self.scale):
            raise UsageError(f"--part {', '.join(unknown) or '(none)'} is not one of {', '.join(PARTS)}")
        if self.ingest_chars < 1:
            raise UsageError(f"--chars {self.ingest_chars} is not positive")
        if not self.tree_sizes or min(self.tree_sizes) < 1:
            raise UsageError(f"tree sizes {list(self.tree_sizes)} are not all positive")
        if not self.question.strip():
            raise UsageError("the question is empty", "ask something")


def evaluate_speed(config: SpeedConfig, report: Report | None = None) -> SpeedEvaluation:
    """Measure times, beside baselines that are timed in turn.

    Args:
        config: What is measured.
        report: Takes a line for each thing that begins.

    Raises:
        SourceError: A data file cannot be read.
        MissingBackendError: The model, or what a data file needs, is not here.
        MctoolError: A process that was measured failed.
    """
    report = report or (lambda _line: None)
    needs_model = set(config.parts) - {"help"} or config.reingests or config.scale
    files = resolve_model(config.model, report=report) if needs_model else None
    sets = read_texts(config.data) if files else {}
    result = SpeedEvaluation()
    for part in dict.fromkeys(config.parts):
        result.rows.extend(_measure(part, config, files, sets, report))
    result.rows.extend(_measure_growth(config, sets, report))
    return result


def _measure_growth(config: SpeedConfig, sets: dict[str, list[SampleDocument]], report: Report) -> Iterator[SpeedRow]:
    """What a tree is like after many ingests, and when it is large."""
    from mctool.app.evaluate.speed_reingest import measure_reingest
    from mctool.app.evaluate.speed_scale import measure_scale

    options = ModelOptions(config.model, config.device, config.dtype)
    documents = [document for documents in sets.values() for document in documents]
    if config.reingests:
        text = first_chars(documents, config.ingest_chars)
        yield from measure_reingest(config.reingests, text, config.question, options, report)
    if config.scale:
        yield from measure_scale(config.scale, documents, config.question, options, report, config.keep)


def _measure(
    part: Part, config: SpeedConfig, files: ModelFiles | None, sets: dict[str, list[SampleDocument]], report: Report
) -> Iterator[SpeedRow]:
    if files is None or part == "help":
        report("help")
        yield from measure_help()
        return
    # These bring torch, which --part help has no use for.
    from mctool.app.evaluate.speed_ask import measure_ask, measure_decode
    from mctool.app.evaluate.speed_ingest import measure_gist_peak, measure_ingest, measure_key_peak
    from mctool.app.evaluate.speed_keys import measure_keys

    options = ModelOptions(config.model, config.device, config.dtype)
    if part == "keys":
        text = "\n".join(one.text for one in next(iter(sets.values())))
        yield from measure_keys(text, config.question, files, report)
    elif part == "ingest":
        for name, documents in sets.items():
            yield from measure_ingest(
                name, first_chars(documents, config.ingest_chars), files, options.of_ingest, report
            )
        yield from measure_gist_peak(files, config.device, report)
        yield from measure_key_peak("\n".join(one.text for one in next(iter(sets.values()))), config.device, report)
    elif part == "ask":
        documents = [document for documents in sets.values() for document in documents]
        yield from measure_ask(config.tree_sizes, documents, config.question, options, report)
    else:
        text = "\n".join(document.text for document in next(iter(sets.values()))[:8])
        yield from measure_decode(text, files, config.device, config.dtype, report)


def measure_help() -> Iterator[SpeedRow]:
    """Time to the help text, beside the start of Python."""
    runs = {
        "python -c pass": partial(run_python, ["-c", "pass"]),
        "mctool --help": partial(run_python, ["-m", "mctool", "--help"]),
    }
    yield from against("python -c pass", seconds_in_turn(runs, HELP_ROUNDS), "help", "s")
