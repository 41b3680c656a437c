"""Every error that mctool raises on purpose.

The tree of errors, with exit codes::

    MctoolError
    +-- UsageError               2   an option or argument that makes no sense
    |   +-- BudgetTooSmallError  2   W_max cannot hold the prompt, the question and a cover of the tree
    +-- TreeNotFoundError        3   no MegaContext Tree at or above the place that was asked
    +-- TreeDamagedError         4   stored bytes that disagree with the catalog
    +-- MismatchError            5   a tree made with another model, tokenizer, net or format
    +-- SourceError              6   a source that is missing or cannot be read
    +-- TreeBusyError            7   another process is writing to the tree
    +-- MissingBackendError      8   an extra, a model or a device that is not here
    +-- ResourceError            9   out of memory or disk; nothing was lost

An error carries one line for the user: what is wrong, then the fix. ``kind`` is stable and machine-readable.
"""

from __future__ import annotations

from typing import ClassVar


class MctoolError(Exception):
    """Base of all errors whose message is meant for the user.

    Args:
        message: What is wrong, naming the thing and the value that was found.
        fix: What the user can do about it: a command where there is one.
    """

    kind: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message


class UsageError(MctoolError):
    """An option or argument that makes no sense."""

    kind = "usage"
    exit_code = 2


class BudgetTooSmallError(UsageError):
    """W_max cannot hold the prompt, the question and the coarsest cover of the tree."""

    kind = "budget-too-small"


class TreeNotFoundError(MctoolError):
    """No MegaContext Tree at or above the place that was asked."""

    kind = "no-tree"
    exit_code = 3


class TreeDamagedError(MctoolError):
    """Stored bytes that disagree with the catalog, or a catalog that cannot be read."""

    kind = "tree-damaged"
    exit_code = 4


class MismatchError(MctoolError):
    """A tree made with another model, tokenizer, net or on-disk format than the one in use."""

    kind = "mismatch"
    exit_code = 5


class SourceError(MctoolError):
    """A source that is missing or cannot be read."""

    kind = "source"
    exit_code = 6


class TreeBusyError(MctoolError):
    """Another process is writing to the tree."""

    kind = "tree-busy"
    exit_code = 7


class MissingBackendError(MctoolError):
    """An extra, a model or a device that is not on this machine."""

    kind = "missing-backend"
    exit_code = 8


class ResourceError(MctoolError):
    """Out of memory or disk; what was committed before is untouched."""

    kind = "resource"
    exit_code = 9
