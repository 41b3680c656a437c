"""What grows with the tree: ingest and ask at several sizes, and what that says of a much larger one."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mctool.app.evaluate.speed_rows import (
    ModelOptions,
    ProgramRun,
    Report,
    SpeedRow,
    against,
    time_mctool,
    write_documents,
)
from mctool.app.evaluate.texts import copies, first_chars
from mctool.core.blocks import BLOCK_TOKENS, SEGMENT_BLOCKS
from mctool.core.errors import UsageError
from mctool.sources.corpus import SampleDocument

CHARS_PER_TOKEN = 4
ROUNDS = 3
ESTIMATED_TOKENS = 1_000_000_000
SMALLEST_STEP = 2.0
"""Figures of two sizes that differ by less say nothing of how they grow."""


@dataclass(frozen=True)
class _Size:
    """What was measured at one size; times in seconds, memory in MB. ``ask_...`` are medians over whole processes."""

    tokens: int
    ingest_rate: float
    ingest_wall: float
    ingest_cpu: float
    ingest_rss: float
    bytes_on_disk: float
    ask_lens: float
    ask_focus: float
    ask_prefill: float
    ask_first_token: float
    ask_total: float
    ask_cpu: float
    ask_rss: float
    shown_share: float

    @classmethod
    def of(cls, ingest: ProgramRun, asks: Sequence[ProgramRun]) -> _Size:
        def seconds(part: str) -> float:
            return median(ask.record["seconds"][part] for ask in asks)

        made = ingest.record
        return cls(
            tokens=made["tokens"],
            ingest_rate=made["tokens_per_second"],
            ingest_wall=ingest.wall,
            ingest_cpu=ingest.cpu,
            ingest_rss=made["peak_rss_mb"],
            bytes_on_disk=made["bytes_on_disk"] / 1e6,
            ask_lens=seconds("lens"),
            ask_focus=seconds("focus"),
            ask_prefill=seconds("prefill"),
            ask_first_token=median(
                ask.wall - ask.record["seconds"]["total"] + ask.record["seconds"]["first_token"] for ask in asks
            ),
            ask_total=median(ask.wall for ask in asks),
            ask_cpu=median(ask.cpu for ask in asks),
            ask_rss=median(ask.record["peak_rss_mb"] for ask in asks),
            shown_share=_shown(asks[0].record, made),
        )


_MEASURES = (
    ("ingest", "tokens/s", "ingest_rate"),
    ("ingest, whole process", "s", "ingest_wall"),
    ("ingest, processor time", "s", "ingest_cpu"),
    ("ingest, peak memory", "MB", "ingest_rss"),
    ("size on disk", "MB", "bytes_on_disk"),
    ("ask, lens", "s", "ask_lens"),
    ("ask, focus", "s", "ask_focus"),
    ("ask, prefill", "s", "ask_prefill"),
    ("ask, first token", "s", "ask_first_token"),
    ("ask, whole process", "s", "ask_total"),
    ("ask, processor time", "s", "ask_cpu"),
    ("ask, peak memory", "MB", "ask_rss"),
    ("ask, nodes in the window", "of all", "shown_share"),
)
"""Measure, unit, and the attribute of a size."""

_ESTIMATED = frozenset(
    {"ingest_cpu", "ingest_rss", "bytes_on_disk", "ask_lens", "ask_focus", "ask_total", "ask_cpu", "ask_rss"}
)
"""What grows in proportion to the text from some size on, so that a line through two sizes can tell of a third."""


def measure_scale(
    sizes: Sequence[int],
    documents: Sequence[SampleDocument],
    question: str,
    options: ModelOptions,
    report: Report,
    keep: Path | None = None,
) -> Iterator[SpeedRow]:
    """Ingest and ask trees of several sizes, each command a process of its own; the smallest tree is the baseline.

    The trees hold the documents, in copies under other names where there are too few of them. All trees are made
    first, then asked in turn. From the two largest sizes follows an estimate for 10^9 tokens, by the line through both.

    Args:
        sizes: About how many tokens the trees hold.
        documents: What they hold.
        question: What they are asked.
        options: Model, device and number type.
        report: Told what goes on.
        keep: Directory in which the trees stay, with the figures of their ingests; what is there is not made again.

    Raises:
        UsageError: The documents hold nothing that the question asks for, so that there is no answer to time, or a
            tree that was kept is of other documents or options.
        MctoolError: The program failed.
    """
    shown = {f"{size:,} tokens": size for size in sorted(set(sizes))}
    asks: dict[str, list[ProgramRun]] = {name: [] for name in shown}
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mctool-")))
        made = {
            name: _made(folder / str(size), size, documents, options.of_ingest, report) for name, size in shown.items()
        }
        for _ in range(ROUNDS):
            for name, size in shown.items():
                report(f"scale: ask {made[name].record['tokens']:,} tokens")
                asks[name].append(time_mctool("ask", question, "--tree", f"{folder}/{size}/tree", *options.of_ask))
    if not all(ask.record["seconds"]["first_token"] for runs in asks.values() for ask in runs):
        raise UsageError("the texts hold nothing that the question asks for", "ask another one with --question")
    yield from _rows({name: _Size.of(ingest, asks[name]) for name, ingest in made.items()})


def _made(
    place: Path, size: int, documents: Sequence[SampleDocument], options: Sequence[str], report: Report
) -> ProgramRun:
    """The run of the ingest that made the tree in ``place``, perhaps an earlier one of the same that ended well."""
    figures = place / "ingest.json"
    made_of = {"options": list(options), "texts": _digest(documents)}
    if figures.is_file():
        kept = json.loads(figures.read_text("utf-8"))
        if kept.pop("made_of", None) != made_of:
            raise UsageError(
                f"{place} holds a tree of other texts or options", f"give another --keep, or remove {place}"
            )
        return ProgramRun(**kept)
    shutil.rmtree(place, ignore_errors=True)
    report(f"scale: ingest of about {size:,} tokens")
    write_documents(first_chars(copies(documents), size * CHARS_PER_TOKEN), place / "text")
    run = time_mctool("ingest", f"{place}/text", "--tree", f"{place}/tree", *options)
    figures.write_text(json.dumps({**asdict(run), "made_of": made_of}), "utf-8")
    return run


def _digest(documents: Sequence[SampleDocument]) -> str:
    names_and_texts = [part for document in documents for part in (document.path, document.text)]
    return hashlib.sha256(json.dumps(names_and_texts).encode()).hexdigest()


def _rows(found: dict[str, _Size]) -> Iterator[SpeedRow]:
    smallest = next(iter(found))
    yield from against(smallest, {name: size.tokens for name, size in found.items()}, "scale, tree", "tokens")
    for measure, unit, attribute in _MEASURES:
        values = {name: getattr(size, attribute) for name, size in found.items()}
        estimate = _line(list(found.values()), attribute)
        if estimate is not None:
            values[f"{ESTIMATED_TOKENS:,} (estimate)"] = estimate
        yield from against(smallest, values, f"scale, {measure}", unit)
    largest = list(found.values())[-1]
    hours = ESTIMATED_TOKENS / largest.ingest_rate / 3600
    yield SpeedRow("scale, ingest time", f"{ESTIMATED_TOKENS:,} (estimate)", hours, "h")


def _shown(ask: dict[str, Any], ingest: dict[str, Any]) -> float:
    """Entries of the last working context over all nodes, raw blocks being nodes too."""
    n_nodes = ingest["blocks"] + sum(ingest["nodes"].values())
    return len(ask["focus"]["entries"]) / n_nodes


def _line(sizes: list[_Size], attribute: str) -> float | None:
    """The value at 10^9 tokens on the line through the two largest sizes; None where that says nothing."""
    if attribute not in _ESTIMATED or len(sizes) < 2 or sizes[-1].tokens < SMALLEST_STEP * sizes[-2].tokens:
        return None
    a, b = sizes[-2:]
    if attribute == "ingest_rss" and a.tokens < SEGMENT_BLOCKS * BLOCK_TOKENS // 2:
        return None  # an ingest holds one segment at a time, so that below a segment it tells nothing of larger trees
    slope = (getattr(b, attribute) - getattr(a, attribute)) / (b.tokens - a.tokens)
    return float(getattr(b, attribute) + max(slope, 0.0) * (ESTIMATED_TOKENS - b.tokens))
