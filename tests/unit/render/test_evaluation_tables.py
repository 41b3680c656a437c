import io

from rich.console import Console

from mctool.render.evaluation import focus_tables, speed_table, substitution_tables


def drawn(*tables, width=80):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def test_recall_of_a_set_fits_80_columns():
    common = {"set": "S", "se": 0.012, "n": 9, "mrr": 0.5, "seconds": 0.004}
    rows = [
        common | {"signal": signal, "budget": budget, "recall": recall}
        for signal, recall in (("mctool lexical", 0.958), ("chunks bm25", 1.0))
        for budget in (128, 256, 512, 1024, 2048)
    ]
    text = drawn(*focus_tables(rows, [{"set": "S", "trees": 2, "tokens": 1000, "questions": 9}]))
    assert "9 questions, 2 trees, 500 tokens each" in " ".join(text.split())
    (lens,) = (line for line in text.splitlines() if line.startswith("mctool lexical"))
    (chunks,) = (line for line in text.splitlines() if line.startswith("chunks bm25"))
    assert lens.count(" .958±.012") == 5
    assert chunks.count("1.000±.012") == 5


def test_speed_shows_ratios_and_hides_escapes():
    rows = [
        {"measure": "\x1b[31mm", "system": "old", "value": 1234.5, "unit": "s", "ratio": None, "baseline": None},
        {"measure": "\x1b[31mm", "system": "new", "value": 0.5, "unit": "s", "ratio": 0.000405, "baseline": "old"},
    ]
    text = drawn(speed_table(rows))
    assert "\x1b" not in text
    assert "1,23" in text
    assert "0.000405" in text


def test_substitution_shows_errors_where_there_are_any():
    row = {
        "domain": "code", "lod": 1, "n_blocks": 4, "place": "hard", "horizon": 128, "variant": "gist",
        "nll": 2.5, "se": 0.1, "n": 3, "r": None, "r_se": None,
    }  # fmt: skip
    content = {"domain": "code", "lod": 1, "place": "hard", "value": 0.02, "se": None}
    harm = {"lod": 1, "n_blocks": 4, "value": -0.03, "se": 0.01}
    text = drawn(*substitution_tables([row], [content], [harm]))
    for figure in ("2.500 ±0.100", "0.020", "-0.030 ±0.010"):
        assert figure in text
