from io import StringIO

from rich.console import Console

from mctool.render.lens_ablations import ablation_tables


def shown(rows):
    console = Console(file=StringIO(), width=120)
    for table in ablation_tables(rows):
        console.print(table)
    return console.file.getvalue()


def test_figures_stand_in_their_columns_and_what_there_is_not_is_empty():
    whole = {
        "recall@128 prose": 0.75,
        "spearman prose": -0.25,
        "shown prose by gain": 0.5,
        "tokens prose by gain": 97.4,
    }
    text = shown([
        {"name": "words alone", "seeds": 1, "figures": {"recall@128 prose": 0.5}},
        {"name": "LensNet", "seeds": 2, "figures": whole},
    ])  # fmt: skip
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "LensNet" in line]
    assert lines == [
        ["LensNet", "0.750", "", "", ""],
        ["LensNet", "-0.250", "", "", ""],
        ["LensNet", "", "", "0.500", "97"],
    ]
    assert "code" not in text.replace("spearman code", "")
