"""``ask --show-focus``: the LOD map after each refocus, animated on a terminal, one below the other elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.live import Live

if TYPE_CHECKING:
    from rich.console import Console

    from mctool.core.records import FocusEntry, FocusIteration
    from mctool.render.lod_cells import Places
    from mctool.render.lod_map import LodMap

FRAME_S = 0.3
"""How long each frame of the animation stays, at least: refocusing itself takes milliseconds."""


class FocusFrames:
    """Draws the focus of one question.

    Args:
        console: Where to draw.
        places: Where documents begin and lines lie.
        w_max: The budget in tokens.
    """

    def __init__(self, console: Console, places: Places, w_max: int) -> None:
        self._console, self._places, self._w_max = console, places, w_max
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._live: Live | None = None
        self._previous: list[FocusEntry] | None = None
        self._waiting: LodMap | None = None
        self._has_text = False

    def show(self, iteration: int, entries: list[FocusEntry], record: FocusIteration | None) -> None:
        """Draw the first cover (iteration 0, no record), or the entries after a refocus."""
        drawn = self._map(iteration, entries, record)
        if not self._is_live:
            self._console.print(drawn)
        elif self._has_text:  # an animation would tear up the answer that is being written
            self._waiting = drawn
        else:
            self._animate(drawn)

    def begin_text(self) -> None:
        """The answer begins: what is drawn stays, and the animation ends."""
        self._has_text = True
        self._stop()

    def end(self) -> None:
        """The answer is complete: draw where focus has gone meanwhile."""
        self._stop()
        if self._waiting is not None:
            self._console.print(self._waiting)

    def _map(self, iteration: int, entries: list[FocusEntry], record: FocusIteration | None) -> LodMap:
        from mctool.render.lod_map import render_lod_map, step_title

        before, self._previous = self._previous, entries
        return render_lod_map(
            entries,
            w_max=self._w_max,
            cost=sum(entry.cost for entry in entries),
            width=self._console.width,
            previous=before,
            title=step_title(iteration, record) if record else "The cover that refocusing starts from",
            places=self._places,
        )

    def _animate(self, drawn: LodMap) -> None:
        if self._live is None:
            self._live = Live(drawn, console=self._console, auto_refresh=False, redirect_stdout=False)
            self._live.start()
        self._live.update(drawn, refresh=True)
        time.sleep(FRAME_S)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
