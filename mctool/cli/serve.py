"""``mctool serve``: an HTTP server as OpenAI's, or an MCP server."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import typer

from mctool.cli.console import reporter
from mctool.cli.options import (
    DebugOption,
    DeviceOption,
    DtypeOption,
    ModelOption,
    NoLoraOption,
    QuietOption,
    TreeOption,
)
from mctool.core.config import DEFAULT_MODEL, AskConfig, FocusConfig
from mctool.core.errors import MissingBackendError, UsageError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8808


def serve(
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Speak MCP over standard input and output instead of HTTP.")
    ] = False,
    host: Annotated[str, typer.Option(metavar="NAME", help="Address to listen on.")] = DEFAULT_HOST,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = DEFAULT_PORT,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            envvar="MCTOOL_TOKEN",
            show_envvar=True,
            help="What clients must send as their API key; needed for a --host that other machines reach.",
        ),
    ] = None,
    w_max: Annotated[
        int | None,
        typer.Option("--w-max", metavar="TOKENS", help="Most tokens that the model reads. [default: as of ask]"),
    ] = None,
    lens: Annotated[str, typer.Option(help="The lens: hybrid, learned or lexical.")] = AskConfig.lens,
    path: Annotated[str | None, typer.Option(metavar="GLOB", help="Search only documents whose path matches.")] = None,
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    no_lora: NoLoraOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Serve a tree to other programs, with the model loaded once.

    Over HTTP as OpenAI's API does: POST /v1/chat/completions (also as a stream), GET /v1/models, GET /healthz. With
    --mcp, as an MCP server with the tools ask, focus, read and ingest.
    """
    _require_extra()
    if mcp and (token is not None or (host, port) != (DEFAULT_HOST, DEFAULT_PORT)):
        raise UsageError("--mcp speaks over standard input and output", "leave --host, --port and --token out")
    from mctool.app.ask import default_w_max
    from mctool.app.serve.service import Service, ServiceConfig

    report = reporter(quiet)
    focus = FocusConfig(w_max=w_max if w_max is not None else default_w_max(device))
    asking = AskConfig(focus=focus, lens=lens, path_glob=path)  # type: ignore[arg-type]  (checked by AskConfig)
    service = Service(ServiceConfig(tree, model, device, dtype, not no_lora, asking), report)
    if mcp:
        from mctool.app.serve.mcp import serve_mcp

        serve_mcp(service)
        return
    from mctool.app.serve.http import Address
    from mctool.app.serve.http import serve as run

    address = Address(host, port, token)
    service.reader.load()  # what is wrong with the tree or the model is told now
    run(service, address, report)


def _require_extra() -> None:
    missing = [name for name in ("mcp", "starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingBackendError(
            f"serving needs the package {missing[0]}", 'install it with `pip install "mctool[serve]"`'
        )
