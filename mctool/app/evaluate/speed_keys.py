"""How fast the key encoder of the lens reads blocks and questions, beside MiniLM-L6, the usual encoder of retrieval."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

from mctool.app.evaluate.speed_rows import Report, SpeedRow, against, seconds_in_turn
from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.errors import UsageError
from mctool.nets.key_folder import find_key_encoder
from mctool.nets.key_weights import load_key_encoder
from mctool.nets.minilm import MiniLM, find_minilm
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer

KEY_BLOCKS = 512
BLOCK_CHARS = 256
"""A block of 32 tokens is shorter, so that so much text is enough."""

CHUNK_BLOCKS = 4
ROUNDS = 5
QUERY_ROUNDS = 25

KEYS, BLOCKS, CHUNKS = "key encoder", "MiniLM, each block", "MiniLM, 4 blocks at once"


def measure_keys(text: str, question: str, files: ModelFiles, report: Report) -> Iterator[SpeedRow]:
    """Vectors of the same blocks by both in turn on the CPU, by processor time; then one question, by wall time.

    MiniLM reads each block by itself, and four at once: chunks of 128 tokens without overlap, its cheapest use.
    Nothing where there is no key encoder, and no ratios where MiniLM is not installed.

    Args:
        text: Cut into blocks of 32 tokens, of which the first 512 are read.
        question: What is asked.
        files: The base model, whose tokens are counted.
        report: Told what goes on.

    Raises:
        UsageError: The text is shorter than a block.
    """
    folder, minilm = find_key_encoder(), find_minilm()
    if folder is None:
        return
    report("the key encoder beside MiniLM" if minilm else "the key encoder")
    blocks = block_texts(text, TextTokenizer.load(files))
    encoder = load_key_encoder(folder, "cpu")
    reads: dict[str, Callable[[], object]] = {KEYS: partial(encoder.document_keys, [blocks])}
    asks: dict[str, Callable[[], object]] = {KEYS: partial(encoder.query, question)}
    if minilm is not None:
        peer = MiniLM(minilm)
        chunks = ["".join(blocks[first : first + CHUNK_BLOCKS]) for first in range(0, len(blocks), CHUNK_BLOCKS)]
        reads |= {BLOCKS: partial(peer.embed, blocks), CHUNKS: partial(peer.embed, chunks)}
        asks["MiniLM"] = partial(peer.embed, [question])
    for run in (*reads.values(), *asks.values()):
        run()  # the first call of each is slower
    taken = seconds_in_turn(reads, ROUNDS, time.process_time)
    rates = {name: len(blocks) * BLOCK_TOKENS / seconds for name, seconds in taken.items()}
    yield from against(BLOCKS, rates, f"vectors of {len(blocks)} blocks, processor time", "tokens/s")
    asked = seconds_in_turn(asks, QUERY_ROUNDS)
    yield from against("MiniLM", {name: 1000 * s for name, s in asked.items()}, "vector of a question", "ms")


def block_texts(text: str, tokenizer: TextTokenizer) -> list[str]:
    """The first whole blocks of a text, 512 at most.

    Raises:
        UsageError: There is none.
    """
    _, starts = tokenizer.encode_with_offsets(text[: KEY_BLOCKS * BLOCK_CHARS])
    bounds = starts[::BLOCK_TOKENS][: KEY_BLOCKS + 1].tolist()
    blocks = [text[start:end] for start, end in pairwise(bounds)]
    if not blocks:
        raise UsageError(f"the text is shorter than {BLOCK_TOKENS} tokens", "give a longer text")
    return blocks
