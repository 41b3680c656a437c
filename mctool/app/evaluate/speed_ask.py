"""How long an answer takes from a cold start, and how fast tokens are generated."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from mctool.app.evaluate.speed_rows import (
    ModelOptions,
    Report,
    SpeedRow,
    against,
    run_mctool,
    seconds_in_turn,
    write_documents,
)
from mctool.app.evaluate.texts import copies, first_chars
from mctool.core.errors import UsageError
from mctool.nets.base_model import BaseModel
from mctool.nets.checkpoint import read_tensors
from mctool.nets.device import choose_device, choose_dtype
from mctool.nets.hugging_face import generate, make_model, read_config
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import SampleDocument

CHARS_PER_TOKEN = 4
WINDOW_TOKENS = 256
NEW_TOKENS = 48
ROUNDS = 3


def measure_ask(
    sizes: Sequence[int], documents: Sequence[SampleDocument], question: str, options: ModelOptions, report: Report
) -> Iterator[SpeedRow]:
    """Whole processes of ``mctool ask`` on trees of several sizes, in turn; medians.

    The trees hold the documents, in copies where there are too few of them. The smallest tree is the baseline. The
    first token is timed from the start of the process; the time that the process takes to end is counted too.

    Args:
        sizes: About how many tokens the trees hold.
        documents: What they hold.
        question: What they are asked.
        options: Model, device and number type.
        report: Told what goes on.

    Raises:
        UsageError: The documents hold nothing that the question asks for, so that there is no answer to time.
        MctoolError: The program failed.
    """
    shown = {f"{size:,} tokens": size for size in sorted(sizes)}
    runs: dict[str, list[_AskRun]] = {name: [] for name in shown}
    with tempfile.TemporaryDirectory(prefix="mctool-") as folder:
        for name, size in shown.items():
            report(f"ask: ingest of about {name}")
            place = Path(folder) / str(size)
            write_documents(first_chars(copies(documents), size * CHARS_PER_TOKEN), place / "text")
            run_mctool("ingest", f"{place}/text", "--tree", f"{place}/tree", *options.of_ingest)
        for _ in range(ROUNDS):
            for name, size in shown.items():
                report(f"ask: {name}")
                done = run_mctool("ask", question, "--tree", f"{folder}/{size}/tree", *options.of_ask)
                runs[name].append(_AskRun.of(*done))
    smallest = next(iter(runs))
    for measure, unit, attribute in _ASK_MEASURES:
        values = {name: median(getattr(run, attribute) for run in done) for name, done in runs.items()}
        yield from against(smallest, values, measure, unit)
    for name, done in runs.items():
        share = median(run.refocusing for run in done) / median(run.first_token for run in done)
        yield SpeedRow("ask, refocusing", name, median(run.refocusing for run in done), "s", share, "first token")


@dataclass(frozen=True)
class _AskRun:
    """One process of ``mctool ask``; times in seconds."""

    tokens: int
    first_token: float
    refocusing: float
    total: float
    peak_rss_mb: float

    @classmethod
    def of(cls, record: dict[str, Any], wall: float) -> _AskRun:
        seconds = record["seconds"]
        if not seconds["first_token"]:
            raise UsageError("the texts hold nothing that the question asks for", "ask another one with --question")
        return cls(
            tokens=record["tree"]["tokens"],
            first_token=wall - seconds["total"] + seconds["first_token"],
            refocusing=seconds["lens"] + seconds["focus"],
            total=wall,
            peak_rss_mb=record["peak_rss_mb"],
        )


_ASK_MEASURES = (
    ("ask, tree", "tokens", "tokens"),
    ("ask, first token", "s", "first_token"),
    ("ask, whole process", "s", "total"),
    ("ask, peak memory", "MB", "peak_rss_mb"),
)
"""Measure, unit, and the attribute of a run."""


def measure_decode(text: str, files: ModelFiles, device: str, dtype: str, report: Report) -> Iterator[SpeedRow]:
    """Tokens read and generated per second, beside ``generate`` of transformers in the type that is usual there.

    That is float32 on the CPU. Reading the window is left out of decoding on both sides: what counts there is the time
    of the tokens after the first.

    Raises:
        UsageError: The text is shorter than a window.
    """
    report("decode")
    ids = TextTokenizer.load(files).encode(text[: WINDOW_TOKENS * 32])[:WINDOW_TOKENS]
    if len(ids) < WINDOW_TOKENS:
        raise UsageError(f"the text has {len(ids)} tokens, a window {WINDOW_TOKENS}", "give a longer text")
    place = choose_device(device)
    number_type = choose_dtype("float32" if place.type == "cpu" else dtype, place)
    network = make_model(read_config(files.directory), read_tensors(files, number_type), number_type).to(place)
    reference = BaseModel(files.name, network, frozenset())
    model = BaseModel.load(files, device, dtype)

    def own(n_tokens: int) -> None:
        decoding = model.prefill(model.embed(ids))
        for _ in range(n_tokens - 1):
            decoding.step(int(decoding.logits.argmax()))
        int(decoding.logits.argmax())

    def plain(n_tokens: int) -> None:
        generate(network, reference.embed(ids), n_tokens)

    own(2)
    plain(2)
    runs = {
        f"{system} {n}": partial(run, n)
        for system, run in (("transformers generate", plain), ("mctool", own))
        for n in (1, NEW_TOKENS + 1)
    }
    taken = seconds_in_turn(runs, ROUNDS)
    systems = ("transformers generate", "mctool")
    rates = {s: NEW_TOKENS / (taken[f"{s} {NEW_TOKENS + 1}"] - taken[f"{s} 1"]) for s in systems}
    yield from against(systems[0], rates, "decode", "tokens/s")
    prefill = {system: WINDOW_TOKENS / taken[f"{system} 1"] for system in systems}
    yield from against(systems[0], prefill, "prefill", "tokens/s")
