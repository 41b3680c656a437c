"""mctool: answers questions about documents far longer than any model's window."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mctool.version import __version__

if TYPE_CHECKING:
    from mctool.app.api import ask, ingest, open_tree

_HOMES = {"ask": "mctool.app.api", "ingest": "mctool.app.api", "open_tree": "mctool.app.api"}
"""Imported when first used, so that ``import mctool`` takes no time."""

__all__ = ["__version__", "ask", "ingest", "open_tree"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
