"""Archives: the text files and documents in them, each a document of its own, read without unpacking to disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePath, PurePosixPath
from typing import IO, Any, cast

from mctool.sources.extract.extracted import UnreadableError
from mctool.sources.extract.zips import ZIP_FAILURES, open_zip
from mctool.sources.names import EMPTY, NOT_REGULAR, PRIVATE_NAMES, directory_reason, file_reason
from mctool.sources.options import BYTES_PER_MB, SourceOptions

MAX_MEMBERS = 20_000
"""Most members of a tar archive."""

TOTAL_FACTOR = 16
"""Members of an archive may together have this many times the bytes that one file may have."""

NESTED = "archive within an archive"
_SEPARATOR = "!/"
_ARCHIVE_NAME = re.compile(r".\.(?:zip|tar|tgz|tbz2?|txz|tar\.(?:gz|bz2|xz))\Z", re.IGNORECASE)
_MEMBER_PATH = re.compile(r"(.*?.\.(?:zip|tar|tgz|tbz2?|txz|tar\.(?:gz|bz2|xz)))!/.", re.IGNORECASE | re.DOTALL)
_COMPRESSED: dict[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_COPIES_OF_METADATA = "__MACOSX"

Member = tuple[str, bytes | str]
"""Path of a member, and its bytes or the reason why it is left out."""


def is_archive(name: str) -> bool:
    """Whether a file holds other files, going by its name; a single compressed file is none."""
    return _ARCHIVE_NAME.search(name) is not None


def member_path(archive: str, member: str) -> str:
    """The path under which a member is recorded: ``docs.zip!/letters/one.txt``."""
    return f"{archive}{_SEPARATOR}{member}"


def file_of(path: str) -> str:
    """The path of the file that a recorded path stands for: of the archive, for a member."""
    match = _MEMBER_PATH.match(path)
    return match[1] if match else path


def uncompressed(name: str, data: bytes, options: SourceOptions) -> tuple[str, bytes]:
    """Name and bytes of a file; those of the file in it, when it is a single compressed one (``book.txt.gz``).

    Raises:
        UnreadableError: It is damaged, or larger than a file may be.
    """
    opener = _COMPRESSED.get(PurePath(name).suffix.lower())
    if opener is None:
        return name, data
    try:
        with opener(io.BytesIO(data)) as stream:
            inner = stream.read(options.max_bytes + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UnreadableError("its compressed data is damaged") from error
    if len(inner) > options.max_bytes:
        raise UnreadableError(f"it unpacks to a file {options.too_large}")
    return name[: -len(PurePath(name).suffix)], inner


def read_archive(name: str, data: bytes, options: SourceOptions) -> Iterator[Member]:
    """The files in an archive, one after the other.

    Names of members count as those of files below a directory do: binaries, caches and installed packages are left out.

    Args:
        name: Name of the archive.
        data: Its bytes.
        options: Gives the size that a member may have.

    Raises:
        UnreadableError: It is damaged, encrypted, or beyond the bounds; members before that were given.
    """
    budget = _Budget(options)
    if name.lower().endswith(".zip"):
        with open_zip(data) as opened:
            yield from _zip_members(opened, options, budget)
        return
    suffix = {".tgz": ".gz", ".tbz": ".bz2", ".tbz2": ".bz2", ".txz": ".xz"}.get(PurePath(name).suffix.lower())
    opener = _COMPRESSED.get(suffix or PurePath(name).suffix.lower())
    raw = io.BytesIO(data)
    try:
        with opener(raw) if opener else raw as stream:
            yield from _tar_members(_Bounded(stream, budget), options)
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UnreadableError("it is not a whole tar archive") from error


class _Budget:
    """The bytes that the members of an archive may still have."""

    def __init__(self, options: SourceOptions) -> None:
        self._left = self._most = TOTAL_FACTOR * options.max_bytes

    def spend(self, n_bytes: int) -> None:
        self._left -= n_bytes
        if self._left < 0:
            raise UnreadableError(f"it unpacks to more than {self._most / BYTES_PER_MB:,.0f} MB")


class _Bounded:
    """A stream of which only so much may be read."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self._stream, self._budget = stream, budget

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._budget.spend(len(data))
        return data


def _zip_members(opened: zipfile.ZipFile, options: SourceOptions, budget: _Budget) -> Iterator[Member]:
    for member in opened.infolist():
        if member.filename.endswith("/") or _is_private(member.filename):
            continue
        reason = _reason(member.filename, member.file_size, options)
        if reason is not None:
            yield member.filename, reason
            continue
        budget.spend(member.file_size)
        try:
            data = opened.read(member)
        except ZIP_FAILURES as error:
            raise UnreadableError(f"its member {member.filename} is damaged") from error
        yield member.filename, data


def _tar_members(stream: _Bounded, options: SourceOptions) -> Iterator[Member]:
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as opened:
        for number, member in enumerate(opened):
            if number >= MAX_MEMBERS:
                raise UnreadableError(f"it has more than {MAX_MEMBERS:,} members")
            name = member.name.removeprefix("./")
            if member.isdir() or _is_private(name):
                continue
            reason = _reason(name, member.size, options) if member.isreg() else NOT_REGULAR
            content = opened.extractfile(member) if reason is None else None
            yield name, content.read() if content is not None else reason or NOT_REGULAR


def _is_private(name: str) -> bool:
    return not PRIVATE_NAMES.isdisjoint(parts := PurePosixPath(name).parts) or _COPIES_OF_METADATA in parts


def _reason(name: str, n_bytes: int, options: SourceOptions) -> str | None:
    """Why a member is not read, going by its name and size; None if it is."""
    path = PurePosixPath(name)
    if not path.parts:
        raise UnreadableError("it has a member without a name")
    if path.is_absolute() or ".." in path.parts or not name.isprintable():
        return "name is not a plain relative path"
    reason = next((why for part in path.parts[:-1] if (why := directory_reason(part))), None)
    reason = reason or (NESTED if is_archive(name) else file_reason(path.name, named=False))
    if reason is not None:
        return reason
    if not n_bytes:
        return EMPTY
    return options.too_large if n_bytes > options.max_bytes else None
