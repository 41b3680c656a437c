"""Reading documents in a process of its own, which may be slow, greedy, or crash, and is started anew then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from mctool.sources.extract.extracted import Extracted, UnreadableError
from mctool.sources.extract.worker import CPU_SECONDS

_WORKER = "mctool.sources.extract.worker"


class Extractor:
    """Reads one document after the other; use it in a ``with`` block.

    The process starts with the first document. Only one thread may use it at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def extract(self, key: str, data: bytes) -> Extracted:
        """The text and the places of a document.

        Args:
            key: A key of :data:`mctool.sources.extract.formats.FORMATS` whose reader is installed.
            data: The bytes of the file.

        Raises:
            UnreadableError: It is damaged, encrypted, or takes too much time or memory.
        """
        process = self._process = self._process or _start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"format": key, "size": len(data)}).encode() + b"\n")
            process.stdin.write(data)
            process.stdin.flush()
        except BrokenPipeError:
            raise UnreadableError(self._end()) from None
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            raise UnreadableError(self._end())
        answer: dict[str, Any] = json.loads(line)
        if answer.get("last"):
            self._end()
        if "unreadable" in answer:
            raise UnreadableError(answer["unreadable"])
        return Extracted(answer["text"], tuple((start, label) for start, label in answer["marks"]))

    def _end(self) -> str:
        """Wait for the process, which is ending; say in words why it did."""
        process, self._process = self._process, None
        if process is None:
            return "its reader has ended"
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        code = process.wait()
        return f"reading it takes more than {CPU_SECONDS:g} s" if code == -signal.SIGPROF else "its reader crashed"


def _start() -> subprocess.Popen[bytes]:
    # The same modules must be found there; thread pools of libraries would only take memory.
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", _WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )
