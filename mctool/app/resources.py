"""What a run takes of the machine."""

from __future__ import annotations

import resource
import sys

_BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024


def peak_rss_mb() -> float:
    """Most memory that this process has had resident so far, in millions of bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _BYTES_PER_UNIT / 1e6
