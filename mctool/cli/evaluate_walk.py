"""``mctool evaluate focus --walk``."""

from __future__ import annotations

from pathlib import Path

from mctool.cli.console import print_json, progress_bar, reporter
from mctool.cli.evaluate_show import print_tables


def measure_walk(
    data: tuple[Path, ...],
    split: str,
    tree_tokens: int | None,
    questions: int,
    model: str,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure and print; arguments are those of the command."""
    from mctool.app.evaluate.sets import Listener
    from mctool.app.evaluate.walk import TREE_TOKENS, WalkConfig, evaluate_walk
    from mctool.render.walk import walk_tables

    config = WalkConfig(
        data=data,
        split=split,  # type: ignore[arg-type]  (the configuration refuses other names)
        tree_tokens=TREE_TOKENS if tree_tokens is None else tree_tokens,
        questions=questions,
        model=model,
        seed=seed,
    )
    with progress_bar("questions", "q", quiet) as progress:
        result = evaluate_walk(config, Listener(progress, reporter(quiet))).to_json()
    if as_json:
        print_json(result)
    else:
        print_tables(walk_tables(result))
