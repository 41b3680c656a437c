"""How long an answer takes from a cold start, and how fast tokens are generated."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any

from mctool.app.evaluate.corpus import SampleDocument
from mctool.app.evaluate.speed_rows import (
    Report,
    SpeedRow,
    against,
    run_mctool,
    seconds_in_turn,
    write_documents,
)
from mctool.app.evaluate.texts import copies
from mctool.core.errors import UsageError
from mctool.nets.base_model import BaseModel, choose_device, choose_dtype
from mctool.nets.checkpoint import read_tensors
from mctool.nets.hugging_face import generate, make_model, read_config
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer

CHARS_PER_TOKEN = 4
WINDOW_TOKENS = 256
NEW_TOKENS = 48
ROUNDS = 3


def measure_ask(
    sizes: Sequence[int],
    documents: Sequence[SampleDocument],
    question: str,
    files: ModelFiles,
    device: str,
    report: Report,
) -> Iterator[SpeedRow]:
    """Whole processes of ``mctool ask`` on trees of several sizes, in turn; medians.

    The trees hold the documents, in copies where there are too few of them. The smallest tree is the baseline. The
    first token is timed from the start of the process; the end of the process is counted too, so that it comes a
    little earlier.

    Raises:
        MctoolError: The program failed.
    """
    shown = {f"{size:,} tokens": size for size in sorted(sizes)}
    runs: dict[str, list[tuple[dict[str, Any], float]]] = {name: [] for name in shown}
    with tempfile.TemporaryDirectory(prefix="mctool-") as folder:
        model = ("--model", str(files.directory), "--device", device)
        for name, size in shown.items():
            report(f"ask: a tree of about {name}")
            place = Path(folder) / str(size)
            write_documents(_of_size(documents, size), place / "text")
            run_mctool("ingest", f"{place}/text", "--tree", f"{place}/tree", *model)
        for _ in range(ROUNDS):
            for name, size in shown.items():
                report(f"ask: {name}")
                runs[name].append(run_mctool("ask", question, "--tree", f"{folder}/{size}/tree", *model))
    yield from _ask_rows(runs)


def _of_size(documents: Sequence[SampleDocument], n_tokens: int) -> list[SampleDocument]:
    left = n_tokens * CHARS_PER_TOKEN

    def fits(document: SampleDocument) -> bool:
        nonlocal left
        left -= len(document.text)
        return left >= 0

    chosen = list(takewhile(fits, copies(documents)))
    if not chosen:
        raise UsageError(
            f"the first text alone has more than {n_tokens:,} tokens", "give shorter texts, or a larger size"
        )
    return chosen


def _ask_rows(runs: dict[str, list[tuple[dict[str, Any], float]]]) -> Iterator[SpeedRow]:
    smallest = next(iter(runs))

    def table(measure: str, unit: str, values: dict[str, list[float]]) -> list[SpeedRow]:
        return against(smallest, {name: median(taken) for name, taken in values.items()}, measure, unit)

    def first_token(record: dict[str, Any], wall: float) -> float:
        return float(wall - record["seconds"]["total"] + record["seconds"]["first_token"])

    yield from table(
        "tree", "tokens", {name: [run["tree"]["tokens"] for run, _ in done] for name, done in runs.items()}
    )
    yield from table(
        "ask, first token", "s", {name: [first_token(*run) for run in done] for name, done in runs.items()}
    )
    yield from table("ask, whole process", "s", {name: [wall for _, wall in done] for name, done in runs.items()})
    yield from table(
        "ask, peak memory", "MB", {name: [run["peak_rss_mb"] for run, _ in done] for name, done in runs.items()}
    )
    for name, done in runs.items():
        focusing = median(run["seconds"]["lens"] + run["seconds"]["focus"] for run, _ in done)
        first = median(first_token(*run) for run in done)
        yield SpeedRow("ask, refocusing", name, focusing, "s", focusing / first, "first token")


def measure_decode(text: str, files: ModelFiles, device: str, dtype: str, report: Report) -> Iterator[SpeedRow]:
    """Tokens generated per second after one window, beside ``generate`` of transformers with the same weights.

    Reading the window is left out on both sides: what counts is the time of the tokens after the first.

    Raises:
        UsageError: The text is shorter than a window.
    """
    report("decode")
    ids = TextTokenizer.load(files).encode(text[: WINDOW_TOKENS * 32])[:WINDOW_TOKENS]
    if len(ids) < WINDOW_TOKENS:
        raise UsageError(f"the text has {len(ids)} tokens, a window {WINDOW_TOKENS}", "give a longer text")
    place = choose_device(device)
    number_type = choose_dtype(dtype, place)
    network = make_model(read_config(files.directory), read_tensors(files, number_type), number_type).to(place)
    model = BaseModel(files.name, network, frozenset())
    embeddings = model.embed(ids)

    def own(n_tokens: int) -> None:
        decoding = model.prefill(embeddings)
        for _ in range(n_tokens - 1):
            decoding.step(int(decoding.logits.argmax()))
        int(decoding.logits.argmax())

    def plain(n_tokens: int) -> None:
        generate(network, embeddings, n_tokens)

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
