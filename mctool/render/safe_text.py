"""Text of documents and models on its way to a terminal.

Such text may hold escape sequences that recolour, retitle or reprogram a terminal, and characters that reorder or hide
what is beside them. Here they become visible and harmless. Letters of any script, combining marks, joiners and emoji
stay as they are.
"""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

TAB_COLUMNS = 4

_UNSAFE = re.compile(
    "["
    "\x00-\x09\x0b-\x1f\x7f-\x9f"  # C0 but for the line feed, DEL, C1
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # breaks, directions, invisible marks
    "\ud800-\udfff"  # half a surrogate pair, which no terminal encoding can take
    "\U000e0000-\U000e001f"  # tags that no emoji uses
    "]"
)


def safe_text(text: str) -> str:
    """``text`` with every character that could act on a terminal replaced by one that shows it; lines are kept.

    C0 controls become their pictures (ESC is ␛), invisible and direction marks become ``<U+202E>``, C1 controls and
    halves of surrogate pairs become U+FFFD, tabs become spaces, and CR LF becomes LF.
    """
    return _UNSAFE.sub(_shown, text.replace("\r\n", "\n"))


def safe_line(text: str) -> str:
    """As :func:`safe_text`, on one line: a line feed becomes ␊. For paths and titles."""
    return safe_text(text).replace("\n", "␊")


def fit_end(text: str, columns: int) -> str:
    """``text`` cut at its end to at most ``columns`` terminal columns, with … where it was cut."""
    return (
        text if cell_len(text) <= columns else set_cell_size(text, max(columns - 1, 0)).rstrip() + "…" * (columns > 0)
    )


def fit_start(text: str, columns: int) -> str:
    """``text`` cut at its start to at most ``columns`` terminal columns, with … where it was cut. For paths."""
    if cell_len(text) <= columns:
        return text
    kept = text
    while kept and cell_len(kept) > columns - 1:
        kept = kept[1:]
    return "…" * (columns > 0) + kept


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0x09:
        return " " * TAB_COLUMNS
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if code < 0xA0 or 0xD800 <= code < 0xE000:
        return "\ufffd"
    return f"<U+{code:04X}>"
