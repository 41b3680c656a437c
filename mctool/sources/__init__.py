"""Sources: which files a path stands for, and their text. Knows nothing of tokens, trees or models."""

from __future__ import annotations

from mctool.sources.documents import Found, FoundFile, TextDocument
from mctool.sources.find import find_files
from mctool.sources.options import SourceOptions
from mctool.sources.read import read_document, read_stream

__all__ = ["Found", "FoundFile", "SourceOptions", "TextDocument", "find_files", "read_document", "read_stream"]
