"""Colours that can be read on light and on dark backgrounds."""

from __future__ import annotations

from rich.style import Style

FAINT = Style(color="#839496")
BOLD = Style(bold=True)
PLACE = Style(color="#268bd2", bold=True)
"""Where something stands: a path and lines."""

SPENT = Style(color="#2aa198")
ALARM = Style(color="#dc322f", bold=True)
EXPANDED = Style(color="#dc322f", bold=True)
COLLAPSED = Style(color="#5f87af", bold=True)
SCORE_RAMP = (Style(color="#a08000"), Style(color="#cb6a16"), Style(color="#dc322f"))
"""Focus scores above 0, from low to high."""

BELOW_ZERO = Style(color="#5f87af")
