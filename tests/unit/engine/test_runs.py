import numpy as np

from mctool.core.timeline import Timeline
from mctool.engine.runs import RawRun, raw_runs
from mctool.focus import WorkingContext

TIMELINE = Timeline.of_documents([(0, 100), (4, 40), (10, 64)])
"""Blocks 0-3, 4-5 and 10-11."""


def runs_of(lods):
    """The runs of a context with these levels (0 or 1) for blocks 0-5, 10 and 11, scored 0, 1, 2, ..."""
    context = WorkingContext(TIMELINE, np.array(lods, np.int8), np.array([0, 1, 2, 3, 4, 5, 10, 11]))
    return raw_runs(context, np.arange(8.0))


def test_consecutive_raw_blocks_are_one_run_with_its_best_score():
    assert runs_of([1, 0, 0, 1, 1, 1, 1, 1]) == [RawRun(0, 1, 3, 32, 96, 2.0)]


def test_a_run_ends_with_its_document():
    assert runs_of([0] * 8) == [
        RawRun(0, 0, 4, 0, 100, 3.0),
        RawRun(1, 4, 6, 100, 140, 5.0),
        RawRun(2, 10, 12, 140, 204, 7.0),
    ]


def test_a_gist_between_raw_blocks_parts_them():
    assert [(run.first_block, run.end_block) for run in runs_of([0, 1, 0, 1, 1, 0, 0, 1])] == [
        (0, 1),
        (2, 3),
        (5, 6),
        (10, 11),
    ]


def test_no_raw_block_gives_no_run():
    assert runs_of([1] * 8) == []
    assert raw_runs(WorkingContext(Timeline.of_documents([]), np.zeros(0), np.zeros(0)), np.zeros(0)) == []
