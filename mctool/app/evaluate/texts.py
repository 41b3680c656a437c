"""Plain texts to measure on: from data files, or the source code of Python's standard library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mctool.app.evaluate.sets import Split
from mctool.app.evaluate.standard_library import SET_NAME, modules
from mctool.sources.corpus import SampleDocument, in_dev_split, read_records, read_sample


def read_texts(data: Sequence[Path], split: Split = "all") -> dict[str, list[SampleDocument]]:
    """Documents by the name of their set: the ``dataset`` of a record, else the name of its file.

    Args:
        data: Data files, whose questions are ignored; none for the files of the standard library.
        split: Which records of the data files.

    Raises:
        SourceError: A file cannot be read.
        MissingBackendError: A file is compressed and zstandard is not installed, or there is no standard library.
    """
    if not data:
        return {SET_NAME: [document for documents in modules().values() for document in documents]}
    sets: dict[str, list[SampleDocument]] = {}
    for path in data:
        for record in read_records(path):
            name = str(record.get("dataset") or path.name.split(".")[0])
            sample = read_sample({**record, "questions": ()}, path)
            if split == "all" or in_dev_split(sample) == (split == "dev"):
                sets.setdefault(name, []).extend(sample.documents)
    return sets


def first_chars(documents: Iterable[SampleDocument], n_chars: int) -> list[SampleDocument]:
    """Documents from the first on until they hold ``n_chars``; the last one is cut there."""
    chosen = []
    for document in documents:
        chosen.append(SampleDocument(document.path, document.text[:n_chars]))
        n_chars -= len(document.text)
        if n_chars <= 0:
            break
    return chosen


def copies(documents: Sequence[SampleDocument]) -> Iterator[SampleDocument]:
    """The documents again and again, without end, each time under other paths and with a line of its own."""
    round_number = 0
    while True:
        for document in documents:
            head = f"# copy {round_number}\n" if round_number else ""
            yield SampleDocument(f"{round_number}/{document.path}", head + document.text)
        round_number += 1
