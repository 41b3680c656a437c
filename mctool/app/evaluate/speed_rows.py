"""What the parts of ``evaluate speed`` share: rows, timing in turn, and runs of the program."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from mctool.core.errors import MctoolError
from mctool.core.records import Record
from mctool.sources.corpus import SampleDocument

Report = Callable[[str], None]


@dataclass(frozen=True)
class SpeedRow(Record):
    """One figure. ``ratio`` is the value over that of the system ``baseline``; None for the baseline itself."""

    measure: str
    system: str
    value: float
    unit: str
    ratio: float | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class SpeedEvaluation(Record):
    """Result of ``mctool evaluate speed``."""

    rows: list[SpeedRow] = field(default_factory=list)


@dataclass(frozen=True)
class ModelOptions:
    """Model, device and number type, as options of the program."""

    model: str
    device: str = "auto"
    dtype: str = "auto"

    @property
    def of_ingest(self) -> tuple[str, ...]:
        """Those of ``mctool ingest``, which has no number type to choose."""
        return ("--model", self.model, "--device", self.device)

    @property
    def of_ask(self) -> tuple[str, ...]:
        """Those of ``mctool ask``."""
        return (*self.of_ingest, "--dtype", self.dtype)


def against(baseline: str, values: dict[str, float], measure: str, unit: str) -> list[SpeedRow]:
    """Rows of one measure, each value over that of ``baseline``, which is one of the systems or not measured."""
    base = values.get(baseline)
    return [
        SpeedRow(measure, system, value, unit)
        if base is None or system == baseline
        else SpeedRow(measure, system, value, unit, value / base, baseline)
        for system, value in values.items()
    ]


def seconds_in_turn(
    runs: dict[str, Callable[[], object]], n_rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median time of each run, when all are run in turn (A B A B ...): what slows the machine slows all.

    Args:
        runs: By name.
        n_rounds: How often each is run.
        clock: Wall time; ``time.process_time`` for processor time, of all threads.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(n_rounds):
        for name, run in runs.items():
            started = clock()
            run()
            times[name].append(clock() - started)
    return {name: median(taken) for name, taken in times.items()}


def run_python(arguments: Sequence[str]) -> str:
    """Run this Python with arguments in a process of its own, without the settings of the user; what it prints.

    Raises:
        MctoolError: The process failed; says what it printed last.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("MCTOOL_TREE", "MCTOOL_JSON")}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise MctoolError(f"`{' '.join(arguments[:3])} ...` failed: {lines[-1]}", "run `mctool verify` or the command")
    return done.stdout


@dataclass(frozen=True)
class ProgramRun:
    """A run of mctool: what it printed, and the wall and processor time of its process in seconds."""

    record: dict[str, Any]
    wall: float
    cpu: float


def time_mctool(*arguments: str) -> ProgramRun:
    """Run mctool with ``--json`` in a process of its own. Processor time is that of all its threads and children."""
    started, cpu_before = time.perf_counter(), _cpu_of_children()
    printed = run_python(["-m", "mctool", *arguments, "--json", "--quiet"])
    return ProgramRun(json.loads(printed), time.perf_counter() - started, _cpu_of_children() - cpu_before)


def run_mctool(*arguments: str) -> tuple[dict[str, Any], float]:
    """Run mctool with ``--json`` in a process of its own: its record, and the wall time of the process in seconds."""
    run = time_mctool(*arguments)
    return run.record, run.wall


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_documents(documents: Sequence[SampleDocument], folder: Path) -> None:
    """Write documents as files below a new folder, numbered, in their order."""
    for number, document in enumerate(documents):
        path = folder / f"{number // 1000:05d}" / f"{number:08d}-{Path(document.path).name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document.text, "utf-8", newline="")
