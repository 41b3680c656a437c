"""What an ingest has to do: the files that the sources stand for, compared with the documents of the tree.

Only names and file status are looked at here; nothing is read and nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mctool.core.errors import MctoolError, MissingBackendError, SourceError, UsageError
from mctool.core.records import Skipped
from mctool.sources import FoundFile, SourceOptions, file_of, find_files
from mctool.sources.extract.formats import INSTALL_DOCS
from mctool.sources.names import NOT_REGULAR
from mctool.tree import Document

STDIN = "-"
UNREADABLE = "cannot be read"
"""How the reason for a skip begins when the file may be sound."""


@dataclass(frozen=True)
class SourceFile:
    """A file that one or more sources stand for.

    Attributes:
        file: As it was found.
        path: The path that the tree records.
        shown: The path for messages; begins with the source as given.
    """

    file: FoundFile
    path: str
    shown: str


class RecordedPaths:
    """The paths that a tree records: POSIX, relative to the directory that holds the tree, else absolute."""

    def __init__(self, tree: Path) -> None:
        """Take the absolute path of the tree, which need not exist."""
        self._tree = Path(os.path.normpath(tree))
        self.base = self._tree.parent
        self._real_base = self.base.resolve()

    def record(self, path: Path) -> str:
        """The recorded form of an absolute path."""
        if path.is_relative_to(self.base):
            return path.relative_to(self.base).as_posix()
        real = path.parent.resolve() / path.name
        return (real.relative_to(self._real_base) if real.is_relative_to(self._real_base) else path).as_posix()

    def places(self, recorded: str) -> tuple[str, ...]:
        """The absolute paths that a recorded one stands for: with links on the way to the tree, and without."""
        if recorded.startswith("/"):
            return (recorded,)
        return f"{self.base}/{recorded}", f"{self._real_base}/{recorded}"

    def in_tree(self, path: Path) -> bool:
        """Whether an absolute path lies within the tree itself."""
        return path.is_relative_to(self._tree)


@dataclass(frozen=True)
class SourceDirectory:
    """A source that is a directory: as given, and its absolute paths with and without links, each with a slash."""

    source: str
    prefixes: tuple[str, ...]

    @classmethod
    def at(cls, source: str, root: Path) -> SourceDirectory:
        """The directory ``root``, an absolute path, that the user calls ``source``."""
        return cls(source, tuple(f"{str(path).rstrip('/')}/" for path in (root, root.resolve())))

    def holds(self, document: Document, paths: RecordedPaths) -> bool:
        """Whether a document comes from a file in or below the directory."""
        places = paths.places(document.path)
        return not is_stream(document) and any(place.startswith(self.prefixes) for place in places)


@dataclass
class Scan:
    """What the sources stand for.

    Attributes:
        files: By recorded path, in the order in which they are to be ingested.
        skipped: What is left out, and why.
        failures: Sources that are missing or cannot be read, and files in them that are broken.
        directories: Sources that are directories.
        skipped_paths: Recorded path -> reason, for what is left out of the directories.
        filtered: Options leave files out without a report.
    """

    files: dict[str, SourceFile] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    failures: list[MctoolError] = field(default_factory=list)
    directories: list[SourceDirectory] = field(default_factory=list)
    skipped_paths: dict[str, str] = field(default_factory=dict)
    filtered: bool = False


def scan_sources(sources: Iterable[str], options: SourceOptions, paths: RecordedPaths) -> Scan:
    """Find the files of all sources but standard input. A source that cannot be read becomes a failure, not an error.

    Raises:
        UsageError: There is no source.
    """
    sources = list(sources)
    if not sources:
        raise UsageError("no source to ingest", "name files or directories, or - for standard input")
    scan = Scan(filtered=bool(options.include or options.exclude))
    for source in sources:
        if source == STDIN:
            continue
        try:
            found = find_files(Path(source), options)
        except SourceError as error:
            scan.failures.append(error)
            scan.skipped.append(Skipped(source, error.message))
            continue
        root = Path(os.path.abspath(source))  # noqa: PTH100  (Path.resolve would follow links)
        is_directory = root.is_dir()
        if is_directory:
            scan.directories.append(SourceDirectory.at(source, root))
        for file in found.files:
            if not paths.in_tree(file.path):
                shown = str(Path(source) / file.path.relative_to(root)) if is_directory else source
                _take(scan, SourceFile(file, paths.record(file.path), shown))
        for skipped in found.skipped:
            if is_directory:
                _leave_out(scan, skipped, root / os.path.relpath(skipped.path, source), paths)
            else:
                refuse(scan, source, skipped.reason, paths.record(root))
    return scan


def scan_documents(documents: Iterable[Document], paths: RecordedPaths) -> Scan:
    """The files of a tree's documents, as if the user had named them; a document without its file is to be retired."""
    scan = Scan()
    for document in documents:
        if is_stream(document):
            continue
        recorded = file_of(document.path)
        path = Path(paths.places(recorded)[0])
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            scan.skipped_paths[recorded] = "gone"
            continue
        except OSError as error:
            scan.skipped_paths[recorded] = f"{UNREADABLE}: {error.strerror}"
            continue
        found = FoundFile(path, status.st_size, status.st_mtime_ns, named=True)
        scan.files[recorded] = SourceFile(found, recorded, recorded)
    return scan


