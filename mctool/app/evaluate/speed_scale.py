"""What grows with the tree: ingest and ask at several sizes, and what that says of a much larger one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mctool.app.evaluate.speed_rows import Report, SpeedRow, against, run_mctool, write_documents
from mctool.app.evaluate.texts import copies, first_chars
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
    ingest_rss: float
    bytes_on_disk: float
    ask_lens: float
    ask_focus: float
    ask_prefill: float
    ask_first_token: float
    ask_total: float
    ask_rss: float
    shown_share: float


_MEASURES = (
    ("ingest", "tokens/s", "ingest_rate"),
    ("ingest, peak memory", "MB", "ingest_rss"),
    ("size on disk", "MB", "bytes_on_disk"),
    ("ask, lens", "s", "ask_lens"),
    ("ask, focus", "s", "ask_focus"),
    ("ask, prefill", "s", "ask_prefill"),
    ("ask, first token", "s", "ask_first_token"),
    ("ask, whole process", "s", "ask_total"),
    ("ask, peak memory", "MB", "ask_rss"),
    ("ask, nodes in the window", "of all", "shown_share"),
)
"""Measure, unit, and the attribute of a size."""

_ESTIMATED = frozenset({"ingest_rss", "bytes_on_disk", "ask_lens", "ask_focus", "ask_total", "ask_rss"})
"""What grows in proportion to the text from some size on, so that a line through two sizes can tell of a third."""


def measure_scale(
    sizes: Sequence[int], documents: Sequence[SampleDocument], question: str, options: Sequence[str], report: Report
) -> Iterator[SpeedRow]:
    """Ingest and ask trees of several sizes, each command a process of its own; the smallest tree is the baseline.

    The trees hold the documents, in copies under other names where there are too few of them. From the two largest
    sizes follows an estimate for 10^9 tokens, by the line through both.

    Args:
        sizes: About how many tokens the trees hold.
        documents: What they hold.
        question: What they are asked.
        options: Model and device, as options of the program.
        report: Told what goes on.

    Raises:
        UsageError: The documents hold nothing that the question asks for, so that there is no answer to time.
        MctoolError: The program failed.
    """
    found = {f"{size:,} tokens": _measure(size, documents, question, options, report) for size in sorted(set(sizes))}
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


def _measure(
    size: int, documents: Sequence[SampleDocument], question: str, options: Sequence[str], report: Report
) -> _Size:
    with tempfile.TemporaryDirectory(prefix="mctool-") as folder:
        report(f"scale: ingest of about {size:,} tokens")
        write_documents(first_chars(copies(documents), size * CHARS_PER_TOKEN), Path(folder) / "text")
        ingest, _ = run_mctool("ingest", f"{folder}/text", "--tree", f"{folder}/tree", *options)
        report(f"scale: ask {ingest['tokens']:,} tokens")
        asks = [run_mctool("ask", question, "--tree", f"{folder}/tree", *options) for _ in range(ROUNDS)]
    if not all(record["seconds"]["first_token"] for record, _ in asks):
        raise UsageError("the texts hold nothing that the question asks for", "ask another one with --question")

    def seconds(part: str) -> float:
        return median(record["seconds"][part] for record, _ in asks)

    return _Size(
        tokens=ingest["tokens"],
        ingest_rate=ingest["tokens_per_second"],
        ingest_rss=ingest["peak_rss_mb"],
        bytes_on_disk=ingest["bytes_on_disk"] / 1e6,
        ask_lens=seconds("lens"),
        ask_focus=seconds("focus"),
        ask_prefill=seconds("prefill"),
        ask_first_token=median(wall - record["seconds"]["total"] + record["seconds"]["first_token"]
                               for record, wall in asks),
        ask_total=median(wall for _, wall in asks),
        ask_rss=median(record["peak_rss_mb"] for record, _ in asks),
        shown_share=_shown(asks[0][0], ingest),
    )  # fmt: skip


def _shown(ask: dict[str, Any], ingest: dict[str, Any]) -> float:
    """Entries of the last working context over all nodes, raw blocks being nodes too."""
    n_nodes = ingest["blocks"] + sum(ingest["nodes"].values())
    return len(ask["focus"]["entries"]) / n_nodes


def _line(sizes: list[_Size], attribute: str) -> float | None:
    """The value at 10^9 tokens on the line through the two largest sizes; None where that says nothing."""
    if attribute not in _ESTIMATED or len(sizes) < 2 or sizes[-1].tokens < SMALLEST_STEP * sizes[-2].tokens:
        return None
    a, b = sizes[-2:]
    slope = (getattr(b, attribute) - getattr(a, attribute)) / (b.tokens - a.tokens)
    return float(getattr(b, attribute) + max(slope, 0.0) * (ESTIMATED_TOKENS - b.tokens))
