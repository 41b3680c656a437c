"""``mctool evaluate answers``, ``focus``, ``needle``, ``speed`` and ``substitution``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mctool.cli.console import print_json, progress_bar, reporter
from mctool.cli.evaluate_options import (
    DataArguments,
    DataOption,
    DocumentedOption,
    NoMiniLmOption,
    PerTreeOption,
    SeedOption,
    SetOption,
    SplitOption,
    TreeTokensOption,
)
from mctool.cli.evaluate_show import PlotOption, print_tables, show
from mctool.cli.evaluate_walk import measure_walk
from mctool.cli.options import (
    DebugOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    NoLoraOption,
    QuietOption,
)
from mctool.core.config import DEFAULT_MODEL, AskConfig
from mctool.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

evaluate = typer.Typer(help="Measure what mctool does, beside its baselines.", no_args_is_help=True)
evaluate.command()(show)


@evaluate.command()
def answers(
    more: DataArguments = None,
    data: DataOption = None,
    sets: SetOption = None,
    split: SplitOption = "all",
    system: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Only the system of this name, or those whose names contain it; may be repeated."
        ),
    ] = None,
    tree_tokens: TreeTokensOption = 140_000,
    per_tree: PerTreeOption = 60,
    questions: Annotated[int, typer.Option(help="Most questions to one set that its trees answer.")] = 100,
    unanswerable: Annotated[
        int, typer.Option(help="Most questions to one set that no text of the tree answers.")
    ] = 100,
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = AskConfig.max_new_tokens,
    adapter: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Adapter of the base model; else the one that is known for it."),
    ] = None,
    no_lora: Annotated[bool, typer.Option("--no-lora", help="Measure without an adapter only.")] = False,
    no_minilm: NoMiniLmOption = False,
    details: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every single answer there, as JSON Lines.")
    ] = None,
    window_gists: Annotated[
        int, typer.Option(metavar="N", help="Measure ask with up to N gists in its window, too.")
    ] = 0,
    documented: DocumentedOption = False,
    plot: PlotOption = None,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Is the answer right, and refused where there is none? The same model, beside other ways to choose its text."""
    from mctool.app.evaluate.answer_questions import DrawConfig
    from mctool.app.evaluate.answers import AnswerEvaluationConfig, evaluate_answers
    from mctool.app.evaluate.sets import Listener
    from mctool.render.evaluation import answer_tables
    from mctool.render.plots import plot_answers, require_plotting

    if plot is not None:
        require_plotting(plot)
    config = AnswerEvaluationConfig(
        data=_files(data, more),
        sets=tuple(sets or ()),
        draw=DrawConfig(split, tree_tokens, per_tree, questions, unanswerable, _seed(seed)),  # type: ignore[arg-type]
        systems=tuple(system or ()),
        model=model,
        device=device,
        dtype=dtype,
        adapter=adapter,
        lora=not no_lora,
        minilm=not no_minilm,
        max_new_tokens=max_new_tokens,
        details=details,
        window_gists=window_gists,
        documented=documented,
    )
    with progress_bar("answers", "a", quiet) as progress:
        result = evaluate_answers(config, Listener(progress, reporter(quiet))).to_json()
    if plot is not None:
        plot_answers(result["rows"], result["sets"], plot)
    _show(result, as_json, lambda: answer_tables(result["rows"], result["sets"]))


