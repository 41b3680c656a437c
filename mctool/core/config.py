"""Settings of a run, as frozen values that refuse nonsense."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from mctool.core.errors import UsageError

PositionMode = Literal["squeeze", "compact", "absolute"]
LensName = Literal["hybrid", "learned", "lexical"]
AnswerStyle = Literal["auto", "short", "long"]
DEFAULT_MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True)
class FocusConfig:
    """How a working context is refocused.

    Attributes:
        w_max: Most tokens that the model may read: prompt, question and entries together.
        cover_share: Part of the entry budget that the initial cover may take.
        max_iterations: Most refocus iterations before the loop stops.
        n_diff: Most actions (expansions and collapses) in one iteration.
        tau_expand: An entry is expanded when its focus score is above this.
        tau_collapse: An entry is collapsed when its focus score is below minus this.
        cooldown: Iterations for which a node that was expanded may not be collapsed again, and the reverse.
        focus_tokens: Raw tokens that the lens asks for at first.
        narrow_tokens: Raw tokens that are left when the window has been narrowed.
        narrow_share: Narrowing keeps blocks whose utility is at least this share of the best block's.
        narrow: Collapse, after the lens has settled, what does not pay.
    """

    w_max: int = 2048
    cover_share: float = 0.5
    max_iterations: int = 12
    n_diff: int = 32
    tau_expand: float = 0.1
    tau_collapse: float = 0.1
    cooldown: int = 2
    focus_tokens: int = 1024
    narrow_tokens: int = 160
    narrow_share: float = 0.5
    narrow: bool = True

    def __post_init__(self) -> None:
        if self.w_max < 1:
            raise UsageError(f"--w-max {self.w_max} is not a positive number of tokens")
        if not 0.0 < self.cover_share <= 1.0:
            raise UsageError(f"cover_share {self.cover_share} is not in (0, 1]")
        if self.max_iterations < 1:
            raise UsageError(f"--max-iterations {self.max_iterations} is less than 1")
        if self.n_diff < 1:
            raise UsageError(f"--n-diff {self.n_diff} is less than 1")
        if not (self.tau_expand >= 0 and self.tau_collapse >= 0):  # not a number is refused, too
            raise UsageError(
                f"--tau-expand {self.tau_expand} and --tau-collapse {self.tau_collapse} must not be negative"
            )
        if self.cooldown < 0:
            raise UsageError(f"--cooldown {self.cooldown} is negative")
        if self.focus_tokens < 1 or self.narrow_tokens < 1:
            raise UsageError(f"focus_tokens {self.focus_tokens} or narrow_tokens {self.narrow_tokens} is not positive")
        if not 0.0 <= self.narrow_share <= 1.0:
            raise UsageError(f"narrow_share {self.narrow_share} is not in [0, 1]")

    def filled(self) -> FocusConfig:
        """The same settings, with a window that is filled with raw text as far as the budget goes."""
        return replace(self, narrow=False, focus_tokens=self.w_max)


@dataclass(frozen=True)
class AskConfig:
    """How a question is answered.

    Attributes:
        focus: The refocus loop.
        positions: How entries get rotary positions.
        style: ``short`` for a name, a number, a few words; ``long`` for whole sentences; ``auto`` by the question.
        max_new_tokens: Most tokens to generate; 0 gives focus and citations only.
        temperature: 0 decodes greedily.
        seed: Seed of sampling when ``temperature`` > 0.
        lens: Which lens scores the entries; the hybrid one is the lexical one where a tree has no lens keys.
        path_glob: Only documents whose path matches are searched; None for all.
        languages: Only documents in one of these languages are searched; none for all.
        explain: Measure what each citation is worth to the answer.
        window_gists: Most gists in the window; None for as many as the card of the GistNet allows.
    """

    focus: FocusConfig = FocusConfig()
    positions: PositionMode = "squeeze"
    style: AnswerStyle = "auto"
    max_new_tokens: int = 96
    temperature: float = 0.0
    seed: int = 0
    lens: LensName = "hybrid"
    path_glob: str | None = None
    languages: tuple[str, ...] = ()
    explain: bool = False
    window_gists: int | None = None

    def __post_init__(self) -> None:
        if self.positions not in get_args(PositionMode):
            raise UsageError(f"--positions {self.positions} is not one of {', '.join(get_args(PositionMode))}")
        if self.lens not in get_args(LensName):
            raise UsageError(f"--lens {self.lens} is not one of {', '.join(get_args(LensName))}")
        if self.style not in get_args(AnswerStyle):
            raise UsageError(f"--style {self.style} is not one of {', '.join(get_args(AnswerStyle))}")
        if self.max_new_tokens < 0:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens} is negative")
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"--temperature {self.temperature} is not a number from 0 up")
