"""``mctool ask``: a question in, an answer with citations out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mctool.cli.console import note_console, output_console, print_json, reporter
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
from mctool.cli.questions import Asked, questions_of
from mctool.core.config import DEFAULT_MODEL, AskConfig, FocusConfig
from mctool.core.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from mctool.app.ask import Listeners, Reader
    from mctool.cli.focus_frames import FocusFrames
    from mctool.core.records import AskReport
    from mctool.engine.prompt import Turn

_FOCUS = "Focus"
_ANSWER = "Answer"
_STALE_SHOWN = 3


def ask(
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What is asked; - reads it from standard input.")
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="SOURCE", help="Ask about these files instead of a tree."),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='JSON lines {"id", "question"}, - for standard input, each answered as it comes; '
            "with --json, one result a line.",
        ),
    ] = None,
    w_max: Annotated[
        int | None,
        typer.Option(
            "--w-max",
            metavar="TOKENS",
            help="Most tokens that the model reads: prompt, question and entries. [default: 2048; 8192 on a GPU]",
            rich_help_panel=_FOCUS,
        ),
    ] = None,
    lens: Annotated[
        str,
        typer.Option(
            help="The lens: hybrid, by words and meaning; learned, by meaning alone; lexical, by words alone.",
            rich_help_panel=_FOCUS,
        ),
    ] = AskConfig.lens,
    path: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Search only documents whose path matches.", rich_help_panel=_FOCUS),
    ] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Search only files in this language.", rich_help_panel=_FOCUS),
    ] = None,
    positions: Annotated[
        str,
        typer.Option(help="Rotary positions of entries: squeeze, compact or absolute.", rich_help_panel=_FOCUS),
    ] = "squeeze",
    max_iterations: Annotated[
        int, typer.Option(help="Most refocus iterations.", rich_help_panel=_FOCUS)
    ] = FocusConfig.max_iterations,
    n_diff: Annotated[
        int, typer.Option("--n-diff", help="Most actions in one iteration.", rich_help_panel=_FOCUS)
    ] = FocusConfig.n_diff,
    tau_expand: Annotated[
        float, typer.Option("--tau-expand", help="Expand above this score.", rich_help_panel=_FOCUS)
    ] = FocusConfig.tau_expand,
    tau_collapse: Annotated[
        float, typer.Option("--tau-collapse", help="Collapse below minus this score.", rich_help_panel=_FOCUS)
    ] = FocusConfig.tau_collapse,
    cooldown: Annotated[
        int, typer.Option(help="Iterations before a change may be undone.", rich_help_panel=_FOCUS)
    ] = FocusConfig.cooldown,
    no_narrow: Annotated[
        bool, typer.Option("--no-narrow", help="Fill the budget with raw text.", rich_help_panel=_FOCUS)
    ] = False,
    style: Annotated[
        str,
        typer.Option(
            help="Length of the answer: short, a few words; long, whole sentences; auto, by the question.",
            rich_help_panel=_ANSWER,
        ),
    ] = "auto",
    max_new_tokens: Annotated[
        int, typer.Option(help="Most tokens of the answer.", rich_help_panel=_ANSWER)
    ] = AskConfig.max_new_tokens,
    temperature: Annotated[
        float, typer.Option(help="0 takes the likeliest token.", rich_help_panel=_ANSWER)
    ] = AskConfig.temperature,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.", rich_help_panel=_ANSWER)] = AskConfig.seed,
    no_answer: Annotated[
        bool, typer.Option("--no-answer", help="Focus and citations only.", rich_help_panel=_ANSWER)
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Nats that each citation is worth to the answer.", rich_help_panel=_ANSWER),
    ] = False,
    show_focus: Annotated[
        bool, typer.Option("--show-focus", help="Draw the LOD map after each refocus, on stderr.")
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="First bring the tree up to date with all that was ingested into it.")
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every refocus as JSON lines; - for stdout, instead of the answer."),
    ] = None,
    tree: TreeOption = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    no_lora: NoLoraOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Answer a question about the documents of a tree, with citations."""
    if "-" in (file or []) and "-" in (question, str(questions)):
        raise UsageError("the question and --file both read standard input", "give one of them another way")
    asked = questions_of(question, questions)
    if trace == Path("-") and as_json:
        raise UsageError("--trace - and --json both write to standard output", "write the trace to a file")

    from mctool.app.ask import Reader

    report = reporter(quiet)
    place = tree_of_files(file, tree, model, device, report) if file else tree
    if refresh and not file:  # the tree of files is always fresh
        from mctool.app.refresh import refresh as read_again

        read_again(tree, model, device, report)
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(place, model, device, dtype, report, lora=not no_lora))
        focus = FocusConfig(
            w_max=w_max if w_max is not None else reader.default_w_max,
            max_iterations=max_iterations,
            n_diff=n_diff,
            tau_expand=tau_expand,
            tau_collapse=tau_collapse,
            cooldown=cooldown,
            narrow=not no_narrow,
        )
        config = AskConfig(
            focus=focus.filled() if no_narrow else focus,
            positions=positions,  # type: ignore[arg-type]  (checked by AskConfig)
            style=style,  # type: ignore[arg-type]
            max_new_tokens=0 if no_answer else max_new_tokens,
            temperature=temperature,
            seed=seed,
            lens=lens,  # type: ignore[arg-type]
            path_glob=path,
            languages=tuple(lang or ()),
            explain=explain,
        )
        output = AnswerOutput(stack, as_json=as_json, quiet=quiet, show_focus=show_focus, trace=trace)
        for asking in asked:
            output.ask(reader, asking, config)
        _warn_of_changes(reader.stale, quiet)


