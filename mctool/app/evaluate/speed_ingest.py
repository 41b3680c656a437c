"""How fast text becomes a tree, beside the usual index of chunks of the same text."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mctool.app.evaluate.speed_rows import Report, SpeedRow, against, seconds_in_turn, time_mctool, write_documents
from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.errors import MissingBackendError
from mctool.engine.gisting import CPU_BATCH_BLOCKS
from mctool.nets.checkpoint import load_embedding_table
from mctool.nets.device import choose_device, choose_dtype
from mctool.nets.key_folder import find_key_encoder
from mctool.nets.key_weights import load_key_encoder
from mctool.nets.minilm import MiniLM, find_minilm
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.nets.weights import load_gistnet
from mctool.sources.corpus import SampleDocument

if TYPE_CHECKING:
    from mctool.nets.gistnet import GistNet

CHUNK_TOKENS = 128
STRIDE_TOKENS = 64
SAMPLE_CHUNKS = 64
"""Chunks that MiniLM encodes; its rate does not depend on how many there are."""

GEMM_WIDTH = 1024
BLOCK_CHARS = 128
KEY_BLOCKS = 128
"""Blocks of about 32 tokens that the key encoder reads in each round."""

ROUNDS = 5


def measure_ingest(
    name: str, documents: Sequence[SampleDocument], files: ModelFiles, options: Sequence[str], report: Report
) -> Iterator[SpeedRow]:
    """Ingest a text with the program, and index it as chunks in this process.

    Args:
        name: Of the text, for the rows.
        documents: The text.
        files: The base model.
        options: Model and device, as options of the program.
        report: Told what goes on.

    Raises:
        MctoolError: The program failed.
    """
    encoder, taken = _Encoder.of(documents, TextTokenizer.load(files)), []
    if encoder is not None:
        report(f"MiniLM over {len(encoder.chunks)} chunks of {name}")
        taken.append(encoder.embed())
    report(f"ingest of {name}")
    with tempfile.TemporaryDirectory(prefix="mctool-") as folder:
        write_documents(documents, Path(folder) / "text")
        run = time_mctool("ingest", f"{folder}/text", "--tree", f"{folder}/tree", *options)
    record, tokens = run.record, run.record["tokens_added"]
    rates, cpu_rates = {"mctool": record["tokens_per_second"]}, {"mctool": tokens / run.cpu}
    if encoder is not None:
        taken.append(encoder.embed())
        n_tokens = len(encoder.chunks) * STRIDE_TOKENS
        rates["MiniLM chunks"] = n_tokens / mean(wall for wall, _ in taken)
        cpu_rates["MiniLM chunks"] = n_tokens / mean(cpu for _, cpu in taken)
    if find_spec("bm25s") is not None:
        report(f"bm25s over the chunks of {name}")
        chunks = chunk_texts(documents, TextTokenizer.load(files))
        wall, cpu = _timed(lambda: _index_bm25s(chunks))
        rates["bm25s chunks"], cpu_rates["bm25s chunks"] = (len(chunks) * STRIDE_TOKENS / t for t in (wall, cpu))
    yield from against("MiniLM chunks", rates, f"ingest {name}", "tokens/s")
    yield from against("MiniLM chunks", cpu_rates, f"ingest {name}, processor time", "tokens/s")
    yield from _record_rows(name, record, sum(len(document.text.encode()) for document in documents))


def _record_rows(name: str, record: dict[str, Any], text_bytes: int) -> Iterator[SpeedRow]:
    tokens, seconds = record["tokens_added"], record["seconds"]
    sizes = {"text": text_bytes / tokens, "mctool": record["bytes_on_disk"] / tokens}
    yield from against("text", sizes, f"size {name}", "bytes/token")
    parts = {f"mctool {part}": seconds[part] for part in ("read", "tokenize", "gist", "keys", "write")}
    yield from against("mctool", {"mctool": seconds["total"]} | parts, f"ingest time {name}", "s")


@dataclass(frozen=True)
class _Encoder:
    """MiniLM, and a sample of chunks for it."""

    model: MiniLM
    chunks: list[str]

    @classmethod
    def of(cls, documents: Sequence[SampleDocument], tokenizer: TextTokenizer) -> _Encoder | None:
        """None when MiniLM is not installed."""
        directory = find_minilm()
        return cls(MiniLM(directory), chunk_texts(documents, tokenizer, SAMPLE_CHUNKS)) if directory else None

    def embed(self) -> tuple[float, float]:
        """Wall and processor time for the sample."""
        return _timed(lambda: self.model.embed(self.chunks))


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor time in seconds; the latter is that of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _index_bm25s(chunks: list[str]) -> None:
    import bm25s

    bm25s.BM25().index(bm25s.tokenize(chunks, show_progress=False), show_progress=False)


def chunk_texts(documents: Sequence[SampleDocument], tokenizer: TextTokenizer, most: int | None = None) -> list[str]:
    """Texts of chunks of 128 tokens, a new one every 64, within documents; at most ``most``, from the first on."""
    chunks: list[str] = []
    for document in documents:
        _, starts = tokenizer.encode_with_offsets(document.text)
        bounds = [*starts.tolist(), len(document.text)]
        for first in range(0, max(len(starts) - CHUNK_TOKENS + STRIDE_TOKENS, 1), STRIDE_TOKENS):
            if len(chunks) == most:
                return chunks
            chunks.append(document.text[bounds[first] : bounds[min(first + CHUNK_TOKENS, len(starts))]])
    return chunks


def measure_gist_peak(files: ModelFiles, device: str, report: Report) -> Iterator[SpeedRow]:
    """The share of the machine's rate of matrix products that the GistNet reaches.

    Both are measured in turn in this process; the operations of the net are those of its matrix products.

    Raises:
        MissingBackendError: The model has no GistNet.
    """
    report("GistNet beside a plain matrix product")
    place = choose_device(device)
    table = load_embedding_table(files)
    loaded = load_gistnet(files.name, table, place, TextTokenizer.load(files).fingerprint)
    if loaded is None:
        raise MissingBackendError(f"there is no GistNet for {files.name}", "measure the default model")
    blocks = torch.randn(CPU_BATCH_BLOCKS, BLOCK_TOKENS, table.shape[1], device=place)
    square = torch.randn(GEMM_WIDTH, GEMM_WIDTH, device=place)
    net, flops = loaded.net, _flops(loaded.net, blocks)

    def gists() -> None:
        net(blocks, None, 1).sum().item()  # a number on the CPU, so that an accelerator has finished

    def product() -> None:
        (square @ square).sum().item()

    with torch.inference_mode():
        gists()
        product()
        taken = seconds_in_turn({"GistNet": gists, "torch matmul": product}, ROUNDS)
    rates = {"torch matmul": 2 * GEMM_WIDTH**3 / taken["torch matmul"], "GistNet": flops / taken["GistNet"]}
    yield from against("torch matmul", {k: v / 1e9 for k, v in rates.items()}, "matrix products", "GFLOP/s")


def measure_key_peak(text: str, device: str, report: Report) -> Iterator[SpeedRow]:
    """The share of the machine's rate of matrix products that the key encoder reaches, cutting of words included.

    As :func:`measure_gist_peak`, in the number type of the encoder; nothing where there is none.
    """
    folder = find_key_encoder()
    if folder is None:
        return
    report("the key encoder beside a plain matrix product")
    place = choose_device(device)
    encoder, dtype = load_key_encoder(folder, place), choose_dtype("auto", place)
    ends = range(BLOCK_CHARS, min(len(text), KEY_BLOCKS * BLOCK_CHARS) + 1, BLOCK_CHARS)
    blocks = [text[end - BLOCK_CHARS : end] for end in ends]
    square = torch.randn(GEMM_WIDTH, GEMM_WIDTH, device=place).to(dtype)

    def keys() -> None:
        encoder.document_keys([blocks])

    def product() -> None:
        (square @ square).sum().item()

    with FlopCounterMode(display=False) as counter:
        keys()
    with torch.inference_mode():
        product()
        taken = seconds_in_turn({"key encoder": keys, "torch matmul": product}, ROUNDS)
    rates = {"torch matmul": 2 * GEMM_WIDTH**3 / taken["torch matmul"]}
    rates["key encoder"] = counter.get_total_flops() / taken["key encoder"]
    name = f"matrix products, {str(dtype).removeprefix('torch.')}"
    yield from against("torch matmul", {k: v / 1e9 for k, v in rates.items()}, name, "GFLOP/s")


@torch.inference_mode()
def _flops(net: GistNet, blocks: torch.Tensor) -> int:
    """Operations of the matrix products of one forward pass."""
    counter = FlopCounterMode(display=False)
    with counter:
        net(blocks, None, 1)
    return counter.get_total_flops()
