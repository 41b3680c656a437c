"""Decoding an answer from a window, or telling that the window holds none; with refocusing while the answer grows.

Shape letters: n slots of the window, m tokens of the answer, V vocabulary.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mctool.core.blocks import BLOCK_TOKENS
from mctool.engine.assemble import Window
from mctool.nets.base_model import BaseModel, Decoding
from mctool.nets.tokenizer import TextTokenizer

LONGEST_LOOP = 16
LOOP_TOKENS = 24
"""An answer ends when its last 1 to 16 tokens have come three times in a row, and as often as makes 24 tokens: the
zeros of a million, each a token, are no loop."""


SEARCH_STEPS = 24
SEARCH_WIDTH = 8
"""Tokens that are weighed for the likeliest answer at most, and how many may follow each."""


@dataclass(frozen=True)
class AnswerConfig:
    """How tokens are chosen.

    Attributes:
        max_new_tokens: Most tokens to generate.
        temperature: 0 takes the likeliest token.
        seed: Seed of the sampling when ``temperature`` > 0.
        must_speak: No end token may come before the first word: it was settled otherwise that there is an answer.
    """

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0
    must_speak: bool = False


@dataclass(frozen=True)
class Answer:
    """A decoded answer.

    Attributes:
        text: Without leading and trailing white space.
        ids: Its tokens, the one that ended it left out.
        window: The window that it was finished with.
        prefill_seconds: Time spent reading windows.
        decode_seconds: Time spent generating.
        first_token_at: ``time.perf_counter()`` when the first token was known; None for an answer without tokens.
    """

    text: str
    ids: list[int]
    window: Window
    prefill_seconds: float
    decode_seconds: float
    first_token_at: float | None


OnText = Callable[[str], None]
Refocus = Callable[[str], Window | None]
"""Given the answer so far, the window to go on with, or None when the one in use is still right."""


def read_window(model: BaseModel, window: Window) -> Decoding:
    """Read a window once, for :func:`silence` and :func:`decode_answer`."""
    return model.prefill(window.embeddings, window.positions)


def silence(decoding: Decoding, eos_ids: Collection[int]) -> float:
    """Log odds that no answer follows a window: log P - log(1 - P), P being the chance of an end token.

    Args:
        decoding: The window, read, and nothing after it.
        eos_ids: Token ids that end an answer.

    Raises:
        ValueError: There are no such ids, so that a model cannot be silent.
    """
    if not eos_ids:
        raise ValueError("a model without end tokens cannot be silent")
    logits = decoding.logits.double()
    is_end = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    is_end[list(eos_ids)] = True
    return float(logits[is_end].logsumexp(0) - logits[~is_end].logsumexp(0))


def decode_answer(
    model: BaseModel,
    tokenizer: TextTokenizer,
    window: Window,
    config: AnswerConfig,
    *,
    on_text: OnText | None = None,
    refocus: Refocus | None = None,
    read: Decoding | None = None,
) -> Answer:
    """Generate until the end of the line, an end token, a loop, or ``max_new_tokens``.

    Args:
        model: The base model.
        tokenizer: Its tokenizer.
        window: What it reads first.
        config: How tokens are chosen.
        on_text: Told of each piece of text as it comes.
        refocus: Asked after every K = 32 tokens; a new window is read in place of the old one, the answer so far kept.
        read: The window, where it was read before; used up. The answer's ``prefill_seconds`` then leave it out.
    """
    generator = torch.Generator().manual_seed(config.seed)
    draft = _Draft(tokenizer, on_text)
    started = time.perf_counter()
    decoding = read if read is not None else read_window(model, window)
    prefill_seconds = time.perf_counter() - started
    first_token_at: float | None = None
    while len(draft.ids) < config.max_new_tokens:
        barred = model.eos_ids if config.must_speak and not draft.text else ()
        token = _choose(decoding.logits, config.temperature, generator, barred)
        first_token_at = first_token_at or time.perf_counter()
        if token in model.eos_ids or draft.take(token) or len(draft.ids) == config.max_new_tokens:
            break
        refocused = refocus(draft.text) if refocus is not None and len(draft.ids) % BLOCK_TOKENS == 0 else None
        if refocused is None:
            decoding.step(token)
        else:
            reading = time.perf_counter()
            window, decoding = refocused, _read_on(model, refocused, draft.ids)
            prefill_seconds += time.perf_counter() - reading
    total = time.perf_counter() - started
    return Answer(
        text=draft.text.strip(),
        ids=draft.ids,
        window=window,
        prefill_seconds=prefill_seconds,
        decode_seconds=total - prefill_seconds,
        first_token_at=first_token_at,
    )


def likeliest_answer(
    model: BaseModel, tokenizer: TextTokenizer, window: Window, read: Decoding, max_new_tokens: int
) -> Answer | None:
    """The answer that is likeliest as a whole, which the likeliest first token need not begin.

    Beginnings are gone on with in the order of their likelihood, as in Dijkstra's search for the shortest path; None
    when no answer has come of :data:`SEARCH_STEPS` of them, as happens to long ones.

    Args:
        model: The base model.
        tokenizer: Its tokenizer.
        window: What it has read.
        read: The window, read, and nothing after it; stays as it is.
        max_new_tokens: Most tokens of the answer.
    """
    started = time.perf_counter()
    ends = sorted(model.eos_ids)
    beginnings: list[tuple[float, list[int], bool]] = [(0.0, [], False)]  # nats lost, tokens, whether it ends there
    reached: list[int] = []
    decoding = read.fork()
    for _ in range(SEARCH_STEPS):
        lost, ids, is_whole = heapq.heappop(beginnings)
        while not is_whole and ids and "\n" in tokenizer.decode(ids[-1:]):
            lost, ids, is_whole = heapq.heappop(beginnings)
        if is_whole or len(ids) == max_new_tokens:
            now = time.perf_counter()
            return Answer(tokenizer.decode(ids).strip(), ids, window, 0.0, now - started, now)
        if ids and ids[:-1] == reached:
            decoding.step(ids[-1])
        elif ids:
            decoding = read.fork()
            decoding.read(model.embed(ids))
        reached = ids
        nats = torch.log_softmax(decoding.logits.double(), dim=-1)
        if ids:
            heapq.heappush(beginnings, (lost - float(nats[ends].logsumexp(0)), ids, True))
        nats[ends] = -torch.inf
        for more, token in zip(*(found.tolist() for found in nats.topk(SEARCH_WIDTH)), strict=True):
            heapq.heappush(beginnings, (lost - more, [*ids, token], False))
    return None


class _Draft:
    """An answer while it grows.

    Attributes:
        ids: Its tokens.
        text: Their text, up to the end of the line.
    """

    def __init__(self, tokenizer: TextTokenizer, on_text: OnText | None) -> None:
        self.ids: list[int] = []
        self.text = ""
        self._stream = tokenizer.stream()
        self._on_text = on_text or (lambda _text: None)

    def take(self, token: int) -> bool:
        """Append a token; True when the answer ends with it."""
        piece = self._stream.push(token)
        line, line_end, _ = (piece if self.text else piece.lstrip()).partition("\n")
        if line_end and not line:
            return True
        self.ids.append(token)
        self.text += line
        if line:
            self._on_text(line)
        return bool(line_end) or _loops(self.ids)


def answer_nats(model: BaseModel, window: Window, ids: list[int]) -> float:
    """Log-likelihood of an answer given a window, in nats; 0 for an answer without tokens."""
    if not ids:
        return 0.0
    with torch.inference_mode():
        return float(model.log_likelihood(window.embeddings, window.positions, ids).sum())


def _read_on(model: BaseModel, window: Window, ids: list[int]) -> Decoding:
    """Read a window and the answer so far after it."""
    positions = np.concatenate([window.positions, window.positions[-1] + 1 + np.arange(len(ids))])
    return model.prefill(torch.cat([window.embeddings, model.embed(ids)]), positions)


def _choose(logits: Tensor, temperature: float, generator: torch.Generator, barred: Collection[int]) -> int:
    if barred:
        logits = logits.clone()
        logits[list(barred)] = -torch.inf
    if temperature == 0:
        return int(logits.argmax())
    chances = torch.softmax(logits.double().cpu() / temperature, dim=-1)
    return int(torch.multinomial(chances, 1, generator=generator))


def _loops(ids: list[int]) -> bool:
    tails = ((n, ids[-max(3 * n, LOOP_TOKENS) :]) for n in range(1, LONGEST_LOOP + 1))
    return any(len(tail) >= max(3 * n, LOOP_TOKENS) and tail[n:] == tail[:-n] for n, tail in tails)
