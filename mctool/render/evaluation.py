"""Tables of the ``evaluate`` commands.

They take rows as plain values, so that this module knows no measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.table import Table

from mctool.render.safe_text import safe_line

Row = Mapping[str, Any]


def _table(title: str, columns: Sequence[str], n_words: int) -> Table:
    """An empty table whose first ``n_words`` columns hold words, the others numbers."""
    table = Table(title=safe_line(title), title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < n_words else "right", no_wrap=place >= n_words)
    return table


def focus_tables(rows: Iterable[Row], sets: Iterable[Row]) -> list[Table]:
    """One table a set: recall of each signal by budget, with standard errors.

    Args:
        rows: Of ``mctool evaluate focus --json``, those of a signal one after the other.
        sets: Likewise.
    """
    known = {one["set"]: one for one in sets}
    tables = []
    for name, of_set in groupby(rows, key=lambda row: row["set"]):
        signals = [list(group) for _, group in groupby(of_set, key=lambda row: row["signal"])]
        facts = known[name]
        title = (
            f"{name}: {facts['questions']} questions, {facts['trees']} trees, {facts['tokens'] / facts['trees']:,.0f}"
            " tokens each; share of answers in the raw text, by raw tokens"
        )
        table = _table(title, ["signal", *(str(row["budget"]) for row in signals[0]), "MRR", "ms"], 1)
        for signal in signals:
            recalls = (f"{_share(row['recall'])}±{_share(row['se'])}" for row in signal)
            seconds = sorted(row["seconds"] for row in signal)
            table.add_row(
                signal[0]["signal"], *recalls, f"{signal[0]['mrr']:.3f}", f"{1000 * seconds[len(seconds) // 2]:.1f}"
            )
        tables.append(table)
    return tables


def answer_tables(rows: Iterable[Row], sets: Iterable[Row]) -> list[Table]:
    """One table a set: how right the answers of each system are, what it refuses, and what it reads.

    Args:
        rows: Of ``mctool evaluate answers --json``, those of a set one after the other.
        sets: Likewise.
    """
    known = {one["set"]: one for one in sets}
    tables = []
    for name, group in groupby(rows, key=lambda row: row["set"]):
        of_set, facts = list(group), known[name]
        title = (
            f"{name}: {facts['answerable']} questions with an answer, {facts['adversarial']} adversarial and "
            f"{facts['foreign']} foreign ones without, {facts['trees']} trees, "
            f"{facts['tokens'] / facts['trees']:,.0f} tokens each"
        )
        is_code = any(row["lookup"] is not None for row in of_set)
        columns = ["found", "named", "cited"] if is_code else ["F1", "EM"]
        table = _table(title, ["system", *columns, "NLL", "refused", "false ref.", "tokens", "s"], 1)
        for row in of_set:
            shares = [_optional_share(row[key]) for key in ("lookup", "named", "cited_first")]
            scores = [f"{_share(row[key])}{_plus_minus(row[f'{key}_se'])}" for key in ("f1", "em")]
            table.add_row(
                row["system"],
                *(shares if is_code else scores),
                f"{row['nll']:.2f}{_plus_minus(row['nll_se'], 2)}",
                _refusals(row),
                _share(row["false_refused"]),
                f"{row['tokens_read']:,.0f}",
                f"{row['first_token_s']:.2f}",
            )
        tables.append(table)
    return tables


def speed_table(rows: Iterable[Row]) -> Table:
    """All figures, each with its ratio to the baseline of its measure."""
    table = _table("speed", ["measure", "system", "value", "unit", "ratio", "to"], 2)
    last = None
    for row in rows:
        ratio = "" if row["ratio"] is None else _number(row["ratio"])
        measure = "" if row["measure"] == last else safe_line(row["measure"])
        table.add_row(measure, row["system"], _number(row["value"]), row["unit"], ratio, row["baseline"] or "")
        last = row["measure"]
    return table


def substitution_tables(rows: Iterable[Row], content: Iterable[Row], harm: Iterable[Row]) -> list[Table]:
    """NLL and R of each variant; content; harm; each with its standard error."""
    columns = ["domain", "place", "variant", "LOD", "blocks", "H", "nats/token", "R", "n"]
    variants = _table("NLL of the text that follows the replaced blocks", columns, 3)
    for row in rows:
        numbers = (str(row[name]) for name in ("lod", "n_blocks", "horizon"))
        variants.add_row(
            row["domain"], row["place"], row["variant"], *numbers, _estimate(row["nll"], row["se"]),
            _estimate(row["r"], row["r_se"]), str(row["n"]),
        )  # fmt: skip
    contents = _table("content: R(gist) - R(gist of another document)", ["domain", "place", "LOD", "content"], 2)
    for row in content:
        contents.add_row(row["domain"], row["place"], str(row["lod"]), _estimate(row["value"], row["se"]))
    harms = _table("harm: NLL(gist) - NLL(dropped), nats/token; below 0 gists help", ["LOD", "blocks", "harm"], 0)
    for row in harm:
        harms.add_row(str(row["lod"]), str(row["n_blocks"]), _estimate(row["value"], row["se"]))
    return [variants, contents, harms]


def _refusals(row: Row) -> str:
    """Share of all, and of the adversarial and foreign questions apart where there are both."""
    parts = [row["refused_adversarial"], row["refused_foreign"]]
    apart = f" ({'/'.join(map(_share, parts))})" if None not in parts else ""
    return f"{_optional_share(row['refused'])}{apart}"


def _optional_share(value: float | None) -> str:
    return "" if value is None else _share(value)


def _plus_minus(se: float | None, digits: int = 3) -> str:
    return "" if se is None else f"±{se:.{digits}f}".replace("±0.", "±.")


def _share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _estimate(value: float | None, se: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if se is None else f"{value:.3f} ±{se:.3f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
