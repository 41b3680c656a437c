import io

from rich.console import Console

from mctool.render.evaluation import answer_tables, focus_tables, speed_table, substitution_tables


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


ANSWERS = {
    "set": "S", "system": "bm25 1024 (no adapter)", "f1": 0.4567, "f1_se": 0.0321, "em": 0.25, "em_se": None,
    "nll": 2.345, "nll_se": 0.12, "refused": 0.5, "refused_adversarial": 0.25, "refused_foreign": 0.75,
    "false_refused": 0.125, "lookup": None, "named": None, "cited_first": None, "tokens_read": 1000.4,
    "first_token_s": 1.25,
}  # fmt: skip
ANSWER_SET = {"set": "S", "trees": 2, "tokens": 1000, "answerable": 9, "adversarial": 4, "foreign": 4}


def test_answers_fit_a_wide_terminal():
    text = drawn(*answer_tables([ANSWERS], [ANSWER_SET]), width=100)
    assert "9 questions with an answer, 4 adversarial and 4 foreign ones without, 2 trees" in " ".join(text.split())
    (row,) = (line for line in text.splitlines() if line.startswith("bm25"))
    figures = "bm25 1024 (no adapter) .457±.032 .250 2.35±.12 .500 (.250/.750) .125 1,000 1.25"
    assert row.split() == figures.split()


def test_lookups_have_columns_of_their_own_and_gaps_where_nothing_was_measured():
    ask = ANSWERS | {"system": "ask", "lookup": 0.75, "named": 0.5, "cited_first": 0.25}
    oracle = ANSWERS | {"system": "oracle", "lookup": 0.5, "named": 0.5, "refused": None, "refused_foreign": None}
    text = drawn(*answer_tables([ask, oracle], [ANSWER_SET]), width=100)
    rows = [line.split() for line in text.splitlines()]
    assert ["system", "found", "named", "cited", "NLL"] in [row[:5] for row in rows]
    assert ["ask", ".750", ".500", ".250", "2.35±.12", ".500", "(.250/.750)", ".125", "1,000", "1.25"] in rows
    assert ["oracle", ".500", ".500", "2.35±.12", ".125", "1,000", "1.25"] in rows


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
