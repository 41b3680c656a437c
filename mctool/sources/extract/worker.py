"""The process that reads documents: takes jobs on standard input, answers on standard output, one at a time.

A job is a line of JSON, ``{"format": key, "size": n}``, and n bytes. An answer is a line of JSON: ``{"text", "marks"}``
or ``{"unreadable": reason}``. A job that takes too much time ends the process by SIGPROF; one that takes too much
memory, or that a reader fails over in a way of its own, ends it after the answer, which then has ``"last": true``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from types import TracebackType
from typing import BinaryIO

from mctool.sources.extract.extracted import UnreadableError
from mctool.sources.extract.formats import extract

CPU_SECONDS = 60.0
"""Most processor time for one document."""

MEMORY_BYTES = 1_500_000_000
"""Most memory of the process; enforced on Linux."""


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the pipe
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print does not belong among the answers
    sys.excepthook = lambda kind, error, trace: _answer_last(answers, kind, error, trace)
    jobs = sys.stdin.buffer
    while line := jobs.readline():
        job = json.loads(line)
        data = jobs.read(job["size"])
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            result = extract(job["format"], data)
            answer: dict[str, object] = {"text": result.text, "marks": result.marks}
        except UnreadableError as error:
            answer = {"unreadable": str(error)}
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(answers, answer)


def _write(answers: BinaryIO, answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
    answers.flush()


def _answer_last(
    answers: BinaryIO, kind: type[BaseException], _error: BaseException, _trace: TracebackType | None
) -> None:
    """Answer for an error that nobody foresaw; the process ends after it."""
    memory = f"reading it takes more than {MEMORY_BYTES / 1e6:,.0f} MB of memory"
    reason = memory if issubclass(kind, MemoryError) else f"its reader failed over it ({kind.__name__})"
    _write(answers, {"unreadable": reason, "last": True})


if __name__ == "__main__":
    main()
