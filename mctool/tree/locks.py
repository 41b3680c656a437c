"""Keeping readers and the removal of old revisions apart.

A reader sees the tree as of one commit for as long as it likes, so files that its snapshot names must stay. Readers
hold a shared ``flock`` on the segments directory; a writer that has committed removes leftovers only when it gets the
lock for itself at once, else they stay until a later commit. A killed process loses its lock with its life.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ReaderLock:
    """A shared lock on ``directory`` until ``release``. Without effect where the file system has no such locks."""

    def __init__(self, directory: Path) -> None:
        self._handle: int | None = None
        try:
            handle = os.open(directory, os.O_RDONLY)
        except OSError:
            return  # no segments yet, or unreadable: reading them will say so
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
        except OSError:
            os.close(handle)
        else:
            self._handle = handle

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


@contextmanager
def no_readers(directory: Path) -> Iterator[bool]:
    """True within the block when nobody reads the tree, and then nobody starts to; False when somebody does."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
