"""Reading files in a thread while others are being tokenised."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from mctool.app.scan import SourceFile
from mctool.core.records import Skipped
from mctool.sources import SourceOptions, TextDocument, read_document

_FILES_AHEAD = 32
_BYTES_AHEAD = 32_000_000
"""Files that wait decoded; together with one more file this bounds the memory."""

Read = tuple[TextDocument | Skipped, float]


def read_ahead(
    files: Iterable[SourceFile], options: SourceOptions
) -> Generator[tuple[SourceFile, TextDocument | Skipped, float], None, None]:
    """Read files in order, a few ahead of the consumer.

    Yields:
        The file, its text or why there is none, and the seconds that reading it took.
    """
    waiting: deque[tuple[SourceFile, Future[Read]]] = deque()
    bytes_ahead = 0
    rest = iter(files)
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        try:
            upcoming = next(rest, None)
            while upcoming or waiting:
                while upcoming and (not waiting or (len(waiting) < _FILES_AHEAD and bytes_ahead < _BYTES_AHEAD)):
                    waiting.append((upcoming, pool.submit(_read, upcoming, options)))
                    bytes_ahead += upcoming.file.size
                    upcoming = next(rest, None)
                found, future = waiting.popleft()
                bytes_ahead -= found.file.size
                yield found, *future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _read(found: SourceFile, options: SourceOptions) -> Read:
    start = time.perf_counter()
    return read_document(found.file, options), time.perf_counter() - start
