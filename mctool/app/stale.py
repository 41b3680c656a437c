"""Documents that are not any more what was ingested."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mctool.sources import file_of
from mctool.tree import Document, Tree


def stale_documents(tree: Tree) -> list[str]:
    """Paths of documents whose file has another size or time than when it was ingested, or is gone."""
    return [document.path for document in tree.documents if _is_stale(document, tree.path.parent)]


def _is_stale(document: Document, base: Path) -> bool:
    if not document.mtime_ns:  # standard input has no file
        return False
    with suppress(OSError):
        status = (base / file_of(document.path)).stat()
        return (status.st_size, status.st_mtime_ns) != (document.size, document.mtime_ns)
    return True