def tree_of_files(files: list[str], tree: Path | None, model: str, device: str, report: Any) -> Path:
    """A cached tree that holds just these files, brought up to date."""
    if tree is not None:
        raise UsageError("--file and --tree exclude each other", "leave one out")
    from mctool.app.cached_tree import cached_tree

    return cached_tree(files, model, device, report)


def _warn_of_changes(stale: list[str], quiet: bool) -> None:
    """Tell that the tree no longer says what the files say; a record lists them all."""
    if not stale:
        return
    names = ", ".join(stale[:_STALE_SHOWN]) + (", ..." if len(stale) > _STALE_SHOWN else "")
    note_console(quiet).print(
        f"{len(stale)} document{'s' if len(stale) > 1 else ''} changed since the last ingest ({names}); "
        "ask with --refresh, or run `mctool ingest` again",
        style="yellow",
        markup=False,
    )


class AnswerOutput:
    """Where results go: stdout for answers, stderr for maps and, in a pipe, citations."""

    def __init__(self, stack: ExitStack, *, as_json: bool, quiet: bool, show_focus: bool, trace: Path | None) -> None:
        self._as_json, self._quiet, self._show_focus = as_json, quiet, show_focus
        self._is_traced = trace == Path("-")  # what is printed is then the trace, the answer in it
        self._trace = None
        if trace is not None:
            from mctool.app.trace import Trace

            try:
                stream = sys.stdout if str(trace) == "-" else stack.enter_context(trace.open("w", encoding="utf-8"))
            except OSError as error:
                raise ResourceError(f"cannot write --trace {trace}: {error.strerror}", "name another file") from error
            self._trace = Trace(stream)

    def ask(self, reader: Reader, question: Asked, config: AskConfig, turns: Sequence[Turn] = ()) -> AskReport:
        """Answer one question and print the result; ``turns`` is what it follows up."""
        from mctool.render.safe_text import safe_line

        if question.numbered and not self._as_json and not self._is_traced:
            output_console().print(f"# {safe_line(question.text)}", markup=False)
        with ExitStack() as stack:
            frames = self._frames(reader, config.focus.w_max, stack) if self._show_focus else None
            report = reader.ask(question.text, config, self._listeners(frames), turns)
        if self._as_json:
            print_json(({"id": question.id} if question.numbered else {}) | report.to_json())
        elif not self._is_traced:
            self._print(report, answered=config.max_new_tokens > 0)
        return report

    @staticmethod
    def _frames(reader: Reader, w_max: int, stack: ExitStack) -> FocusFrames:
        from mctool.app.inspect import find_places
        from mctool.cli.focus_frames import FocusFrames

        frames = FocusFrames(note_console(), find_places(reader.tree), w_max)
        stack.callback(frames.end)
        return frames

    def _listeners(self, frames: FocusFrames | None) -> Listeners:
        from mctool.app.ask import Listeners

        def stream(text: str) -> None:
            if frames is not None:
                frames.begin_text()
            self._stream(text)

        return Listeners(
            on_text=None if self._as_json or self._is_traced else stream,
            on_refocus=frames.show if frames is not None else None,
            trace=self._trace,
        )

    @staticmethod
    def _stream(text: str) -> None:
        from mctool.render.safe_text import safe_text

        sys.stdout.write(safe_text(text))
        sys.stdout.flush()

    def _print(self, report: AskReport, answered: bool) -> None:
        """What follows the streamed answer: its line end, and the citations or the nearest passages."""
        from mctool.render.answer import render_citations, render_nearest

        if answered:
            sys.stdout.write("\n" if report.supported else f"{report.answer}\n")
            sys.stdout.flush()
        console = output_console() if sys.stdout.isatty() or not answered else note_console(self._quiet)
        if report.citations:
            console.print(render_citations(report.citations))
        elif not answered:
            console.print("No text in the documents speaks for an answer.", markup=False)
        if report.nearest:
            console.print(render_nearest(report.nearest))
