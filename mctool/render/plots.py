"""Pictures of the ``evaluate`` commands, with matplotlib, which is imported when one is asked for.

They take rows as plain values, as the tables of :mod:`mctool.render.evaluation` do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mctool.core.errors import MissingBackendError, ResourceError, UsageError
from mctool.render.safe_text import safe_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

FORMATS = (".png", ".svg")
OWN = "#c9211e"
"""Colour of mctool; all it is compared with takes the others."""

OTHERS = ("#3a6ea5", "#7a4fa3", "#0b6b57", "#b58900", "#5c6b73", "#8f5a2a", "#2b8cbe", "#999999")
MARKERS = "osD^vPX*"
PANEL_INCHES = (6.0, 3.8)
BAR_INCHES = 0.34


def require_plotting(file: Path) -> None:
    """Find out before anything is measured whether a picture can be drawn into ``file``.

    Raises:
        UsageError: Its name ends with neither .png nor .svg.
        MissingBackendError: matplotlib is not installed.
        ResourceError: Its directory does not exist.
    """
    if file.suffix.lower() not in FORMATS:
        raise UsageError(f"--plot {file} is neither a .png nor a .svg", "name it so")
    if find_spec("matplotlib") is None:
        raise MissingBackendError("--plot draws with matplotlib, which is not installed", 'pip install "mctool[plot]"')
    if not file.absolute().parent.is_dir():
        raise ResourceError(f"cannot write --plot {file}: there is no such directory", "name another file")


def plot_focus(rows: Iterable[Row], sets: Iterable[Row], file: Path) -> None:
    """Recall by budget, a curve a signal with its standard errors, a panel a set; arguments as for ``focus_tables``.

    Raises:
        ResourceError: The file cannot be written.
    """
    groups = [(name, list(of_set)) for name, of_set in groupby(rows, key=lambda row: row["set"])]
    questions = {one["set"]: one["questions"] for one in sets}
    figure, panels = panels_of(len(groups), PANEL_INCHES[1])
    for panel, (name, of_set) in zip(panels, groups, strict=True):
        others = count()
        for signal, group in groupby(of_set, key=lambda row: row["signal"]):
            points = list(group)
            look = _look(signal, others)
            budgets, recalls = [row["budget"] for row in points], [row["recall"] for row in points]
            errors = [row["se"] or 0 for row in points]
            panel.errorbar(budgets, recalls, errors, label=signal, ms=4, capsize=2, **look)
        panel.set_xscale("log", base=2)
        panel.set_xticks(budgets, [str(budget) for budget in budgets])
        panel.set_ylim(0, 1.03)
        panel.set_xlabel("raw tokens in the window")
        panel.set_ylabel("answers shown (± s.e.)")
        panel.set_title(f"{safe_line(name)} ({questions[name]} questions)", fontsize=10)
    panels[-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))  # the same signals in each
    save_figure(figure, file)


def plot_answers(rows: Iterable[Row], sets: Iterable[Row], file: Path) -> None:
    """How right each system is, bars with standard errors, a panel a set; arguments as for ``answer_tables``.

    F1, or, of lookups, the share of functions that are named or cited first.

    Raises:
        ResourceError: The file cannot be written.
    """
    groups = [(name, list(of_set)) for name, of_set in groupby(rows, key=lambda row: row["set"])]
    asked = {one["set"]: one["answerable"] for one in sets}
    figure, panels = panels_of(len(groups), 1.2 + BAR_INCHES * max(len(of_set) for _, of_set in groups))
    for panel, (name, of_set) in zip(panels, groups, strict=True):
        is_lookup = any(row["lookup"] is not None for row in of_set)
        values = [row["lookup"] or 0.0 if is_lookup else row["f1"] for row in of_set]
        errors = [_share_error(value, asked[name]) for value in values]
        if not is_lookup:
            errors = [row["f1_se"] or 0.0 for row in of_set]
        _bars(panel, [row["system"] for row in of_set], values, errors)
        panel.set_xlim(0, 1)
        panel.set_xlabel("functions named or cited first (± s.e.)" if is_lookup else "F1 (± s.e.)")
        panel.set_title(f"{safe_line(name)} ({asked[name]} questions)", fontsize=10)
    save_figure(figure, file)


def plot_speed(rows: Iterable[Row], file: Path) -> None:
    """Every figure of every measure, a panel a measure; arguments as for ``speed_table``.

    Raises:
        ResourceError: The file cannot be written.
    """
    groups = [(name, list(group)) for name, group in groupby(rows, key=lambda row: row["measure"])]
    figure, panels = panels_of(len(groups), 1.0 + BAR_INCHES * max(len(group) for _, group in groups))
    for panel, (name, group) in zip(panels, groups, strict=True):
        _bars(panel, [row["system"] for row in group], [row["value"] for row in group], None)
        panel.set_xlabel(group[0]["unit"])
        panel.set_title(safe_line(name), fontsize=10)
    save_figure(figure, file)


def plot_gist_curve(curve: Sequence[Row], file: Path) -> None:
    """What gists were worth after so many tokens of training; arguments as for ``gist_curve_table``.

    Raises:
        ResourceError: The file cannot be written.
    """
    figure, (worth, rebuilt) = panels_of(2, PANEL_INCHES[1])
    millions = [point["tokens"] / 1e6 for point in curve]
    kinds = {"content_lod1": "content, LOD1", "r_lod1": "R, LOD1", "content_lod2": "content, LOD2", "r_lod2": "R, LOD2"}
    for number, (field, name) in enumerate(kinds.items()):
        points = [
            (at, point[field], point[f"{field}_se"])
            for at, point in zip(millions, curve, strict=True)
            if field in point
        ]
        if points:
            at, values, errors = zip(*points, strict=True)
            colour = OWN if not number else OTHERS[number - 1]
            worth.errorbar(at, values, errors, label=name, ms=4, capsize=2, marker=MARKERS[number], color=colour)
    lowest = min(0.0, *(point["content_lod1"] for point in curve if "content_lod1" in point), -0.05)
    worth.set_ylim(max(lowest, -0.2), None)
    worth.set_ylabel("part of what the full text gives (± s.e.)")
    worth.legend(fontsize=8)
    rebuilt.plot(millions, [point["rebuilt"] for point in curve], marker="o", color=OWN)
    rebuilt.set_ylabel("tokens rebuilt in their places")
    for panel in (worth, rebuilt):
        panel.set_xlabel("million tokens of training")
    save_figure(figure, file)


def panels_of(n_panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with panels, two in a row."""
    from matplotlib.figure import Figure

    n_columns = min(n_panels, 2)
    n_rows = -(-n_panels // n_columns)
    figure = Figure(figsize=(PANEL_INCHES[0] * n_columns, height * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
    for panel in panels[n_panels:]:
        panel.set_visible(False)
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels[:n_panels]


def _bars(panel: Axes, names: Sequence[str], values: Sequence[float], errors: Sequence[float] | None) -> None:
    colours = [OWN if _is_own(name) else OTHERS[0] for name in names]
    places = list(range(len(names)))
    panel.barh(places, values, xerr=errors, color=colours, capsize=2, height=0.7)
    panel.set_yticks(places, [safe_line(name) for name in names], fontsize=8)
    panel.invert_yaxis()
    panel.grid(visible=False, axis="y")


def _look(signal: str, others: Iterator[int]) -> dict[str, Any]:
    """Colour, marker, width and style of a curve."""
    if _is_own(signal):
        return {"color": OWN, "marker": "*", "lw": 2.0, "ls": "-" if "hybrid" in signal else "--"}
    place = next(others) % len(OTHERS)
    return {"color": OTHERS[place], "marker": MARKERS[place], "lw": 1.0}


def _is_own(name: str) -> bool:
    return name.startswith(("mctool", "ask"))


def _share_error(share: float, n: int) -> float:
    """Standard error of a share of ``n``."""
    return math.sqrt(share * (1 - share) / n) if n else 0.0


def save_figure(figure: Figure, file: Path) -> None:
    """Write a picture, the same bytes for the same figures. Raises ResourceError when it cannot be written."""
    from matplotlib import rc_context

    try:
        with rc_context({"svg.hashsalt": "mctool", "svg.fonttype": "none"}):
            figure.savefig(file, dpi=144, metadata={"Date": None} if file.suffix.lower() == ".svg" else None)
    except OSError as error:
        raise ResourceError(f"cannot write --plot {file}: {error.strerror}", "name another file") from error
