"""The use case ``ingest``: files in, a committed tree out."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from mctool.app.curate import compact_if_due
from mctool.app.guard import refuse_broad_sources, refuse_much
from mctool.app.ingest_nets import IngestNets
from mctool.app.intake import Intake, Progress
from mctool.app.key_nets import KeyNets
from mctool.app.past_sources import REFRESHED, recorded_sources, scan_again
from mctool.app.read_ahead import read_ahead
from mctool.app.resources import peak_rss_mb
from mctool.app.scan import (
    STDIN,
    UNREADABLE,
    Comparison,
    RecordedPaths,
    Scan,
    SourceFile,
    compare,
    refuse,
    scan_sources,
)
from mctool.app.text_nets import Report
from mctool.app.trees import locate_tree, place_for_tree
from mctool.core.blocks import TOP_LOD
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MctoolError, MissingBackendError, SourceError, UsageError
from mctool.core.records import DocumentCounts, IngestReport, IngestSeconds, Skipped
from mctool.sources import Broken, Extractor, SourceOptions, TextDocument, file_of, is_archive, member_path, read_stream
from mctool.tree import Document, Layout, Tree, check_lexical, rekey_tree
from mctool.version import __version__

Content = tuple[str, TextDocument]
"""A recorded path, and the text that is there now."""

_FAILURES_TOLD = 5

Taken = tuple[DocumentCounts, Intake | None]
"""What was done to the documents, and by whom; None when nothing had to be."""


@dataclass(frozen=True)
class IngestConfig:
    """What to ingest, and into what.

    Attributes:
        sources: Files and directories; ``-`` for standard input.
        tree: The tree; None for the nearest one, else a new ``.mctool`` in the working directory.
        model: The base model whose tokens and gists the tree holds.
        device: Where gists are made.
        stdin_name: Path that is recorded for standard input.
        options: Which files of directories are taken.
        rekey: Make the lens keys that the tree lacks, or that are damaged, too; then there may be no sources.
        refresh: Without sources: bring the documents that the tree has up to date, and take in what is new in the
            directories that were ingested before.
        confirmed: Read as much as there is, from wherever; else a home directory and very much text are refused.
    """

    sources: tuple[str, ...]
    tree: Path | None = None
    model: str = DEFAULT_MODEL
    device: str = "auto"
    stdin_name: str = "stdin"
    options: SourceOptions = field(default_factory=SourceOptions)
    rekey: bool = False
    refresh: bool = False
    confirmed: bool = True

    def __post_init__(self) -> None:
        if not self.sources and not self.rekey and not self.refresh:
            raise UsageError("no source to ingest", "name files or directories, or - for standard input")
        if self.sources.count(STDIN) > 1:
            raise UsageError("standard input (-) is named twice", "name it once")
        if "" in self.sources:
            raise UsageError("a source is an empty name", "use . for the working directory")
        if not self.stdin_name.isprintable() or not self.stdin_name.strip():
            raise UsageError(f"--name {self.stdin_name!r} is not a printable name")


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did, and what it could not ingest; the rest was committed.

    Attributes:
        report: What it did.
        error: Sources that could not be ingested, and broken files in the others; None when there are none.
        source_error: Sources alone.
    """

    report: IngestReport
    error: MctoolError | None
    source_error: MctoolError | None


def ingest(
    config: IngestConfig,
    progress: Progress | None = None,
    report: Report | None = None,
    nets: IngestNets | None = None,
) -> IngestResult:
    """Bring a tree up to date with the sources: add what is new, replace what changed, retire what is gone.

    A file whose size and modification time are those of its document is not read; one whose content is the same is not
    tokenised. Nothing is written when nothing has changed. The rate in the report is tokens added over the wall time
    of the call less the time that finding (and perhaps downloading) the model and rekeying took.

    Args:
        config: What to ingest, and into what.
        progress: Called as blocks are done.
        report: Takes a line for the user when something slow begins, or something is missing.
        nets: Those of the model and the device, to load them once for several ingests.

    Raises:
        SourceError: There is nothing to ingest in any of the sources, and no tree.
        TreeNotFoundError: There are no sources, and no tree.
        UsageError: The place of the tree is not one for a tree, or too much is to be read without ``confirmed``.
        MismatchError: The tree was made with another model, tokenizer or GistNet.
        MissingBackendError: The model, the device, or the key encoder for ``rekey``, is not here.
        TreeBusyError: Another process is writing to the tree.
        TreeDamagedError: The tree cannot be understood.
        ResourceError: Out of memory or disk; the tree is as it was.
    """
    report = report or (lambda _line: None)
    nets = nets or IngestNets(config.model, config.device, report)
    return _Run(config, nets, progress or (lambda _done, _known: None), report).ingest()


