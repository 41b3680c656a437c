"""``mctool doctor``."""

from __future__ import annotations

from mctool.cli.console import output_console, print_json
from mctool.cli.options import DebugOption, DeviceOption, JsonOption, ModelOption, TreeOption
from mctool.core.config import DEFAULT_MODEL


def doctor(
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    _debug: DebugOption = False,
) -> None:
    """Say what mctool finds here: machine, packages, model, nets, tree, terminal. For you, and for a bug report.

    Nothing is changed or downloaded. The exit code is 0 unless something is broken.
    """
    from mctool.app.doctor import examine

    found = examine(tree, model, device)
    if json:
        print_json(found.report.to_json())
    else:
        from mctool.render.doctor import render_findings

        output_console().print(render_findings(found.report.findings))
    if found.error is not None:
        raise found.error
