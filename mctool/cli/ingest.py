"""``mctool ingest``."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from mctool.cli.console import note_console, output_console, print_json, progress_bar, reporter
from mctool.cli.options import DebugOption, DeviceOption, JsonOption, ModelOption, QuietOption, TreeOption
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import SourceError, TreeBusyError, UsageError

if TYPE_CHECKING:
    from mctool.app.ingest import IngestConfig, IngestResult
    from mctool.app.ingest_nets import IngestNets
    from mctool.core.records import IngestReport, Skipped

_REASONS_SHOWN = 8
_BASIS = {
    "history": "by earlier ingests into this tree",
    "sample": "measured on a sample",
    "experience": "by experience: the model is not here yet",
}


def ingest(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="Files and directories; - for standard input.", show_default=False),
    ] = None,
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Take only these files of directories; patterns as in .gitignore."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave these files of directories out; patterns as in .gitignore."),
    ] = None,
    max_file_mb: Annotated[float, typer.Option(metavar="MB", help="Skip larger files.")] = 16.0,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Path to record for standard input.", show_default="stdin")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read, and what it would take; write nothing.")
    ] = False,
    rekey: Annotated[
        bool,
        typer.Option(
            "--rekey",
            help="Make the lens keys that the tree lacks or that another version made, too; SOURCE may be left out.",
        ),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: ingest again whenever a file changes, until Ctrl-C.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Also ingest a home directory, or very many files.")] = False,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Bring a MegaContext Tree up to date with files and directories.

    Only what changed is read; documents whose file is gone are retired. Directories honour .gitignore and
    .mctoolignore; binaries, vendored and generated files are skipped.
    """
    from mctool.app.ingest import IngestConfig
    from mctool.app.scan import STDIN
    from mctool.sources import SourceOptions

    sources = sources or []
    if not sources and not rekey:
        raise UsageError("Missing argument 'SOURCE'", "see `mctool ingest --help`")
    if dry_run and rekey:
        raise UsageError("--dry-run and --rekey exclude each other", "leave one out")
    if watch and (dry_run or not sources):
        raise UsageError("--watch needs sources, and something to do", "leave --dry-run out")
    if name is not None and STDIN not in sources:
        raise UsageError("--name is for standard input", "name - as a source, or leave --name out")
    config = IngestConfig(
        sources=tuple(sources),
        tree=tree,
        model=model,
        device=device,
        stdin_name="stdin" if name is None else name,
        options=SourceOptions(tuple(include or ()), tuple(exclude or ()), max_file_mb),
        rekey=rekey,
        confirmed=yes,
    )
    if dry_run:
        _estimate(config, json, quiet)
        return
    report = reporter(quiet)
    if STDIN in sources and sys.stdin.isatty():
        report("reading from the terminal; end with Ctrl-D")
    if watch:
        _keep_current(config, json, quiet)
        return
    result = _run(config, quiet)
    _print_result(result, rekey, json, quiet)
    if result.error is not None:
        raise result.error


def _run(config: IngestConfig, quiet: bool, nets: IngestNets | None = None) -> IngestResult:
    from mctool.app.ingest import ingest as run

    with progress_bar("ingest", "tok", quiet, scale=32) as progress:
        return run(config, progress, reporter(quiet), nets)


def _print_result(result: IngestResult, rekey: bool, json: bool, quiet: bool) -> None:
    if json:
        print_json(result.report.to_json())
    else:
        _print_skipped(result.report.documents.skipped, quiet)
        _print_report(result.report, rekey)
    sys.stdout.flush()


def _keep_current(config: IngestConfig, json: bool, quiet: bool) -> None:
    """Ingest now and after each change. What cannot be ingested just now is told, and tried again."""
    from mctool.app.ingest_nets import IngestNets
    from mctool.app.watch import watch_sources

    nets = IngestNets(config.model, config.device, reporter(quiet))
    is_due = is_first = True
    for has_changed in watch_sources(config):
        is_due = is_due or has_changed
        if not is_due:
            continue
        try:
            result = _run(config, quiet, nets)
        except (SourceError, TreeBusyError) as error:
            is_due = isinstance(error, TreeBusyError)
            note_console().print(f"mctool: {error}", markup=False)
            continue
        documents = result.report.documents
        if is_first or documents.added or documents.updated or documents.retired:
            _print_result(result, config.rekey, json, quiet)
            if result.error is not None:
                note_console().print(f"mctool: {result.error}", markup=False)
        if is_first:
            reporter(quiet)("waiting for changes; end with Ctrl-C")
        is_due = is_first = False


def _estimate(config: IngestConfig, json: bool, quiet: bool) -> None:
    from mctool.app.estimate import estimate_ingest

    estimate = estimate_ingest(config)
    if json:
        print_json(estimate.to_json())
        return
    _print_skipped(estimate.skipped, quiet)
    console = output_console()
    console.print(f"{estimate.tree}{'' if estimate.exists else ' (new)'}: nothing written", markup=False)
    changes = {
        "new": estimate.new,
        "changed": estimate.changed,
        "unchanged": estimate.unchanged,
        "to retire": estimate.retired,
    }
    console.print(f"documents: {_counts(changes)}", markup=False)
    if estimate.tokens:
        console.print(
            f"to read: {_size(estimate.bytes)}, about {estimate.tokens:,} tokens, {estimate.seconds:.0f} s and "
            f"{_size(estimate.bytes_on_disk)} on disk ({_BASIS[estimate.basis]})",
            markup=False,
        )
    else:
        console.print("to read: no text", markup=False)


def _counts(changes: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in changes.items() if count) or "none"


def _print_report(report: IngestReport, rekey: bool) -> None:
    documents, seconds = report.documents, report.seconds
    changes = {
        "new": documents.added,
        "changed": documents.updated,
        "unchanged": documents.unchanged,
        "retired": documents.retired,
    }
    console = output_console()
    console.print(f"{report.tree}: {report.tokens:,} tokens, {_size(report.bytes_on_disk)} on disk", markup=False)
    console.print(f"documents: {_counts(changes)}", markup=False)
    if report.tokens_added:
        console.print(
            f"{report.tokens_added:,} tokens added in {seconds.total:.1f} s, {report.tokens_per_second:,.0f} tokens/s",
            markup=False,
        )
    if rekey:
        made = f"made for {report.keyed_blocks:,} blocks in {seconds.keys:.1f} s"
        console.print(f"lens keys: {made if report.keyed_blocks else 'none were missing'}", markup=False)


def _print_skipped(skipped: list[Skipped], quiet: bool) -> None:
    """What was left out, by reason, the most frequent first."""
    from mctool.render.safe_text import safe_line

    console = note_console(quiet)
    reasons = Counter(skip.reason for skip in skipped).most_common()
    for reason, count in reasons[:_REASONS_SHOWN]:
        example = next(skip.path for skip in skipped if skip.reason == reason)
        others = f" and {count - 1:,} more" if count > 1 else ""
        console.print(safe_line(f"skipped {example}{others}: {reason}"), style="dim", markup=False)
    if len(reasons) > _REASONS_SHOWN:
        rest = sum(count for _, count in reasons[_REASONS_SHOWN:])
        console.print(f"skipped {rest:,} more for other reasons; --json lists all", style="dim", markup=False)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:,.0f} kB"
