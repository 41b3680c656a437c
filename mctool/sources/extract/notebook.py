"""Jupyter notebooks: the source of each cell, and what it printed."""

from __future__ import annotations

import json
from typing import Any

from mctool.sources.extract.extracted import Extracted, TextBuilder, UnreadableError


def read_notebook(data: bytes) -> Extracted:
    """All cells in order, each a place; of outputs, the text of streams and of results.

    Raises:
        UnreadableError: It is no notebook.
    """
    try:
        cells = json.loads(data)["cells"]
        builder = TextBuilder()
        for number, cell in enumerate(cells, 1):
            parts = [_joined(cell["source"]), *(_shown(output) for output in cell.get("outputs", ()))]
            text = "\n\n".join(part.strip("\n") for part in parts if part.strip())
            if text:
                if builder.n_chars:
                    builder.add("\n")
                builder.mark(f"cell {number}")
                builder.add(f"{text}\n")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError("it is not a notebook of format 4 in JSON") from error
    return builder.result()


def _shown(output: dict[str, Any]) -> str:
    return _joined(output.get("text") or output.get("data", {}).get("text/plain", ""))


def _joined(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
