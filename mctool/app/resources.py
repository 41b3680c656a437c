"""What a run takes of the machine."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024
_STATUS = Path("/proc/self/status")


def peak_rss_mb() -> float:
    """Most memory that this process has had resident so far, in millions of bytes.

    Linux counts the memory of the process that started this one into ``ru_maxrss``, but not into ``VmHWM``.
    """
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_UNIT / 1e6
