"""In plain words: how much of everything was read, and that the rest was not."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from mctool.core.records import FocusEntry
from mctool.render.lod_cells import find_raw_runs, total_tokens
from mctool.render.lod_map import UNICODE
from mctool.render.palette import BELOW_ZERO, SCORE_RAMP


def render_reach(entries: Sequence[FocusEntry], n_documents: int | None) -> Text:
    """One line under which a map needs no legend: what the bright cells are, and what all others are.

    Args:
        entries: The last working context.
        n_documents: Documents of the tree; None where they are not known.
    """
    total, runs = total_tokens(entries), find_raw_runs(entries)
    n_read = sum(run.n_tokens for run in runs)
    sources = len({run.path for run in runs})
    of_documents = "" if n_documents is None else f" of {n_documents:,}"
    what = f" read: {n_read:,} of {total:,} tokens ({n_read / max(total, 1):.1%}), {_count(len(runs), 'passage')} "
    line = Text()
    for style in SCORE_RAMP:
        line.append(UNICODE.lods[0], style)
    line.append(f"{what}in {_count(sources, 'document', of_documents)}")
    coarse = "".join(UNICODE.lods[lod] for lod in sorted({entry.lod for entry in entries} - {0}))
    return line.append(f"   {coarse}", BELOW_ZERO).append(" left out: all the rest") if coarse else line


def _count(n: int, what: str, of: str = "") -> str:
    return f"{n:,}{of} {what}{'' if n == 1 and not of else 's'}"
