"""Rows to train on: a window and what follows it, as token ids, and batches of them.

Several questions share a row: each sees the window and itself, none sees another. Shape letters: b rows, t slots of the
longest, m labels of the batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mctool.nets.tokenizer import TextTokenizer

Kind = Literal["short", "long", "lookup", "silence", "text"]

TEXT_TOKENS = 320
TEXT_TARGETS = 64
"""Tokens of a row of plain text, and how many of them, the last ones, are to be predicted."""


@dataclass(frozen=True)
class Segment:
    """A question after a window.

    Attributes:
        kind: What is to be learned from it.
        prompt: Token ids of the question as the prompt words it; none for plain text.
        target: Token ids of the answer, none for a refusal. An end token follows, but not after plain text.
    """

    kind: Kind
    prompt: list[int]
    target: list[int]


@dataclass(frozen=True)
class Row:
    """A window and the questions that share it.

    Attributes:
        ids: Token ids of the window, shape [n].
        positions: Their rotary positions, shape [n].
        tail: Position of the first slot after the window.
        segments: The questions; in a row of plain text the one segment is how the text goes on.
    """

    ids: list[int]
    positions: list[int]
    tail: int
    segments: list[Segment]

    @property
    def n_slots(self) -> int:
        """Slots of the window and of all questions with their answers."""
        return len(self.ids) + sum(len(segment.prompt) + len(segment.target) for segment in self.segments)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row), separators=(",", ":")) + "\n" for row in rows)


def read_rows(path: Path) -> list[Row]:
    """Read what :func:`write_rows` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [_row(json.loads(line)) for line in lines]


def _row(data: dict[str, Any]) -> Row:
    return Row(**{**data, "segments": [Segment(**segment) for segment in data["segments"]]})


def text_rows(texts: Sequence[str], tokenizer: TextTokenizer, n_rows: int, seed: int) -> list[Row]:
    """Stretches of plain text from random places, so that the adapter does not forget how text goes on.

    Texts too short for a row are left out; none is long enough: no rows.
    """
    rng = np.random.default_rng(seed)
    n_chars = 6 * TEXT_TOKENS  # more than that many tokens, all but always
    long_enough = [text for text in texts if len(text) >= n_chars]
    rows: list[Row] = []
    for _ in range(n_rows if long_enough else 0):
        text = long_enough[int(rng.integers(len(long_enough)))]
        start = int(rng.integers(len(text) - n_chars + 1))
        ids = tokenizer.encode(text[start : start + n_chars])[1 : 1 + TEXT_TOKENS]
        context, target = ids[:-TEXT_TARGETS], ids[-TEXT_TARGETS:]
        if context:
            rows.append(Row(context, list(range(len(context))), len(context), [Segment("text", [], target)]))
    return rows


@dataclass(frozen=True)
class Batch:
    """Rows side by side.

    Attributes:
        ids: Token ids, padded with 0, shape [b, t].
        positions: Rotary positions, shape [b, t].
        mask: What each slot may see, shape [b, 1, t, t].
        row: Row of each label, shape [m].
        slot: Slot that predicts each label, shape [m].
        label: The token to be predicted, shape [m].
        weight: What each label counts, shape [m].
        segment: Number of each label's segment, counted through the batch, shape [m].
        kinds: Kind of each segment.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    row: Tensor
    slot: Tensor
    label: Tensor
    weight: Tensor
    segment: Tensor
    kinds: list[Kind]


def collate(rows: Sequence[Row], end_id: int) -> Batch:
    """Lay rows side by side.

    A label counts 1 / sqrt(labels of its segment): long answers count more than short ones, but not as much more as
    they are longer.

    Args:
        rows: The rows.
        end_id: The token that ends an answer.
    """
    width = max(row.n_slots for row in rows)
    ids = np.zeros((len(rows), width), np.int64)
    positions = np.zeros((len(rows), width), np.int64)
    mask = np.zeros((len(rows), 1, width, width), bool)
    mask[:, 0, np.arange(width), np.arange(width)] = True  # a padded slot sees itself: no row of a softmax is empty
    labels: list[tuple[int, int, int, float, int]] = []
    kinds: list[Kind] = []
    for number, row in enumerate(rows):
        n_window = len(row.ids)
        ids[number, :n_window], positions[number, :n_window] = row.ids, row.positions
        mask[number, 0, :n_window, :n_window] = np.tril(np.ones((n_window, n_window), bool))
        start = n_window
        for segment in row.segments:
            tokens = segment.prompt + segment.target
            end = start + len(tokens)
            ids[number, start:end] = tokens
            positions[number, start:end] = row.tail + np.arange(len(tokens))
            mask[number, 0, start:end, :n_window] = True
            mask[number, 0, start:end, start:end] = np.tril(np.ones((len(tokens), len(tokens)), bool))
            wanted = segment.target if segment.kind == "text" else [*segment.target, end_id]
            first = start + len(segment.prompt) - 1
            weight = len(wanted) ** -0.5
            labels.extend((number, first + place, token, weight, len(kinds)) for place, token in enumerate(wanted))
            kinds.append(segment.kind)
            start = end
    row_of, slot, label, weight_of, segment_of = zip(*labels, strict=True)
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(mask),
        torch.tensor(row_of),
        torch.tensor(slot),
        torch.tensor(label),
        torch.tensor(weight_of),
        torch.tensor(segment_of),
        kinds,
    )


def batches(rows: Sequence[Row], batch_tokens: int, seed: int) -> list[list[int]]:
    """Places of rows in batches of about equal length, in random order.

    Args:
        rows: The rows.
        batch_tokens: Most slots of a batch, padding included; a longer row makes a batch alone.
        seed: Seed of the order.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    found: list[list[int]] = []
    for pool in np.array_split(order, max(len(rows) // 256, 1)):
        current: list[int] = []
        for place in sorted(pool.tolist(), key=lambda place: rows[place].n_slots):
            if current and rows[place].n_slots * (len(current) + 1) > batch_tokens:
                found.append(current)
                current = []
            current.append(place)
        found.append(current)
    return [found[place] for place in rng.permutation(len(found)).tolist() if found[place]]
