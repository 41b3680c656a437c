"""The values that sources hand on: files that were found, and documents that were read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mctool.core.places import Marks
from mctool.core.records import Skipped


@dataclass(frozen=True)
class FoundFile:
    """A file that looks worth reading; only its name and status are known yet.

    Attributes:
        path: Absolute and lexically normalised; links in what the user named are kept.
        size: Bytes.
        mtime_ns: Time of last modification, nanoseconds since the epoch.
        named: The user named this very file, so being minified or generated is no reason to skip it.
    """

    path: Path
    size: int
    mtime_ns: int
    named: bool = False


@dataclass(frozen=True)
class Found:
    """What one source stands for: files in path order, and what was left out on the way, in path order."""

    files: list[FoundFile]
    skipped: list[Skipped]


@dataclass(frozen=True)
class Broken(Skipped):
    """A document or an archive that cannot be opened: damaged, encrypted, beyond bounds. It counts as a failure."""


@dataclass(frozen=True)
class TextDocument:
    """The text of one file, stream, or member of an archive, with the line ends that it has.

    Attributes:
        text: Without a byte order mark; holds at least one character that is not white space.
        encoding: Name of the Python codec that decodes the bytes to ``text``, or of the format it was extracted from.
        sha256: Hash of the bytes, 64 hexadecimal digits.
        size: Bytes of the file; of the archive, for a member.
        mtime_ns: Modification time of the file, or the archive, as it was read; 0 for a stream.
        marks: Places of an extracted text; None where the lines of the text are those of the file.
    """

    text: str
    encoding: str
    sha256: str
    size: int
    mtime_ns: int
    marks: Marks | None = None
