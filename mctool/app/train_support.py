"""The use case ``train support``: when to refuse, learned from the details of ``evaluate answers``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mctool.core.errors import SourceError, UsageError
from mctool.core.evidence import Evidence
from mctool.nets.adapter_card import read_adapter, write_adapter_card
from mctool.training.support import FittedRule, Judgement, fit_support

READINGS = {"prose": ("short", "long"), "code": ("code",)}
"""Kinds of reading that share a rule."""


@dataclass(frozen=True)
class SupportRun:
    """What is learned from, and for which adapter.

    Attributes:
        details: Files that ``evaluate answers --details`` wrote; the answers of ``ask`` in them are used.
        adapter: Folder of the adapter that gave them; its card gets the rules.
        false_refusals: Largest share of the questions with an answer that may be refused.
    """

    details: tuple[Path, ...]
    adapter: Path
    false_refusals: float

    def __post_init__(self) -> None:
        if not 0 <= self.false_refusals < 1:
            raise UsageError(f"--false-refusals {self.false_refusals} is not in [0, 1)")


def train_support(run: SupportRun) -> dict[str, FittedRule]:
    """Learn a rule for prose and one for code, whichever the details are about, and write them to the card.

    Adversarial questions are left out: their words and their subject are those of the text.

    Raises:
        SourceError: A file of details cannot be read.
        UsageError: There are too few answers to learn from.
        MismatchError: The adapter cannot be read.
    """
    card = read_adapter(run.adapter).card
    found = _judgements(run.details)
    rules = {
        name: fit_support([one for kind in kinds for one in found.get(kind, [])], run.false_refusals)
        for name, kinds in READINGS.items()
        if any(found.get(kind) for kind in kinds)
    }
    if not rules:
        raise UsageError("the details hold no answers of ask", "make them: `mctool evaluate answers --details FILE`")
    support = {kind: rules[name].rule for name, kinds in READINGS.items() if name in rules for kind in kinds}
    write_adapter_card(run.adapter, replace(card, support={**card.support, **support}))
    return rules


def _judgements(paths: Sequence[Path]) -> dict[str, list[Judgement]]:
    """What was measured, by kind of reading."""
    found: dict[str, list[Judgement]] = {}
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            for line in lines:
                detail = json.loads(line)
                if detail["system"] == "ask" and detail["kind"] != "adversarial" and detail["share"] is not None:
                    evidence = Evidence(detail["share"], detail["similarity"])
                    judgement = Judgement(detail["silence"], evidence, detail["kind"] == "answerable")
                    found.setdefault(detail["reading"], []).append(judgement)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}", "check the path") from error
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{path} holds no details of answers ({error})", "make them: `mctool evaluate answers --details FILE`"
            ) from error
    return found
