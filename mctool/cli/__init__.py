"""The command line: one file per command, and ``main``, the entry point."""

from __future__ import annotations

from mctool.cli.program import app, main

__all__ = ["app", "main"]