def _take(scan: Scan, found: SourceFile) -> None:
    """Add a file; one that several sources stand for counts as named when one of them is the file itself."""
    known = scan.files.get(found.path)
    if known is None:
        scan.files[found.path] = found
    elif found.file.named:
        scan.files[found.path] = replace(known, file=found.file)


def _leave_out(scan: Scan, skipped: Skipped, path: Path, paths: RecordedPaths) -> None:
    if not paths.in_tree(path):
        scan.skipped.append(skipped)
        scan.skipped_paths[paths.record(path)] = skipped.reason


def refuse(scan: Scan, source: str, reason: str, recorded: str) -> None:
    """Note that a file which the user named cannot be ingested."""
    scan.skipped.append(Skipped(source, reason))
    scan.failures.append(_refusal(source, reason))
    scan.skipped_paths[recorded] = reason


def _refusal(source: str, reason: str) -> MctoolError:
    if reason.endswith(INSTALL_DOCS):
        return MissingBackendError(f"{source} cannot be ingested: {reason}")
    fix = "name - as the source, and let it be standard input" if reason == NOT_REGULAR else "name a text file"
    return SourceError(f"{source} cannot be ingested: {reason}", fix)


@dataclass(frozen=True)
class Comparison:
    """The files of a scan against the live documents of a tree.

    Attributes:
        to_read: Files that are new, or whose size or mtime is another than that of the document.
        unchanged: Number of documents whose file need not be read.
        gone: Live documents below a given directory that the sources do not stand for any more.
    """

    to_read: list[SourceFile]
    unchanged: int
    gone: list[Document]


def compare(scan: Scan, documents: Iterable[Document], paths: RecordedPaths) -> Comparison:
    """Tell what has changed since the documents were ingested, going by names, sizes and times."""
    documents = list(documents)
    by_file: dict[str, list[Document]] = {}
    for document in documents:
        by_file.setdefault(file_of(document.path), []).append(document)
    to_read = [found for path, found in scan.files.items() if not _is_same(found.file, by_file.get(path, ()))]
    read_again = sum(len(by_file.get(found.path, ())) for found in to_read)
    unchanged = sum(len(by_file.get(path, ())) for path in scan.files) - read_again
    gone = [
        document
        for document in documents
        if file_of(document.path) not in scan.files and _is_gone(scan, document, paths)
    ]
    return Comparison(to_read, unchanged, gone)


def is_stream(document: Document) -> bool:
    """Whether a document was read from a stream, which has no modification time."""
    return document.mtime_ns == 0


def _is_same(file: FoundFile, documents: Collection[Document]) -> bool:
    """Whether all that the tree has of a file is of its size and time; an archive has several documents."""
    same = ((document.size, document.mtime_ns) == (file.size, file.mtime_ns) for document in documents)
    return bool(documents) and all(same)


def _is_gone(scan: Scan, document: Document, paths: RecordedPaths) -> bool:
    """Whether a document that was not found is to be retired.

    It stays when its file, or a directory above it, cannot be read now, or when it is only --include or --exclude that
    leave it out.
    """
    path = file_of(document.path)
    reason = _skip_reason(scan, path)
    if reason is not None:
        return not reason.startswith(UNREADABLE) and not is_stream(document)
    if not any(directory.holds(document, paths) for directory in scan.directories):
        return False
    return not (scan.filtered and os.path.lexists(paths.places(path)[0]))


def _skip_reason(scan: Scan, path: str) -> str | None:
    """Why a recorded path, or a directory above it, was left out; None when it was not."""
    names = (path, *(str(above) for above in Path(path).parents))
    return next((scan.skipped_paths[name] for name in names if name in scan.skipped_paths), None)
