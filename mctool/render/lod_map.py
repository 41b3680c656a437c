"""The LOD map: the whole timeline on one line, as finely as the working context shows each part of it.

Each cell is an equal share of the tokens. Its glyph tells the finest level of detail shown there, so that the map reads
without colour; its colour, and a bar above it, tell the focus score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from mctool.core.blocks import BLOCK_TOKENS, TOP_LOD
from mctool.core.records import FocusEntry, FocusIteration
from mctool.render.labels import Hooks, Label, place_labels
from mctool.render.lod_cells import (
    Cell,
    Change,
    Places,
    RawRun,
    cell_of,
    cut_into_cells,
    find_boundaries,
    find_changes,
    find_raw_runs,
    total_tokens,
)
from mctool.render.palette import ALARM, BELOW_ZERO, BOLD, COLLAPSED, EXPANDED, FAINT, SCORE_RAMP, SPENT
from mctool.render.safe_text import fit_end, fit_start, safe_line

MAX_LANES = 8
"""Most raw runs that get a lane of their own: those with the highest scores."""

MAX_LABELS = 8
MAX_LABEL_ROWS = 3
NARROWEST_LANE = 8
WIDEST_LANE = 48


@dataclass(frozen=True)
class Glyphs:
    """The characters of a map; ``lods`` has one for each level, the finest first, ``scores`` from low to high."""

    lods: str
    scores: str
    both: str
    rule: str
    boundary: str
    spent: str
    left: str
    hooks: Hooks


UNICODE = Glyphs("█▒░:·", "▁▂▃▄▅▆▇█", "±", "─", "┴", "━", "─", Hooks("╰ ", " ╯", "│"))
ASCII = Glyphs("#=-:.", "12345678", "x", "-", "+", "=", "-", Hooks("` ", " '", "|"))


def step_title(iteration: int, step: FocusIteration) -> str:
    """One line that tells what a refocus did, as the title of its map."""
    return (
        f"Refocus {iteration}: {step.expanded} expanded, {step.collapsed} collapsed, "
        f"swap rate {step.swap_rate:.2f}, {step.seconds * 1000:.0f} ms"
    )


def render_lod_map(
    entries: Sequence[FocusEntry],
    *,
    w_max: int,
    cost: int,
    width: int,
    previous: Sequence[FocusEntry] | None = None,
    title: str | None = None,
    places: Places | None = None,
    numbers: Mapping[str, str] | None = None,
) -> LodMap:
    """Draw a working context; print the result with Rich.

    Args:
        entries: All entries in order; they tile the live timeline.
        w_max: The budget in tokens.
        cost: What is spent of it.
        width: Columns to draw on; best from 60 to 200.
        previous: The entries before this refocus, to mark what changed; None for no marks.
        title: Head line; see :func:`step_title`.
        places: Where documents begin and lines lie; without it, runs are told by their tokens, and documents by what
            the entries say.
        numbers: Place of a raw run, as ``path:first-last`` -> what is written before it, such as ``[1]``.

    Raises:
        ValueError: The entries do not tile a timeline, the previous ones tile another, or a number is out of range.
    """
    if w_max < 1 or width < 1 or cost < 0:
        raise ValueError(f"w_max {w_max} and width {width} must be at least 1, and cost {cost} at least 0")
    return LodMap(
        entries=list(entries),
        total=total_tokens(entries),
        changes=[] if previous is None else find_changes(previous, entries),
        w_max=w_max,
        cost=cost,
        width=width,
        title=title,
        places=places,
        numbers=numbers or {},
    )


@dataclass(frozen=True)
class LodMap:
    """A Rich renderable, made by :func:`render_lod_map`; draws with ASCII where the terminal knows no Unicode."""

    entries: list[FocusEntry]
    total: int
    changes: list[Change]
    w_max: int
    cost: int
    width: int
    title: str | None
    places: Places | None
    numbers: Mapping[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines of the map."""
        for line in self._lines(ASCII if options.ascii_only else UNICODE):
            line.no_wrap, line.overflow = True, "crop"
            line.rstrip()
            yield line

    def _lines(self, glyphs: Glyphs) -> Iterator[Text]:
        if self.title:
            yield Text(fit_end(safe_line(self.title), self.width), BOLD)
        if self.entries:
            top_score = max(max(entry.score for entry in self.entries), 0.0)
            cells = cut_into_cells(self.entries, 0, self.total, self.width)
            if top_score > 0:
                yield _score_bars(cells, top_score, glyphs)
            yield _shaded(cells, top_score, glyphs)
            if self.changes:
                yield self._marks(glyphs)
            runs = find_raw_runs(self.entries)
            yield from self._ruler(runs, glyphs)
            yield from self._lanes(runs, top_score, glyphs)
        yield self._budget(glyphs)
        yield from self._legend(glyphs)

    def _marks(self, glyphs: Glyphs) -> Text:
        """^ under the cells of which a part was expanded, v under those of which a part was collapsed."""
        marks = [" "] * self.width
        for change in self.changes:
            mark = "^" if change.finer else "v"
            for place in range(self._cell(change.start), self._cell(change.end - 1) + 1):
                marks[place] = mark if marks[place] in (" ", mark) else glyphs.both
        line = Text("".join(marks))
        line.highlight_regex(r"\^+", EXPANDED)
        line.highlight_regex("v+", COLLAPSED)
        return line

    def _ruler(self, runs: list[RawRun], glyphs: Glyphs) -> Iterator[Text]:
        """Where documents meet, and the names of those that hold raw text."""
        rule = [glyphs.rule] * self.width
        for token in self.places.document_starts[1:] if self.places else find_boundaries(self.entries):
            rule[self._cell(token)] = glyphs.boundary
        yield Text("".join(rule), FAINT)
        labels = self._labels(runs)
        rows, left_out = place_labels(labels, self.width, MAX_LABEL_ROWS, glyphs.hooks)
        yield from (Text(row) for row in rows)
        n_documents = len({run.path for run in runs})
        if n_documents > len(labels) - left_out:
            yield Text(f"raw text from {n_documents} documents in all", FAINT)

    def _labels(self, runs: list[RawRun]) -> list[Label]:
        """The documents with the most raw tokens, each named below its first raw run."""
        n_tokens: Counter[str] = Counter()
        for run in runs:
            n_tokens[run.path or "?"] += run.n_tokens
        shown = {path for path, _ in n_tokens.most_common(MAX_LABELS)}
        at: dict[int, str] = {}
        for run in runs:
            if run.path in shown:
                shown.remove(run.path)
                at.setdefault(self._cell(run.start_token), run.path)
        longest = max(self.width * 2 // 5, 12)
        return [Label(column, fit_start(self._name(path), longest)) for column, path in sorted(at.items())]

    def _name(self, path: str) -> str:
        return safe_line(path.removeprefix(self.places.directory) if self.places else path)

    def _lanes(self, runs: list[RawRun], top_score: float, glyphs: Glyphs) -> Iterator[Text]:
        """The raw runs enlarged, each between its neighbours, with its place, size and score."""
        best = sorted(sorted(runs, key=lambda run: -run.score)[:MAX_LANES], key=lambda run: run.start_token)
        sizes = [f"{run.n_tokens:,} tokens {run.score:+.2f}" for run in best]
        places = [self._place(run) for run in best]
        size_width = max(map(len, sizes), default=0)
        free = self.width - size_width - 4
        lane_width = min(max(free // 2, NARROWEST_LANE), WIDEST_LANE)
        place_width = min(max(map(cell_len, places), default=0), max(free - lane_width, 1))
        if best:
            yield Text("raw text, enlarged:", FAINT)
        for run, place, size in zip(best, places, sizes, strict=True):
            line = Text(set_cell_size(fit_start(place, place_width), place_width + 2))
            line.append_text(_shaded(self._around(run, lane_width), top_score, glyphs))
            line.append(f"  {size:>{size_width}}", FAINT)
            yield line
        if len(runs) > len(best):
            yield Text(f"and {len(runs) - len(best)} more raw runs with lower scores", FAINT)

    def _around(self, run: RawRun, n_cells: int) -> list[Cell | None]:
        """A run in the middle of a lane, one block a cell, or more where it would take over half of the lane."""
        tokens_per_cell = max(BLOCK_TOKENS, 2 * run.n_tokens / n_cells)
        n_before = round((n_cells - run.n_tokens / tokens_per_cell) / 2)
        start = run.start_token - n_before * tokens_per_cell
        return cut_into_cells(self.entries, start, start + n_cells * tokens_per_cell, n_cells)

    def _place(self, run: RawRun) -> str:
        if run.path is None or self.places is None:
            return f"{safe_line(run.path or '?')} tokens {run.start_token:,}-{run.end_token:,}"
        first, last = self.places.line_range(run.start_token, run.end_token)
        number = self.numbers.get(f"{safe_line(run.path)}:{first}-{last}", "")
        return f"{number}{' ' if number else ''}{self._name(run.path)}:{first}-{last}"

    def _budget(self, glyphs: Glyphs) -> Text:
        over = self.cost > self.w_max
        numbers = f"{self.cost:,} of {self.w_max:,} tokens ({self.cost / self.w_max:.0%})"
        numbers += " over budget" if over else ""
        room = max(self.width - len(numbers) - len("budget  "), 0)
        n_spent = min(round(room * self.cost / self.w_max), room)
        line = Text("budget ")
        line.append(glyphs.spent * n_spent, ALARM if over else SPENT)
        line.append(glyphs.left * (room - n_spent), FAINT)
        return line.append(f" {numbers}", ALARM if over else Style())

    def _legend(self, glyphs: Glyphs) -> Iterator[Text]:
        """What the glyphs mean and how many entries there are of each level, wrapped to the width."""
        counts = Counter(entry.lod for entry in self.entries)
        parts = [
            f"{glyphs.lods[lod]} {counts[lod]:,} {'raw' if lod == 0 else f'LOD{lod}'}"
            for lod in range(TOP_LOD + 1)
            if counts[lod]
        ]
        if self.changes:
            parts += ["^ expanded", "v collapsed"]
        if self.total:
            parts.append(f"one cell = {self.total / self.width:,.0f} of {self.total:,} tokens")
        if any(entry.score > 0 for entry in self.entries):
            parts.append(f"{glyphs.scores[0]} to {glyphs.scores[-1]} above: score")
        if self.places and self.places.directory:
            parts.append(f"all below {safe_line(self.places.directory)}")
        line = ""
        for part in parts:
            if line and cell_len(line) + 3 + cell_len(part) > self.width:
                yield Text(line, FAINT)
                line = ""
            line += f"   {part}" if line else fit_start(part, self.width)
        yield Text(line, FAINT)

    def _cell(self, token: int) -> int:
        return cell_of(token, self.total, self.width)


def _score_bars(cells: list[Cell | None], top_score: float, glyphs: Glyphs) -> Text:
    """A bar above each cell whose score is above 0, as high as its share of the top score."""
    line = Text()
    for cell in cells:
        if cell is None or cell.score <= 0:
            line.append(" ")
        else:
            step = min(int(cell.score / top_score * len(glyphs.scores)), len(glyphs.scores) - 1)
            line.append(glyphs.scores[step], _score_style(cell, top_score))
    return line


def _shaded(cells: list[Cell | None], top_score: float, glyphs: Glyphs) -> Text:
    """Cells as glyphs by level and colours by score."""
    line = Text()
    for cell in cells:
        if cell is None:
            line.append(" ")
        else:
            line.append(glyphs.lods[cell.lod], _score_style(cell, top_score))
    return line


def _score_style(cell: Cell, top_score: float) -> Style:
    if cell.score > 0:
        step = min(int(cell.score / top_score * len(SCORE_RAMP)), len(SCORE_RAMP) - 1)
        style = SCORE_RAMP[step]
    else:
        style = BELOW_ZERO if cell.score < 0 else FAINT
    return style + BOLD if cell.lod == 0 else style
