import io

from rich.console import Console

from mctool.render.focus_loop import all_focus_tables

LOOP = {
    "set": "S", "lens": "hybrid", "n": 9, "converged": 1.0, "iterations": 4.6254, "iterations_p90": 5.0,
    "swap_rate": 0.0812, "settled_swap_rate": None, "thrash": 0.25, "changed": 0.3, "raw_tokens": 120.4,
    "recall": 0.75, "se": 0.04, "iteration_seconds": 0.00081, "lens_seconds": 0.01, "net_seconds": None,
    "wide_entries": 1983, "wide_iteration_seconds": 0.0021, "wide_loop_seconds": 0.012,
}  # fmt: skip
RECALL = {"set": "S", "signal": "lens", "budget": 512, "recall": 0.9, "se": 0.1, "n": 9, "mrr": 0.5, "seconds": 0.01}
SET = {"set": "S", "trees": 1, "tokens": 1000, "questions": 9}


def drawn(result):
    console = Console(file=io.StringIO(), width=200, no_color=True)
    for table in all_focus_tables(result):
        console.print(table)
    return console.file.getvalue()


def test_the_loop_stands_beside_its_targets():
    text = drawn({"rows": [RECALL], "sets": [SET], "loops": [LOOP, LOOP | {"set": "T\x1b[31m"}], "thirds": []})
    lines = [line.split() for line in text.splitlines()]
    assert ["came", "to", "rest", "1.000", "1.000", "at", "least", ".95"] in lines
    assert ["swap", "rate,", "actions", "over", "entries", ".081", ".081", ".05", "to", ".20"] in lines
    assert ["swap", "rate", "where", "it", "came", "to", "rest", ".05", "to", ".20"] in lines
    assert ["entries", "of", "a", "wide", "context", "1,983", "1,983", "2,000"] in lines
    assert ["one", "iteration", "over", "it,", "ms", "2.1", "2.1", "below", "50"] in lines
    assert "S: 9 questions, hybrid lens" in text
    assert "\x1b" not in text


def test_thirds_are_columns():
    thirds = [
        {"set": "S", "signal": signal, "budget": 512, "third": third, "least_overlap": 0.0, "most_overlap": 0.5,
         "recall": recall, "se": 0.012, "n": 3}
        for signal, recalls in (("mctool hybrid", (0.95, 1.0)), ("chunks bm25", (0.5, 0.9)))
        for third, recall in zip(("lowest", "highest"), recalls, strict=True)
    ]  # fmt: skip
    text = drawn({"rows": [RECALL], "sets": [SET], "thirds": thirds})
    assert "lowest, .000 to .500 (n = 3)" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["mctool", "hybrid", ".950±.012", "1.000±.012"] in lines
    assert ["chunks", "bm25", ".500±.012", ".900±.012"] in lines


def test_figures_of_before_have_recall_alone():
    assert len(all_focus_tables({"rows": [RECALL], "sets": [SET]})) == 1
