import pytest

from mctool.app.evaluate.overlap import lexical_overlap, rows_by_third, thirds


def test_overlap_is_of_stems_without_stop_words_over_all_blocks_of_the_answer():
    question = "Where were the boats of the harbour counted?"
    assert lexical_overlap(question, ["He counts", " a boat."]) == pytest.approx(2 / 3)
    assert lexical_overlap(question, ["Nothing of the kind was where they were."]) == 0
    assert lexical_overlap("?", ["?"]) == 0


def test_thirds_go_from_the_lowest_overlap_up_and_keep_the_order_of_equals():
    parts = [(name, places.tolist()) for name, places in thirds([0.5, 0.0, 1.0, 0.5, 0.0, 0.5])]
    assert parts == [("lowest", [1, 4]), ("middle", [0, 3]), ("highest", [5, 2])]
    assert [name for name, _ in thirds([0.5])] == ["lowest"]


def test_rows_tell_recall_and_bounds_of_each_third():
    found = {"lens": [True, False, True, True], "bm25": [True, False, True, False]}
    rows = {(row.signal, row.third): row for row in rows_by_third("S", 512, [0.75, 0.0, 1.0, 0.25], found)}
    lowest = rows["lens", "lowest"]
    assert (lowest.n, lowest.recall, lowest.least_overlap, lowest.most_overlap) == (2, 0.5, 0.0, 0.25)
    assert lowest.se == pytest.approx((0.25 / 2) ** 0.5)
    assert rows["bm25", "lowest"].recall == 0
    assert rows["lens", "highest"].recall == rows["bm25", "highest"].recall == 1
    assert {row.budget for row in rows.values()} == {512}
