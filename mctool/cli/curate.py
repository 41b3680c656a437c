"""``mctool curate compact``."""

from __future__ import annotations

import typer

from mctool.cli.console import output_console, print_json, progress_bar, reporter
from mctool.cli.options import DebugOption, DeviceOption, JsonOption, ModelOption, QuietOption, TreeOption
from mctool.core.config import DEFAULT_MODEL

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


def _count(n_segments: int) -> str:
    return "1 segment" if n_segments == 1 else f"{n_segments:,} segments"
