"""Texts with located answers: what data files hold, and how it is packed into trees of a given size."""

from __future__ import annotations

import bisect
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mctool.core.errors import MissingBackendError, SourceError

IdArray = npt.NDArray[np.uint32]
IntArray = npt.NDArray[np.int64]
Encode = Callable[[str], tuple[IdArray, IntArray]]
"""Text -> token ids, and the character at which each begins; both of shape [n]."""

_FILE_HEADER = re.compile(r"^# ==== file: (.*) ====(?:\n|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class Question:
    """A question, and where its answer stands.

    Attributes:
        text: What is asked.
        document: Index of the document that holds the answer, among those of its sample or pack.
        start: First character of the answer in that document.
        end: One past the last.
        any_block: One block of the answer is enough (the body of a function), instead of all of it.
        answer: What the record gives as the answer.
        alternatives: Other answers that are right.
        quoted: The place holds the answer word for word; otherwise it is what the answer can be concluded from.
        def_start: Where the definition of the function begins whose body is asked for.
    """

    text: str
    document: int
    start: int
    end: int
    any_block: bool
    answer: str = ""
    alternatives: tuple[str, ...] = ()
    quoted: bool = True
    def_start: int | None = None


@dataclass(frozen=True)
class SampleDocument:
    """A document; the path is unique within its sample, the text not empty."""

    path: str
    text: str


@dataclass(frozen=True)
class Sample:
    """One record of a data file: one text, or the files of a package.

    Attributes:
        id: Unique within its file.
        documents: The text, or the files.
        questions: Questions with a place, quoted or not.
        unanswerable: Questions on the subject of the text that it does not answer.
    """

    id: str
    documents: list[SampleDocument]
    questions: list[Question] = field(default_factory=list)
    unanswerable: tuple[str, ...] = ()


@dataclass(frozen=True)
class TokenDocument:
    """A tokenised document; arrays as in :data:`Encode`."""

    path: str
    text: str
    ids: IdArray
    char_starts: IntArray


@dataclass(frozen=True)
class Pack:
    """What one tree is to hold, and the questions about it."""

    documents: list[TokenDocument]
    questions: list[Question]

    @property
    def n_tokens(self) -> int:
        """Tokens of all documents."""
        return sum(len(document.ids) for document in self.documents)


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a data file: JSON Lines, compressed when the name ends in ``.zst``.

    Raises:
        SourceError: The file cannot be read, or a line is not a record with an id and a text.
        MissingBackendError: The file is compressed and zstandard is not installed.
    """
    number = 0
    try:
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("text"), str):
                raise ValueError("it is not a record with a text")
            yield {"id": f"{path.name}:{number}", **record}
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise SourceError(f"{path}, line {number}: {error}", "give one JSON record a line") from error


def _lines(path: Path) -> Iterator[str]:
    if path.suffix != ".zst":
        with path.open(encoding="utf-8") as lines:
            yield from lines
        return
    try:
        import zstandard
    except ImportError as error:
        raise MissingBackendError(f"{path} is compressed with zstd", "`pip install zstandard`") from error
    try:
        with zstandard.open(path, "rt", encoding="utf-8") as lines:
            yield from lines
    except zstandard.ZstdError as error:
        raise SourceError(f"{path} is not compressed with zstd: {error}", "check the file") from error


def read_sets(paths: Sequence[Path]) -> dict[str, list[Sample]]:
    """The samples of data files by set: the ``dataset`` of their records, else the name of their file.

    Raises:
        SourceError: A file cannot be read, or a question does not point into its text.
        MissingBackendError: A file is compressed and zstandard is not installed.
    """
    sets: dict[str, list[Sample]] = {}
    for path in paths:
        for record in read_records(path):
            name = str(record.get("dataset") or path.name.split(".")[0])
            sets.setdefault(name, []).append(read_sample(record, path))
    return sets


def read_sample(record: dict[str, Any], path: Path) -> Sample:
    """A record as a sample; text with lines ``# ==== file: PATH ====`` is split there into files.

    A question whose answer stands nowhere word for word (start -1) has the place of its evidence; without evidence it
    is left out. One with a ``def_start`` asks for a function.

    Raises:
        SourceError: A question does not point into one document.
    """
    name, text = str(record["id"]), record["text"]
    headers = list(_FILE_HEADER.finditer(text))
    bounds = [(name, 0, headers[0].start() if headers else len(text))]
    ends = [header.start() for header in headers[1:]] + [len(text)]
    bounds += [(f"{name}/{header[1]}", header.end(), end) for header, end in zip(headers, ends, strict=bool(headers))]
    bounds = [bound for bound in bounds if bound[1] < bound[2]]
    questions = []
    for entry in record.get("questions", ()):
        try:
            question, start, end = str(entry["q"]), int(entry["start"]), int(entry["end"])
            quoted = start >= 0
            if not quoted:
                start, end = int(entry.get("ev_start", -1)), int(entry.get("ev_end", -1))
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(f"{path}: a question of {name} lacks {error}", "give q, start and end") from error
        if start < 0:
            continue
        place = bisect.bisect_right(bounds, start, key=lambda bound: bound[1]) - 1
        if place < 0 or not start < end <= bounds[place][2]:
            raise SourceError(f"{path}: [{start}, {end}) in {name} lies in no document", "correct the question")
        first = bounds[place][1]
        alternatives = tuple(str(other) for other in entry.get("alt", ()))
        questions.append(
            Question(
                question,
                place,
                start - first,
                end - first,
                any_block="def_start" in entry,
                answer=str(entry.get("answer", "")),
                alternatives=alternatives,
                quoted=quoted,
                def_start=int(entry["def_start"]) - first if "def_start" in entry else None,
            )
        )
    documents = [SampleDocument(path, text[a:b]) for path, a, b in bounds]
    return Sample(name, documents, questions, tuple(str(question) for question in record.get("unanswerable", ())))


def in_dev_split(sample: Sample) -> bool:
    """Whether a record is kept from training, to choose and measure by: one in ten, by its id."""
    return _tenth(sample) == 0


def in_scorer_split(sample: Sample) -> bool:
    """Whether a record is kept from the key encoder, for LensNet to learn what its keys tell of unknown text."""
    return _tenth(sample) == 2


def asked_where(samples: Sequence[Sample], is_asked: Callable[[Sample], bool]) -> list[Sample]:
    """The same samples, without the questions of those that are not asked about: they only fill trees."""
    return [sample if is_asked(sample) else replace(sample, questions=[], unanswerable=()) for sample in samples]


def _tenth(sample: Sample) -> int:
    # The letter makes questions without an answer, which few records have, fall on both sides.
    return zlib.crc32(f"a{sample.id}".encode()) % 10


def pack(samples: Sequence[Sample], encode: Encode, tree_tokens: int, seed: int) -> Iterator[Pack]:
    """Fill trees with documents: samples in random order, the documents of each in theirs.

    A pack is closed when the next document would take it above ``tree_tokens``; a longer document makes a pack alone.
    What is left at the end is given when it is three quarters full, or all there is: a small tree is an easy one.
    Documents are tokenised as packs are asked for.

    Args:
        samples: What to pack.
        encode: The tokenizer.
        tree_tokens: Most tokens of a pack.
        seed: Seed of the order.
    """
    n_given = 0
    current = Pack([], [])
    for place in np.random.default_rng(seed).permutation(len(samples)).tolist():
        sample = samples[place]
        asked: dict[int, list[Question]] = {}
        for question in sample.questions:
            asked.setdefault(question.document, []).append(question)
        for number, document in enumerate(sample.documents):
            ids, char_starts = encode(document.text)
            if current.documents and current.n_tokens + len(ids) > tree_tokens:
                yield current
                n_given, current = n_given + 1, Pack([], [])
            here = len(current.documents)
            current.documents.append(TokenDocument(document.path, document.text, ids, char_starts))
            current.questions.extend(replace(question, document=here) for question in asked.get(number, ()))
    if current.documents and (not n_given or 4 * current.n_tokens >= 3 * tree_tokens):
        yield current
