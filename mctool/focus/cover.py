"""The initial cover: where focus begins."""

from __future__ import annotations

import numpy as np

from mctool.core.blocks import TOP_LOD
from mctool.core.errors import BudgetTooSmallError
from mctool.core.timeline import Timeline
from mctool.focus.working_context import WorkingContext


def plan_cover(timeline: Timeline, max_cost: int, top_lod: int = TOP_LOD) -> WorkingContext:
    """Tile the live timeline by gists of one level: the finest that fits.

    Nodes whose documents are all retired are left out; a timeline without documents gives a context without entries.

    Args:
        timeline: The live documents.
        max_cost: Most tokens that the cover may cost; each gist costs 1.
        top_lod: Coarsest level that there are gists of, 1 to TOP_LOD.

    Raises:
        BudgetTooSmallError: Not even the gists of ``top_lod`` fit.
        ValueError: ``top_lod`` is no gist level.
    """
    if not 1 <= top_lod <= TOP_LOD:
        raise ValueError(f"top_lod {top_lod} is not within 1 to {TOP_LOD}")
    for lod in range(1, top_lod + 1):
        if timeline.n_nodes(lod) <= max_cost:
            index = timeline.nodes_at(lod)
            return WorkingContext(timeline, np.full(len(index), lod, np.int8), index)
    raise BudgetTooSmallError(
        f"the coarsest cover of the tree needs {timeline.n_nodes(top_lod)} tokens and the budget leaves {max_cost}",
        fix="raise --w-max, or choose documents with --path",
    )
