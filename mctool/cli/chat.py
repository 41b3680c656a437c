"""``mctool chat``: questions in a row, with the model kept loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mctool.cli.ask import AnswerOutput, tree_of_files
from mctool.cli.console import note_console, output_console, reporter
from mctool.cli.options import (
    DebugOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    NoLoraOption,
    QuietOption,
    TreeOption,
)
from mctool.cli.questions import Asked
from mctool.core.config import DEFAULT_MODEL, AskConfig, FocusConfig
from mctool.core.errors import MctoolError, UsageError

if TYPE_CHECKING:
    from mctool.app.ask import Reader
    from mctool.app.dialogue import Dialogue
    from mctool.core.records import AskReport
    from mctool.engine.prompt import Turn

PROMPT = "> "
HISTORY_LINES = 1_000
LINES_AROUND = 8
_HELP = """Ask a question; one that leans on the last ones (who was he? and why?) is taken together with them.
/focus            the LOD map of the last answer's working context
/why              what the last answer rests on, and the nats that each citation is worth to it
/open PATH:LINE   the text around a line; /open N for citation N of the last answer
/help             this
/quit             end; so does Ctrl-D. Ctrl-C stops an answer."""


def chat(
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="SOURCE", help="Talk about these files instead of a tree."),
    ] = None,
    w_max: Annotated[
        int | None,
        typer.Option("--w-max", metavar="TOKENS", help="Most tokens that the model reads. [default: as of ask]"),
    ] = None,
    lens: Annotated[str, typer.Option(help="The lens: hybrid, learned or lexical.")] = AskConfig.lens,
    path: Annotated[str | None, typer.Option(metavar="GLOB", help="Search only documents whose path matches.")] = None,
    style: Annotated[str, typer.Option(help="Length of the answers: short, long or auto.")] = "auto",
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = AskConfig.max_new_tokens,
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    no_lora: NoLoraOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Talk about the documents of a tree: the model stays loaded, and questions may lean on earlier ones.

    On a terminal, /help tells what else can be done. From a pipe, each line is a question or a /command.
    """
    from mctool.app.ask import Reader
    from mctool.app.dialogue import Dialogue

    if "-" in (file or []):
        raise UsageError("--file - would take the questions' place on standard input", "write it to a file")
    report = reporter(quiet)
    place = tree_of_files(file, tree, model, device, report) if file else tree
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(place, model, device, dtype, report, lora=not no_lora))
        config = AskConfig(
            focus=FocusConfig(w_max=w_max if w_max is not None else reader.default_w_max),
            style=style,  # type: ignore[arg-type]  (checked by AskConfig)
            max_new_tokens=max_new_tokens,
            lens=lens,  # type: ignore[arg-type]
            path_glob=path,
        )
        output = AnswerOutput(stack, as_json=as_json, quiet=quiet, show_focus=False, trace=None)
        talk = _Talk(reader, config, output, Dialogue())
        if sys.stdin.isatty():
            report("ask a question; /help tells what else can be done")
            stack.enter_context(_history())
            talk.run_on_terminal()
        else:
            talk.run(line.rstrip("\n") for line in sys.stdin)


