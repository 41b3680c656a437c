"""Failures of the disk and of SQLite, told as the errors that users see."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mctool.core.errors import MctoolError, ResourceError, TreeBusyError, TreeDamagedError

REINGEST = "run `mctool verify --repair`, which makes anew what can be made anew"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_READ_ONLY = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code of an error; -1 when Python's binding raised it itself."""
    code: int = getattr(error, "sqlite_errorcode", -1)
    return code if code < 0 else code & 0xFF


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether SQLite failed because it may not write or create a file."""
    return primary_code(error) in _READ_ONLY


@contextmanager
def sqlite_failures(database: Path) -> Iterator[None]:
    """Turn errors of SQLite on ``database`` into those of mctool; a misuse of SQLite by this program stays as it is.

    Raises:
        TreeBusyError: Another process is writing.
        ResourceError: The disk is full, or the file cannot be written or opened.
        TreeDamagedError: The file is not a sound SQLite database with the tables that it should have.
    """
    try:
        yield
    except sqlite3.Error as error:
        told = _told(error, database)
        if told is None:
            raise
        raise told from error


def _told(error: sqlite3.Error, database: Path) -> MctoolError | None:
    code = primary_code(error)
    if code in _BUSY:
        return TreeBusyError(f"another process is writing to the tree {database.parent}", "try again when it is done")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return ResourceError(f"cannot read or write {database}: {error}", "free some disk space and run again")
    if code in _READ_ONLY:
        return ResourceError(f"cannot open or write {database}: {error}", "check its permissions")
    # Without a code, Python's binding could make no sense of what SQLite read.
    is_no_misuse = not isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError))
    if code in _DAMAGED or code == sqlite3.SQLITE_ERROR or (code < 0 and is_no_misuse):
        return TreeDamagedError(
            f"{database} is damaged: {error}", "restore it from a backup, or ingest into a new tree"
        )
    return None


@contextmanager
def write_failures(root: Path) -> Iterator[None]:
    """Turn errors of the file system while writing below ``root`` into ResourceError; nothing committed is lost."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        fix = "free some disk space and run again" if error.errno in _NO_SPACE else "check its permissions and its disk"
        raise ResourceError(f"cannot write to the tree {root}: {reason}", fix) from error
    except MemoryError as error:
        raise ResourceError(f"out of memory while writing to the tree {root}", "close other programs") from error


@contextmanager
def read_failures(what: Path) -> Iterator[None]:
    """Turn errors of Zarr and of the file system while reading ``what`` into TreeDamagedError.

    Zarr and its codecs raise OSError, KeyError, ValueError or RuntimeError for bytes that they cannot make sense of.
    """
    try:
        yield
    except PermissionError as error:
        raise ResourceError(f"cannot read {what}: {error.strerror}", "check its permissions") from error
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise TreeDamagedError(f"cannot read {what}: {error}", REINGEST) from error
