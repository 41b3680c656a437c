"""The words around the history: a plain prompt, with the question nearest to the answer."""

from __future__ import annotations

from mctool.nets.tokenizer import TextTokenizer

HEAD = "Text: "
GAP = " ... "
TAIL = "\nQuestion: {question}\nShort answer:"


def name_line(path: str) -> str:
    """What stands before the first run of a document in a window."""
    return f"[{path}]\n"


def prompt_ids(tokenizer: TextTokenizer, question: str) -> tuple[list[int], list[int]]:
    """Token ids before the history and after it."""
    return tokenizer.encode(HEAD), tokenizer.encode(TAIL.format(question=question))
