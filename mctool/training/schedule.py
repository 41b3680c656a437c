"""How far a run of training is, and the rate that belongs to it."""

from __future__ import annotations

from typing import Protocol


class Run(Protocol):
    """What ends after some time or some steps, whichever comes first; 0 stands for no such end."""

    @property
    def minutes(self) -> float:
        """Time until the end."""
        ...

    @property
    def steps(self) -> int:
        """Steps until the end."""
        ...


def part_done(run: Run, steps: int, seconds: float) -> float:
    """Part of a run that is over after some steps, which took some time."""
    by_steps = steps / run.steps if run.steps else 0.0
    return max(by_steps, seconds / 60 / run.minutes if run.minutes else 0.0)


def rate_share(done: float, warmup: float) -> float:
    """The rate, as a share of the highest, when a part of the run is over."""
    return (done + 1e-3) / (warmup + 1e-3) if done < warmup else (1 - done) / (1 - warmup)
