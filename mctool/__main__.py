"""``python -m mctool``, and the program ``mctool``."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def run() -> int:
    """Run the program; Ctrl-C ends it quietly even while it is being loaded."""
    try:
        from mctool.cli import main

        return main()
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(run())
