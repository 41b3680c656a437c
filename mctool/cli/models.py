"""``mctool models list``, ``pull`` and ``path``."""

from __future__ import annotations

from typing import Annotated

import typer

from mctool.cli.console import output_console, print_json, reporter
from mctool.cli.options import DebugOption, JsonOption, QuietOption
from mctool.core.config import DEFAULT_MODEL

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Built-in alias, Hugging Face directory, .gguf file, or hub name.")
]

models = typer.Typer(help="List, fetch and find base models.", no_args_is_help=True)


@models.command("list")
def list_built_in(json: JsonOption = False, _debug: DebugOption = False) -> None:
    """List the models that have a built-in alias."""
    from mctool.app.models import list_models

    found = list_models()
    if json:
        print_json([model.to_json() for model in found])
        return
    console = output_console()
    for model in found:
        state = f"at {model.path}" if model.here else f"{model.download_bytes / 1e6:.0f} MB to download"
        console.print(f"{model.name}: {state}; {model.license}; {model.source}", markup=False)


@models.command()
def pull(
    name: NameArgument = DEFAULT_MODEL,
    json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Fetch a model ahead of its first use, and print where it is."""
    from mctool.app.models import pull_model

    found = pull_model(name, reporter(quiet))
    if json:
        print_json(found.to_json())
    else:
        output_console().print(found.path, markup=False)


@models.command()
def path(name: NameArgument = DEFAULT_MODEL, json: JsonOption = False, _debug: DebugOption = False) -> None:
    """Print the directory of a model that is on this machine."""
    from mctool.app.models import locate_model

    found = locate_model(name)
    if json:
        print_json(found.to_json())
    else:
        output_console().print(found.path, markup=False)
