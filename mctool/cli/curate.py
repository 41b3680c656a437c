"""``mctool curate compact``, ``plan``, ``apply`` and ``restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mctool.cli.console import output_console, print_json, progress_bar, reporter
from mctool.cli.options import DebugOption, DeviceOption, JsonOption, ModelOption, QuietOption, TreeOption
from mctool.core.config import DEFAULT_MODEL

if TYPE_CHECKING:
    from mctool.app.prune import PruneReport

DOCUMENTS_SHOWN = 20

KeepFractionOption = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Least share of the tokens whose text stays, 0 to 1.", show_default=False),
]
MaxGbOption = Annotated[
    float | None,
    typer.Option(metavar="GB", help="Most that the tree should take, without its archive.", show_default=False),
]
ProtectOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB", help="Never archive documents whose path matches; may be repeated.", show_default=False
    ),
]

curate = typer.Typer(help="Keep a tree small and quick.", no_args_is_help=True)


@curate.command()
def compact(
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Merge small segments, and let go of what is retired; an ingest does so by itself when many have gathered.

    Gists and lens keys are copied. Whoever reads the tree meanwhile goes on undisturbed.
    """
    from mctool.app.curate import compact as run

    with progress_bar("compact", "tok", quiet, scale=32) as progress:
        report = run(tree, model, device, progress, reporter(quiet))
    if json:
        print_json(report.to_json())
        return
    console = output_console()
    if not report.merged:
        console.print(f"{report.tree}: nothing to merge in {_count(report.segments)}", markup=False)
        return
    sizes = f"{report.bytes_before / 1e6:,.1f} MB became {report.bytes_after / 1e6:,.1f} MB"
    console.print(
        f"{report.tree}: {_count(report.merged)} became {report.made}, {report.dropped_blocks:,} retired blocks are "
        f"gone, {sizes} in {report.seconds:.1f} s",
        markup=False,
    )


@curate.command()
def plan(
    keep_fraction: KeepFractionOption = None,
    max_gb: MaxGbOption = None,
    protect: ProtectOption = None,
    tree: TreeOption = None,
    json: JsonOption = False,
    _debug: DebugOption = False,
) -> None:
    """Show which documents ``apply`` would archive: those that focus touched least. Changes nothing."""
    from mctool.app.prune import PruneConfig, plan_pruning
    from mctool.render.curation import prune_table

    result = plan_pruning(tree, PruneConfig(keep_fraction, max_gb, tuple(protect or ())))
    if json:
        print_json(result.to_json())
        return
    console = output_console()
    if result.documents:
        console.print(prune_table(result.to_json()["documents"], DOCUMENTS_SHOWN))
    console.print(
        f"{_documents(len(result.documents))} to archive, {result.tokens_to_archive:,} of {result.tokens:,} tokens; "
        f"{result.bytes / 1e6:,.1f} MB would become about {result.bytes_after / 1e6:,.1f} MB and the archive",
        markup=False,
    )


@curate.command()
def apply(
    keep_fraction: KeepFractionOption = None,
    max_gb: MaxGbOption = None,
    protect: ProtectOption = None,
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Archive the text of the documents that ``plan`` shows; their gists and lens keys stay.

    Archived text is not searched until ``restore``. It lies in archive/ of the tree, and may be kept elsewhere.
    """
    from mctool.app.prune import PruneConfig, apply_pruning

    config = PruneConfig(keep_fraction, max_gb, tuple(protect or ()))
    with progress_bar("archive", "tok", quiet, scale=32) as progress:
        report = apply_pruning(tree, config, model, device, progress, reporter(quiet))
    _print_pruned(report, "archived", json)


@curate.command()
def restore(
    globs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GLOB]...", help="Only documents whose path matches; else all.", show_default=False),
    ] = None,
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Bring the text of archived documents back, to the bit."""
    from mctool.app.prune import restore as run

    with progress_bar("restore", "tok", quiet, scale=32) as progress:
        report = run(tree, tuple(globs or ()), model, device, progress, reporter(quiet))
    _print_pruned(report, "restored", json)


def _print_pruned(report: PruneReport, what: str, json: bool) -> None:
    if json:
        print_json(report.to_json())
        return
    output_console().print(
        f"{report.tree}: {_documents(report.documents)} of {report.tokens:,} tokens {what}, {report.archived:,} in the "
        f"archive now; the tree takes {report.bytes / 1e6:,.1f} MB, the archive {report.archive_bytes / 1e6:,.1f} MB",
        markup=False,
    )


def _documents(n_documents: int) -> str:
    return "1 document" if n_documents == 1 else f"{n_documents:,} documents"


def _count(n_segments: int) -> str:
    return "1 segment" if n_segments == 1 else f"{n_segments:,} segments"