@dataclass
class _Talk:
    """A conversation: each line is a question or a command.

    Attributes:
        reader: Answers.
        config: How.
        output: Prints answers.
        dialogue: The turns so far.
        last: The last answer; None before the first.
        topic: The turns that its question followed up.
    """

    reader: Reader
    config: AskConfig
    output: AnswerOutput
    dialogue: Dialogue
    last: AskReport | None = None
    topic: tuple[Turn, ...] = ()

    def run(self, lines: Iterator[str]) -> None:
        """Take all lines. Raises what is wrong with one of them."""
        for line in lines:
            if not self.take(line):
                return

    def run_on_terminal(self) -> None:
        """Take lines until the user ends; what is wrong with one is told, and Ctrl-C only stops what goes on."""
        going_on = True
        while going_on:
            try:
                going_on = self.take(input(PROMPT if sys.stdout.isatty() else ""))
            except EOFError:
                sys.stdout.write("\n")
                return
            except KeyboardInterrupt:
                sys.stdout.write("\n")
            except MctoolError as error:
                note_console().print(f"mctool: {error}", markup=False)

    def take(self, line: str) -> bool:
        """Do what a line says; False when it ends the conversation."""
        words = line.split()
        if not words:
            return True
        if not words[0].startswith("/"):
            self._ask(line.strip())
            return True
        commands: dict[str, Callable[[str], None]] = {
            "/focus": self._show_focus,
            "/why": self._explain,
            "/open": self._open,
            "/help": lambda _rest: output_console().print(_HELP, markup=False),
        }
        if words[0] in ("/quit", "/exit"):
            return False
        if words[0] not in commands:
            raise UsageError(f"there is no command {words[0]}", "/help lists them")
        commands[words[0]](line.strip().removeprefix(words[0]).strip())
        return True

    def _ask(self, question: str) -> None:
        self.topic = self.dialogue.topic(question)
        self.last = self.output.ask(self.reader, Asked(question), self.config, self.topic)
        self.dialogue.add(self.last)

    def _answer(self) -> AskReport:
        if self.last is None:
            raise UsageError("nothing was asked yet", "ask a question first")
        return self.last

    def _show_focus(self, _rest: str) -> None:
        from mctool.app.inspect import find_places
        from mctool.render.lod_map import render_lod_map

        focus, console = self._answer().focus, output_console()
        title = f"Focus after {len(focus.iterations)} refocus{'' if len(focus.iterations) == 1 else 'es'}"
        console.print(
            render_lod_map(
                focus.entries,
                w_max=focus.w_max,
                cost=focus.cost,
                width=console.width,
                title=title,
                places=find_places(self.reader.tree),
            )
        )

    def _explain(self, _rest: str) -> None:
        """Answer once more, now measuring; the same settings give the same answer."""
        from mctool.render.answer import render_citations, render_nearest

        report = self._answer()
        if not report.supported:
            output_console().print(
                render_nearest(report.nearest) if report.nearest else "nothing was found that could answer it"
            )
            return
        explained = self.reader.ask(report.question, replace(self.config, explain=True), turns=self.topic)
        output_console().print(render_citations(explained.citations))

    def _open(self, rest: str) -> None:
        from mctool.app.read_lines import read_lines
        from mctool.render.safe_text import safe_line

        path, line = self._place(rest)
        shown = read_lines(self.reader.tree, path, max(1, line - LINES_AROUND), line + LINES_AROUND)
        console = output_console()
        for number, text in enumerate(shown.text.split("\n"), shown.start_line):
            mark = ">" if number == line else " "
            console.print(f"{mark}{number:6}  {safe_line(text)}", markup=False)

    def _place(self, rest: str) -> tuple[str, int]:
        """The path and line that are meant by ``PATH:LINE``, ``PATH`` or the number of a citation."""
        if rest.isdecimal():
            cited = self._answer().citations or self._answer().nearest
            if not 1 <= int(rest) <= len(cited):
                raise UsageError(f"the last answer has no citation {rest}", f"it has {len(cited)}")
            return cited[int(rest) - 1].path, cited[int(rest) - 1].start_line
        path, _, line = rest.rpartition(":")
        if path and line.isdecimal() and int(line) > 0:
            return path, int(line)
        if not rest:
            raise UsageError("/open needs a place", "write /open PATH:LINE, or /open N for citation N")
        return rest, 1


@contextmanager
def _history() -> Iterator[None]:
    """Lines of former conversations at the arrow keys, as far as there is readline and a place to keep them."""
    try:
        import readline
    except ImportError:
        yield
        return
    from platformdirs import user_state_path

    file: Path = user_state_path("mctool", appauthor=False) / "chat_history"
    with suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(file)