class _Run:
    """One ingest: its clocks, and what it knows so far."""

    def __init__(self, config: IngestConfig, nets: IngestNets, progress: Progress, report: Report) -> None:
        self._config = config
        self._nets = nets
        self._progress = progress
        self._report = report
        self._start = time.perf_counter()
        self._resolved_before = nets.resolve_seconds
        self._read_seconds = self._rekey_seconds = self._compact_seconds = 0.0
        self._layout = Layout(place_for_tree(config.tree) if config.sources else locate_tree(config.tree))
        self._paths = RecordedPaths(self._layout.root)
        if not config.confirmed:
            refuse_broad_sources(config.sources)
        self._broken: list[MctoolError] = []
        self._held: dict[str, set[str]] = {}
        """File that was read -> the recorded paths of what it holds: its own, those of members, or none."""

        self._scan = scan_sources(config.sources, config.options, self._paths) if config.sources else Scan()
        if STDIN in config.sources and config.stdin_name in self._scan.files:
            raise UsageError(
                f"standard input and a file would both be recorded as {config.stdin_name}", "use another --name"
            )

    def ingest(self) -> IngestResult:
        """Bring the tree up to date; make it when it is not there and there is something to put in."""
        if self._config.rekey and self._nets.keys is None:
            raise MissingBackendError(
                "there is no key encoder to make lens keys with", "reinstall mctool, or unset $MCTOOL_WEIGHTS"
            )
        counts, intake = DocumentCounts(), None
        if self._config.refresh:
            counts, intake = self._update(None)
        elif self._config.sources:
            stream = self._read_stream()
            counts, intake = self._update(stream) if self._layout.catalog.is_file() else self._fill(stream)
        rekeyed = self._rekey(self._nets.keys) if self._config.rekey and self._nets.keys is not None else 0
        return self._result(counts, intake, rekeyed)

    def _rekey(self, key_nets: KeyNets) -> int:
        """Make the lens keys that are missing; the number of blocks that got some."""
        key_nets.load()
        start = time.perf_counter()
        n_blocks = rekey_tree(self._layout.root, key_nets, self._progress)
        self._rekey_seconds = time.perf_counter() - start
        return n_blocks

    def _fill(self, stream: TextDocument | None) -> Taken:
        """Make a new tree, once there is a document that could be read."""
        comparison = self._compare([])
        with closing(self._contents(stream, comparison.to_read)) as contents:
            first = next(contents, None)
            if first is None:
                self._refuse_empty_directories([])
                raise combined(self._scan.failures + self._broken) or SourceError("there is nothing to ingest")
            with Intake(self._layout, self._nets.text, self._nets.keys, self._progress) as intake:
                return self._take_in(intake, chain([first], contents), unchanged=0)

    def _update(self, stream: TextDocument | None) -> Taken:
        with Tree.open(self._layout.root) as tree:
            self._nets.text.expect(tree.fingerprint)
            if self._config.refresh:
                self._scan = scan_again(tree.documents, (past.sources for past in tree.history()), self._paths)
            comparison = self._compare(tree.documents)
            is_current = stream is None and not comparison.to_read and not comparison.gone
            if is_current and check_lexical(tree) is None:
                self._refuse_empty_directories(tree.documents)
                return DocumentCounts(unchanged=comparison.unchanged, skipped=self._scan.skipped), None
        with Intake(self._layout, self._nets.text, self._nets.keys, self._progress) as intake:
            # Once more, now under the lock: another ingest may have come between.
            comparison = compare(self._scan, intake.live.values(), self._paths)
            for document in comparison.gone:
                intake.retire(document)
            with closing(self._contents(stream, comparison.to_read)) as contents:
                return self._take_in(intake, contents, comparison.unchanged)

    def _compare(self, documents: Iterable[Document]) -> Comparison:
        comparison = compare(self._scan, documents, self._paths)
        if not self._config.confirmed:
            refuse_much(comparison.to_read)
        return comparison

    def _take_in(self, intake: Intake, contents: Iterable[Content], unchanged: int) -> Taken:
        """Put in what could be read, take out what is no text any more, and commit if that changes anything."""
        for path, document in contents:
            intake.put(path, document)
        for old in list(intake.live.values()):
            if old.path not in self._held.get(file_of(old.path), {old.path}):
                intake.retire(old)
        self._refuse_empty_directories([*intake.live.values(), *intake.gone])
        counts = DocumentCounts(
            intake.added, intake.updated, unchanged + intake.unchanged, len(intake.gone), self._scan.skipped
        )
        if intake.has_changes:
            named = recorded_sources(self._config.sources, self._config.options, self._paths)
            intake.writer.commit([REFRESHED] if self._config.refresh else named, __version__, counts)
            self._compact(intake.writer.fingerprint.has_gists)
        return counts, intake

    def _compact(self, has_gists: bool) -> None:
        start = time.perf_counter()
        compact_if_due(self._layout.root, self._nets.text, has_gists)
        self._compact_seconds = time.perf_counter() - start

    def _read_stream(self) -> TextDocument | None:
        """The text of standard input, when it is a source and can be read."""
        if STDIN not in self._config.sources:
            return None
        start = time.perf_counter()
        try:
            with Extractor() as extractor:
                return read_stream(sys.stdin.buffer, self._config.options, extractor, self._config.stdin_name)
        except (SourceError, MissingBackendError) as error:
            self._scan.failures.append(error)
            self._scan.skipped.append(Skipped(STDIN, error.message))
            return None
        finally:
            self._read_seconds += time.perf_counter() - start

    def _contents(self, stream: TextDocument | None, files: list[SourceFile]) -> Generator[Content, None, None]:
        """Recorded paths with the text that is there now."""
        if stream is not None:
            yield self._config.stdin_name, stream
        with closing(read_ahead(files, self._config.options)) as contents:
            for found, parts, seconds in contents:
                self._read_seconds += seconds
                held = self._held.setdefault(found.path, set())
                for member, content in parts:
                    path = member_path(found.path, member) if member else found.path
                    if isinstance(content, TextDocument):
                        held.add(path)
                        yield path, content
                        continue
                    self._leave_out(found, member, content)
                    if content.reason.startswith(UNREADABLE):
                        del self._held[found.path]
                if found.file.named and is_archive(found.path) and self._held.get(found.path) == set():
                    refuse(self._scan, found.shown, "archive without text files", found.path)

    def _leave_out(self, found: SourceFile, member: str, content: Skipped) -> None:
        """Note why a file, or a member of an archive, is not ingested."""
        if found.file.named and not member:
            refuse(self._scan, found.shown, content.reason, found.path)
            return
        shown = member_path(found.shown, member) if member else found.shown
        self._scan.skipped.append(Skipped(shown, content.reason))
        if isinstance(content, Broken):
            self._broken.append(SourceError(f"{shown} cannot be ingested: {content.reason}", "check the file"))

    def _refuse_empty_directories(self, documents: Iterable[Document]) -> None:
        """Note a failure for each directory that none of the documents comes from."""
        documents = list(documents)
        for directory in self._scan.directories:
            if any(directory.holds(document, self._paths) for document in documents):
                continue
            source = directory.source
            skipped = [skip for skip in self._scan.skipped if Path(skip.path).is_relative_to(source)]
            why = (
                f"{len(skipped)} skipped, the first: {skipped[0].path} ({skipped[0].reason})" if skipped else "no files"
            )
            self._scan.failures.append(SourceError(f"{source} holds nothing to ingest: {why}", "name other sources"))

    def _result(self, counts: DocumentCounts, intake: Intake | None, rekeyed_blocks: int) -> IngestResult:
        keyed_blocks = (intake.writer.keyed_blocks if intake else 0) + rekeyed_blocks
        with Tree.open(self._layout.root) as tree:
            if keyed_blocks and self._nets.keys is not None and tree.keys(self._nets.keys.fingerprint) is None:
                self._report("earlier parts of the tree lack lens keys of this version; --rekey makes them")
            total = time.perf_counter() - self._start
            resolve_seconds = self._nets.resolve_seconds - self._resolved_before
            tokens_added = intake.writer.tokens_added if intake else 0
            report = IngestReport(
                tree=str(self._layout.root),
                model=tree.fingerprint.model,
                documents=counts,
                tokens=tree.timeline.total_tokens,
                tokens_added=tokens_added,
                blocks=tree.timeline.total_blocks,
                nodes={f"lod{lod}": tree.timeline.n_nodes(lod) for lod in range(1, TOP_LOD + 1)},
                bytes_on_disk=tree.bytes_on_disk(),
                seconds=IngestSeconds(
                    read=self._read_seconds,
                    tokenize=intake.tokenize_seconds if intake else 0.0,
                    gist=intake.writer.gist_seconds if intake else 0.0,
                    keys=(intake.writer.key_seconds if intake else 0.0) + self._rekey_seconds,
                    write=(intake.writer.write_seconds if intake else 0.0) + self._compact_seconds,
                    total=total,
                ),
                tokens_per_second=tokens_added / (total - resolve_seconds - self._rekey_seconds),
                peak_rss_mb=peak_rss_mb(),
                keyed_blocks=keyed_blocks,
            )
        return IngestResult(report, combined(self._scan.failures + self._broken), combined(self._scan.failures))


def combined(failures: list[MctoolError]) -> MctoolError | None:
    """One error for all sources and files that could not be ingested; None when there are none."""
    if len(failures) < 2:
        return failures[0] if failures else None
    messages = [failure.message for failure in failures[:_FAILURES_TOLD]]
    messages += [f"and {len(failures) - _FAILURES_TOLD:,} more"] if len(failures) > _FAILURES_TOLD else []
    message = f"{len(failures):,} sources could not be ingested: {'; '.join(messages)}"
    if all(isinstance(failure, MissingBackendError) for failure in failures):
        return MissingBackendError(message)
    return SourceError(message, "check the files; all that could not be ingested is listed with --json")
