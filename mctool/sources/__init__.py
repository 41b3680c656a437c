"""Sources: which files a path stands for, and their text. Knows nothing of tokens, trees or models."""

from __future__ import annotations

from mctool.sources.archives import file_of, is_archive, member_path
from mctool.sources.documents import Broken, Found, FoundFile, TextDocument
from mctool.sources.extract.isolated import Extractor
from mctool.sources.find import find_files
from mctool.sources.options import SourceOptions
from mctool.sources.read import read_document, read_members, read_stream

__all__ = [
    "Broken",
    "Extractor",
    "Found",
    "FoundFile",
    "SourceOptions",
    "TextDocument",
    "file_of",
    "find_files",
    "is_archive",
    "member_path",
    "read_document",
    "read_members",
    "read_stream",
]
