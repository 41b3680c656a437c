"""``mctool verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mctool.cli.console import note_console, output_console, print_json, reporter
from mctool.cli.options import DebugOption, DeviceOption, JsonOption, ModelOption, QuietOption, TreeOption
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import TreeDamagedError

if TYPE_CHECKING:
    from rich.console import Console

    from mctool.app.verify import DamageRecord, VerifyReport

_DOCUMENTS_SHOWN = 4


def verify(
    tree: TreeOption = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Make anew what is damaged, from the rest of the tree or unchanged sources."),
    ] = False,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Check everything that a tree holds; exit code 4 when anything is wrong.

    The model is used by --repair alone, and only where gists or tokens are damaged.
    """
    from mctool.app.verify import RepairConfig
    from mctool.app.verify import verify as run

    report = run(tree, RepairConfig(model, device, reporter(quiet)) if repair else None)
    if json:
        print_json(report.to_json())
    else:
        _print_report(report, quiet)
    if not report.ok:
        raise _error(report, repair)


def _print_report(report: VerifyReport, quiet: bool) -> None:
    console = output_console()
    for damage in report.repaired:
        _print_damage(console, damage, "repaired: ")
    for damage in report.damage:
        _print_damage(console, damage, "")
    for note in report.notes:
        note_console(quiet).print(note, style="dim", markup=False)
    if report.ok and not quiet:
        console.print(f"{report.tree} is sound", markup=False)


def _print_damage(console: Console, damage: DamageRecord, prefix: str) -> None:
    from mctool.render.safe_text import safe_line

    blocks = "" if damage.start_block is None else f" (blocks {damage.start_block} to {damage.end_block})"
    shown = damage.documents[:_DOCUMENTS_SHOWN]
    more = len(damage.documents) - len(shown)
    names = f" of {', '.join(shown)}{f' and {more:,} more' if more else ''}" if shown else ""
    console.print(safe_line(f"{prefix}{damage.where}: {damage.what}{blocks}{names}"), markup=False)


def _error(report: VerifyReport, repair: bool) -> TreeDamagedError:
    places = "1 place" if len(report.damage) == 1 else f"{len(report.damage)} places"
    if not repair:
        return TreeDamagedError(
            f"{report.tree} is damaged in {places}", "`mctool verify --repair` makes anew what can be made anew"
        )
    paths = sorted({path for damage in report.damage for path in damage.documents})
    lost = f", of {len(paths)} document{'s' * (len(paths) != 1)}" if paths else ""
    return TreeDamagedError(
        f"{report.tree} is damaged in {places} that cannot be made anew{lost}",
        "restore the files from a backup, or ingest the sources into a new tree (--tree PATH)",
    )
