"""The program: its commands, and the one place where errors end.

Command functions import what they need when they run, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from mctool.cli.ask import ask
from mctool.cli.chat import chat
from mctool.cli.config import config
from mctool.cli.config_files import name_variables, read_configuration
from mctool.cli.curate import curate
from mctool.cli.doctor import doctor
from mctool.cli.evaluate import evaluate
from mctool.cli.examples import add_examples
from mctool.cli.ingest import ingest
from mctool.cli.inspect import inspect
from mctool.cli.models import models
from mctool.cli.options import DebugOption, Invocation
from mctool.cli.serve import serve
from mctool.cli.train import train
from mctool.cli.verify import verify
from mctool.core.errors import MctoolError, ResourceError, UsageError
from mctool.version import __version__

PROGRAM = "mctool"
INTERRUPTED = 130
_COMPLETION = "_MCTOOL_COMPLETE"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    name=PROGRAM,
    help="Ask questions about whole books and whole codebases, and get answers with citations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(ingest)
app.command()(ask)
app.command()(chat)
app.command()(inspect)
app.add_typer(models, name="models")
app.add_typer(config, name="config")
app.command()(serve)
app.command()(verify)
app.add_typer(curate, name="curate")
app.command()(doctor)
app.add_typer(evaluate, name="evaluate")
app.add_typer(train, name="train")


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
    _debug: DebugOption = False,
) -> None:
    """Ask questions about whole books and whole codebases, and get answers with citations."""


def main(argv: list[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: Arguments without the name of the program; None for those of the process.

    Returns:
        The exit code; see :mod:`mctool.core.errors`.
    """
    invocation = Invocation()
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that is not Unicode must not end the program
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(sys.argv[1:] if argv is None else argv, invocation)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _close_output()
        return 0
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):  # which is how Rich ends --help
            raise
        _close_output()
        return 0
    except Exception as error:  # noqa: BLE001  (the one place where errors end)
        return _tell(error, invocation.debug)
    return code


def _open_streams() -> None:
    """Standard streams that were closed when the program was started are empty, or go nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  (open to the end)


def _run(argv: list[str], invocation: Invocation) -> int:
    """Parse the arguments and run the command; errors pass through, which click's own ``main`` would print."""
    command = program_command()
    if _COMPLETION in os.environ:
        command.main(argv, PROGRAM)
    configuration = read_configuration(command, _working_directory())
    try:
        with command.make_context(PROGRAM, list(argv), obj=invocation, default_map=configuration.defaults) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except UsageError as error:
        error.message = configuration.blame(error.message)
        raise
    return 0


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the working directory does not exist any more", "change to one that does") from error


def program_command() -> Any:
    """The command group of the program: options may be set by variables, and --help ends with examples."""
    command = typer.main.get_command(app)
    name_variables(command)
    add_examples(command)
    return command


def _tell(error: Exception, debug: bool) -> int:
    """Print one line, or the traceback, on stderr; return the exit code."""
    from mctool.render.safe_text import safe_line  # names of files and arguments may hold anything

    told = _told(error)
    if debug:
        traceback.print_exception(error)
    if told is None:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        hint = "" if debug else "; this is a bug: run again with --debug and report what it prints"
        sys.stderr.write(f"{PROGRAM}: internal error: {safe_line(what)}{hint}\n")
        return MctoolError.exit_code
    if str(told):  # help instead of a command has been printed already
        sys.stderr.write(f"{PROGRAM}: {safe_line(' '.join(str(told).split()))}\n")
    return told.exit_code


def _told(error: Exception) -> MctoolError | None:
    """The error as one whose message is meant for the user; None for a bug."""
    if isinstance(error, MctoolError):
        return error
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        message = error.format_message().replace(". Did you mean", ", did you mean").rstrip(".?") + _variable(error)
        return UsageError(message, message and f"see `{context.command_path if context else PROGRAM} --help`")
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # the latter is how torch says it
        return ResourceError("out of memory; nothing that was committed is lost", "close other programs and run again")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return ResourceError(f"no room on the disk: {error}", "free some disk space and run again")
    return None


def _variable(error: typer.TyperException) -> str:
    """The environment variable that gave a bad value; nothing when another place did."""
    param, context = getattr(error, "param", None), getattr(error, "ctx", None)
    source = context.get_parameter_source(param.name) if param and context else None
    return f" (set by {param.envvar})" if param and source and source.name == "ENVIRONMENT" else ""


def _close_output() -> None:
    """Nobody reads stdout any more: let what is still buffered go nowhere, without a message when Python ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
