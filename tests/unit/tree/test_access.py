import multiprocessing
import sqlite3
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from mctool.tree.access import read_access_counts, record_access
from mctool.tree.layout import Layout

PROCESSES, TIMES = 6, 20


def ask_often(root, number, barrier):
    """What a process does that asks many questions."""
    layout = Layout(root)
    barrier.wait()
    for time in range(TIMES):
        stored = record_access(layout, expanded=[(1, 7), (1, 100 + number)], collapsed=[(1, time)], cited=[(0, 7)] * 2)
        assert stored


def test_no_count_is_lost_among_processes(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES)
    workers = [context.Process(target=ask_often, args=(tmp_path, number, barrier)) for number in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    counts = {(count.lod, count.index): count for count in read_access_counts(Layout(tmp_path))}
    assert counts[1, 7].expanded == PROCESSES * TIMES
    assert counts[0, 7].cited == 2 * PROCESSES * TIMES
    assert all(counts[1, 100 + number].expanded == TIMES for number in range(PROCESSES))
    assert sum(count.collapsed for count in counts.values()) == PROCESSES * TIMES


EVENT = st.tuples(st.sampled_from(["expanded", "collapsed", "cited"]), st.integers(0, 4), st.integers(0, 3))


@settings(max_examples=12, deadline=None)
@given(st.lists(EVENT, max_size=6))
def test_counts_are_sums(tmp_path_factory, events):
    layout = Layout(tmp_path_factory.mktemp("access"))
    for kind, lod, index in events:
        assert record_access(layout, **{kind: [(lod, index)]})
    counts = read_access_counts(layout)
    for count in counts:
        for kind in ("expanded", "collapsed", "cited"):
            assert getattr(count, kind) == events.count((kind, count.lod, count.index))
    assert sum(count.expanded + count.collapsed + count.cited for count in counts) == len(events)
    sums = [count.expanded + count.collapsed + count.cited for count in counts]
    assert sums == sorted(sums, reverse=True)


def test_a_lock_that_does_not_end_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("mctool.tree.access.WAIT_S", 0.0)
    layout = Layout(tmp_path)
    assert record_access(layout, cited=[(0, 1)])
    with closing(sqlite3.connect(layout.access, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert not record_access(layout, cited=[(0, 1)])
    assert read_access_counts(layout)[0].cited == 1