@evaluate.command()
def focus(
    more: DataArguments = None,
    data: DataOption = None,
    sets: SetOption = None,
    split: SplitOption = "all",
    tree_tokens: Annotated[
        int | None,
        typer.Option(help="Most tokens of a tree. [default: 140000; with --walk 5000000]", show_default=False),
    ] = None,
    per_tree: PerTreeOption = 60,
    questions: Annotated[int, typer.Option(help="Most questions to one set.")] = 240,
    walk: Annotated[
        bool,
        typer.Option("--walk", help="Ask one large tree by all lens keys, and by those that the walk reads, instead."),
    ] = False,
    no_minilm: NoMiniLmOption = False,
    documented: DocumentedOption = False,
    plot: PlotOption = None,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT_MODEL,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Does the lens open the blocks that hold the answer? Recall of located answers, beside ordinary retrieval."""
    if walk:
        if plot is not None or sets or documented:
            raise UsageError("--walk takes neither --plot, --set nor --documented", "leave them out")
        measure_walk(_files(data, more), split, tree_tokens, questions, model, _seed(seed), as_json, quiet)
        return
    from mctool.app.evaluate.focus import FocusEvaluationConfig, evaluate_focus
    from mctool.app.evaluate.sets import Listener
    from mctool.render.focus_loop import all_focus_tables
    from mctool.render.plots import plot_focus, require_plotting

    if plot is not None:
        require_plotting(plot)
    config = FocusEvaluationConfig(
        data=_files(data, more),
        sets=tuple(sets or ()),
        split=split,  # type: ignore[arg-type]  (the configuration refuses other names)
        tree_tokens=FocusEvaluationConfig.tree_tokens if tree_tokens is None else tree_tokens,
        per_tree=per_tree,
        questions=questions,
        model=model,
        minilm=not no_minilm,
        seed=_seed(seed),
        documented=documented,
    )
    with progress_bar("questions", "q", quiet) as progress:
        result = evaluate_focus(config, Listener(progress, reporter(quiet))).to_json()
    if plot is not None:
        plot_focus(result["rows"], result["sets"], plot)
    _show(result, as_json, lambda: all_focus_tables(result))


@evaluate.command()
def needle(
    more: DataArguments = None,
    data: DataOption = None,
    haystack: Annotated[
        str,
        typer.Option(metavar="NAME", help="Without --data: docstrings or sources of Python's standard library."),
    ] = "docstrings",
    tokens: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Length of the text; may be repeated. [default: 4000, 16000, 64000, 128000]"),
    ] = None,
    depth: Annotated[
        list[float] | None,
        typer.Option(metavar="PERCENT", help="Where the needle stands; may be repeated. [default: 0, 25, 50, 75, 100]"),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only pass-key, fact, multi-key or tracking; may be repeated."),
    ] = None,
    lens: Annotated[
        str, typer.Option(help="The lens: hybrid, learned or lexical; the last takes less time for long texts.")
    ] = AskConfig.lens,
    samples: Annotated[int, typer.Option(help="Needles of each kind at each depth of each length.")] = 2,
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 32,
    rag: Annotated[
        bool, typer.Option("--rag", help="Let the same model answer from the best BM25 chunks at 1,024 tokens, too.")
    ] = False,
    no_lora: NoLoraOption = False,
    plot: PlotOption = None,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Is one made-up sentence found in a long text, and its question answered, wherever it stands?"""
    from mctool.app.evaluate.needle import DEPTHS, TOKENS, NeedleConfig, evaluate_needle
    from mctool.app.evaluate.needle_facts import KINDS
    from mctool.app.evaluate.sets import Listener
    from mctool.render.needle import needle_maps
    from mctool.render.plots import require_plotting

    if plot is not None:
        require_plotting(plot)
    config = NeedleConfig(
        data=_files(data, more),
        haystack=haystack,  # type: ignore[arg-type]  (the configuration refuses other names)
        tokens=tuple(sorted(set(tokens))) if tokens else TOKENS,
        depths=tuple(sorted(set(depth))) if depth else DEPTHS,
        kinds=tuple(dict.fromkeys(kind)) if kind else KINDS,  # type: ignore[arg-type]  (refused by the configuration)
        lens=lens,  # type: ignore[arg-type]
        samples=samples,
        model=model,
        device=device,
        dtype=dtype,
        lora=not no_lora,
        max_new_tokens=max_new_tokens,
        rag=rag,
        seed=_seed(seed),
    )
    with progress_bar("needles", "n", quiet) as progress:
        result = evaluate_needle(config, Listener(progress, reporter(quiet))).to_json()
    if plot is not None:
        from mctool.render.needle_plot import plot_needle

        plot_needle(result["rows"], result["haystack"], plot)
    _show(result, as_json, lambda: needle_maps(result["rows"], result["haystack"]))


@evaluate.command()
def speed(
    more: DataArguments = None,
    data: DataOption = None,
    part: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only ingest, keys, ask, decode or help; may be repeated.", show_default=False
        ),
    ] = None,
    chars: Annotated[int, typer.Option(help="Most characters of each set that are ingested.")] = 1_000_000,
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the trees are asked. [default: one about option parsing]")
    ] = None,
    large: Annotated[bool, typer.Option("--large", help="Ask a tree of 10 million tokens too.")] = False,
    plot: PlotOption = None,
    reingest: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Instead: edit and ingest N times, then time that tree beside a new one.",
            show_default=False,
        ),
    ] = 0,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...", help="Instead: ingest and ask trees of about so many tokens, as in 1e5,1e6,1e7."
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the trees of --scale there, and go on with those that are there."),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """How fast are ingest, ask and decoding? Whole processes, beside their baselines on this machine."""
    from mctool.app.evaluate.speed import LARGE_TREE, PARTS, QUESTION, TREE_SIZES, SpeedConfig, evaluate_speed
    from mctool.render.evaluation import speed_table
    from mctool.render.plots import plot_speed, require_plotting

    if plot is not None:
        require_plotting(plot)
    config = SpeedConfig(
        parts=tuple(part or (() if reingest or scale else PARTS)),  # type: ignore[arg-type]  (refused where it is built)
        data=_files(data, more),
        ingest_chars=chars,
        tree_sizes=(*TREE_SIZES, LARGE_TREE) if large else TREE_SIZES,
        question=QUESTION if question is None else question,
        model=model,
        device=device,
        dtype=dtype,
        reingests=reingest,
        scale=_sizes(scale),
        keep=keep,
    )
    result = evaluate_speed(config, reporter(quiet)).to_json()
    if plot is not None:
        plot_speed(result["rows"], plot)
    _show(result, as_json, lambda: [speed_table(result["rows"])])


@evaluate.command()
def substitution(
    more: DataArguments = None,
    data: DataOption = None,
    split: SplitOption = "all",
    domain: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Domain of all texts: narrative, expository, agent or code."),
    ] = None,
    windows: Annotated[int, typer.Option(help="Windows for each domain and number of blocks.")] = 8,
    n_blocks: Annotated[
        list[int] | None,
        typer.Option("--n-blocks", metavar="N", help="Replaced blocks; may be repeated. [default: 16, 64, 256]"),
    ] = None,
    lod: Annotated[
        list[int] | None, typer.Option(metavar="N", help="Level of the gists; may be repeated. [default: 1, 2]")
    ] = None,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Is a gist worth its slot? What the model loses when blocks are dropped, and what their gists give back."""
    from mctool.app.evaluate.substitution import SubstitutionRun, evaluate_substitution
    from mctool.engine.substitution import SubstitutionConfig
    from mctool.render.evaluation import substitution_tables

    measure = SubstitutionConfig(
        n_blocks=tuple(n_blocks or SubstitutionConfig.n_blocks),
        n_windows=windows,
        lods=tuple(lod or SubstitutionConfig.lods),
        seed=_seed(seed),
    )
    files = _files(data, more)
    run = SubstitutionRun(files, split, domain, measure, model, device, dtype)  # type: ignore[arg-type]  (checked there)
    with progress_bar("windows", "win", quiet) as progress:
        result = evaluate_substitution(run, progress, reporter(quiet)).to_json()
    _show(result, as_json, lambda: substitution_tables(result["rows"], result["content"], result["harm"]))


def _files(data: Sequence[Path] | None, more: Sequence[Path] | None) -> tuple[Path, ...]:
    if more and not data:
        raise UsageError(f"{more[0]} is given without --data", f"write --data {more[0]}")
    return (*(data or ()), *(more or ()))


def _sizes(text: str | None) -> tuple[int, ...]:
    """Numbers of tokens written as in ``1e5,2000000``."""
    try:
        sizes = [float(size) for size in text.split(",")] if text is not None else []
        if all(size.is_integer() for size in sizes):
            return tuple(int(size) for size in sizes)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"--scale {text} is no list of numbers of tokens", "write it as in --scale 1e5,1e6")


def _seed(seed: int) -> int:
    if seed < 0:
        raise UsageError(f"--seed {seed} is negative")
    return seed


def _show(result: dict[str, Any], as_json: bool, tables: Callable[[], Sequence[RenderableType]]) -> None:
    if as_json:
        print_json(result)
    else:
        print_tables(tables())
