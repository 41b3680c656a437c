"""Reading files in a thread while others are being tokenised."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from mctool.app.scan import SourceFile
from mctool.core.records import Skipped
from mctool.sources import Extractor, SourceOptions, TextDocument, is_archive, read_document, read_members

_FILES_AHEAD = 32
_BYTES_AHEAD = 32_000_000
"""Files that wait decoded; together with one more file this bounds the memory."""

Content = tuple[str, TextDocument | Skipped]
"""What was read: the path of a member of an archive, else "", and its text or why there is none."""

Read = tuple[list[Content], float]


def read_ahead(
    files: Iterable[SourceFile], options: SourceOptions
) -> Generator[tuple[SourceFile, list[Content], float], None, None]:
    """Read files in order, a few ahead of the consumer.

    Yields:
        The file, what it holds, and the seconds that reading it took.
    """
    waiting: deque[tuple[SourceFile, Future[Read]]] = deque()
    bytes_ahead = 0
    rest = iter(files)
    with Extractor() as extractor, ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        try:
            upcoming = next(rest, None)
            while upcoming or waiting:
                while upcoming and (not waiting or (len(waiting) < _FILES_AHEAD and bytes_ahead < _BYTES_AHEAD)):
                    waiting.append((upcoming, pool.submit(_read, upcoming, options, extractor)))
                    bytes_ahead += _weight(upcoming)
                    upcoming = next(rest, None)
                found, future = waiting.popleft()
                bytes_ahead -= _weight(found)
                yield found, *future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read(found: SourceFile, options: SourceOptions, extractor: Extractor) -> Read:
    start = time.perf_counter()
    return read_contents(found, options, extractor), time.perf_counter() - start


def read_contents(found: SourceFile, options: SourceOptions, extractor: Extractor) -> list[Content]:
    """What a file holds: itself, or the members of an archive."""
    if is_archive(found.file.path.name):
        return list(read_members(found.file, options, extractor))
    return [("", read_document(found.file, options, extractor))]


def _weight(found: SourceFile) -> int:
    """Bytes that a file counts for; nothing is read beside an archive, which may hold much more than its size."""
    return _BYTES_AHEAD if is_archive(found.file.path.name) else found.file.size
