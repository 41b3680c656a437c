"""``mctool verify``."""

from __future__ import annotations

from mctool.cli.console import output_console, print_json
from mctool.cli.options import DebugOption, JsonOption, QuietOption, TreeOption
from mctool.core.errors import TreeDamagedError


def verify(
    tree: TreeOption = None, json: JsonOption = False, quiet: QuietOption = False, _debug: DebugOption = False
) -> None:
    """Check everything that a tree holds; exit code 4 when anything is wrong."""
    from mctool.app.verify import verify as run

    report = run(tree)
    if json:
        print_json(report.to_json())
    else:
        console = output_console()
        for damage in report.damage:
            blocks = "" if damage.start_block is None else f" (blocks {damage.start_block} to {damage.end_block})"
            console.print(f"{damage.where}: {damage.what}{blocks}", markup=False)
        if report.ok and not quiet:
            console.print(f"{report.tree} is sound", markup=False)
    if not report.ok:
        places = "1 place" if len(report.damage) == 1 else f"{len(report.damage)} places"
        raise TreeDamagedError(
            f"{report.tree} is damaged in {places}",
            "restore the files from a backup, or ingest the sources into a new tree (--tree PATH)",
        )
