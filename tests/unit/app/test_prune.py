"""How touches of nodes are shared among documents."""

import numpy as np
import pytest

from mctool.app.prune import PruneConfig, touches
from mctool.core.errors import UsageError
from mctool.core.timeline import Timeline
from mctool.tree import AccessCount


class CountedTree:
    """Two documents of 20 and 12 blocks that share the first LOD2 node, and one of 32 blocks in the next."""

    timeline = Timeline.of_documents([(0, 640), (20, 384), (32, 1024)])
    documents = ("a", "b", "c")

    def __init__(self, *counts):
        self._counts = [AccessCount(*count) for count in counts]

    def access_counts(self):
        return self._counts


def test_touches_of_a_shared_node_are_shared_by_blocks():
    tree = CountedTree((0, 3, 0, 0, 2), (1, 20, 1, 0, 0), (2, 0, 4, 4, 0), (2, 1, 1, 1, 0), (2, 9, 5, 0, 0))
    assert touches(tree).tolist() == pytest.approx([2 + 8 * 20 / 32, 1 + 8 * 12 / 32, 2])


def test_without_counts_all_are_cold():
    assert np.array_equal(touches(CountedTree()), np.zeros(3))


@pytest.mark.parametrize("fields", [{}, {"keep_fraction": 0.5, "max_gb": 1}, {"keep_fraction": -0.1}, {"max_gb": 0}])
def test_nonsense_is_refused(fields):
    with pytest.raises(UsageError):
        PruneConfig(**fields)
