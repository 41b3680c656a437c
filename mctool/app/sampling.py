"""A sample of files, from which ``ingest --dry-run`` tells how many tokens all of them hold."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from mctool.app.read_ahead import read_contents
from mctool.app.scan import SourceFile
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources import Extractor, SourceOptions, TextDocument

_MOST_BYTES = 32_000_000
_MOST_SECONDS = 4.0
"""Reading the sample ends with whichever comes first; the files of few bytes that most folders are get read whole."""

_TOKENISED_CHARS = 400_000
"""Of all texts of the sample together: what is beyond is taken to be like it."""

_LEAST_CHARS = 200
"""Of a text, if it has so many: the tokens at a cut tell nothing."""

_BYTES_PER_TOKEN = 3.6
"""Of prose and code, when there is nothing to measure it with."""


@dataclass(frozen=True)
class SampledFile:
    """A file of the sample: its kind (the suffix of its name), its bytes, and its text, empty when it is none."""

    kind: str
    n_bytes: int
    text: str


def take_sample(files: Sequence[SourceFile], options: SourceOptions) -> list[SampledFile]:
    """Read files that are spread over all of them; of each kind the same share, at least one file.

    All are read where that takes no more than seconds.
    """
    started = time.perf_counter()
    taken: list[SampledFile] = []
    with Extractor() as extractor:
        n_bytes = 0
        for found in _spread(files):
            texts = [content for _, content in read_contents(found, options, extractor)]
            text = "".join(content.text for content in texts if isinstance(content, TextDocument))
            taken.append(SampledFile(_kind(found), found.file.size, text))
            n_bytes += found.file.size
            if n_bytes > _MOST_BYTES or time.perf_counter() - started > _MOST_SECONDS:
                break
    return taken


def estimate_tokens(files: Sequence[SourceFile], sample: Sequence[SampledFile], tokenizer: TextTokenizer | None) -> int:
    """Tokens of all files, by those of the sample of their kind.

    Args:
        files: All of them.
        sample: Of these; files that turned out to be no text count as bytes without tokens.
        tokenizer: None where the model is not on this machine, for a guess.
    """
    sizes: dict[str, int] = defaultdict(int)
    for found in files:
        sizes[_kind(found)] += found.file.size
    if tokenizer is None or not any(sampled.n_bytes for sampled in sample):
        return round(sum(sizes.values()) / _BYTES_PER_TOKEN)
    share = min(1.0, _TOKENISED_CHARS / max(sum(len(sampled.text) for sampled in sample), 1))
    of_kind: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for sampled in sample:
        part = _middle(sampled.text, max(_LEAST_CHARS, round(len(sampled.text) * share)))
        n_tokens = len(tokenizer.encode_with_offsets(part)[0]) * len(sampled.text) / len(part) if part else 0.0
        of_kind[sampled.kind][0] += n_tokens
        of_kind[sampled.kind][1] += sampled.n_bytes
    overall = sum(tokens for tokens, _ in of_kind.values()) / sum(n_bytes for _, n_bytes in of_kind.values())
    return round(sum(n * (_ratio(*of_kind[kind]) if kind in of_kind else overall) for kind, n in sizes.items()))


def parts_by_length(sample: Sequence[SampledFile], n_parts: int, n_chars: int) -> list[tuple[str, str]]:
    """Kind and middle part of the texts that stand at equal distances in all the text of the sample.

    Args:
        sample: Files; those without text count for nothing.
        n_parts: Most parts; a long text is taken once.
        n_chars: Characters of all parts together, at most.
    """
    texts = [sampled for sampled in sample if sampled.text.strip()]
    if not texts:
        return []
    ends = np.array(list(accumulate(len(sampled.text) for sampled in texts)))
    places = np.unique(np.searchsorted(ends, (np.arange(n_parts) + 0.5) * ends[-1] / n_parts, side="right"))
    return [(texts[place].kind, _middle(texts[place].text, n_chars // len(places))) for place in places.tolist()]


def _spread(files: Sequence[SourceFile]) -> list[SourceFile]:
    """The files in an order whose every beginning is spread over all of them, with the same share of each kind."""
    by_kind: dict[str, list[SourceFile]] = defaultdict(list)
    for found in files:
        by_kind[_kind(found)].append(found)
    placed: list[tuple[float, SourceFile]] = []
    for group in by_kind.values():
        bits = len(group).bit_length()
        order = sorted(range(len(group)), key=lambda number: f"{number:0{bits}b}"[::-1])
        total = sum(found.file.size for found in group) or 1
        before = 0
        for number in order:
            placed.append((before / total, group[number]))
            before += group[number].file.size
    return [found for _, found in sorted(placed, key=lambda pair: pair[0])]


def _middle(text: str, n_chars: int) -> str:
    """A part of a text; its first lines often tell little about the rest."""
    first = max(0, (len(text) - n_chars) // 2)
    return text[first : first + n_chars]


def _kind(found: SourceFile) -> str:
    return found.file.path.suffix.lower()


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
