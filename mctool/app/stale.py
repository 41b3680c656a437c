"""Documents that are not any more what was ingested."""

from __future__ import annotations

import hashlib
import stat
from contextlib import suppress
from pathlib import Path

from mctool.sources import file_of
from mctool.tree import Document, Tree


def stale_documents(tree: Tree) -> list[str]:
    """Paths of documents whose file is gone or says something else than when it was ingested.

    A file of the same size that only has another modification time is read, and goes by its hash; an archive in which a
    document lies, by its time.
    """
    return [document.path for document in tree.documents if _is_stale(document, tree.path.parent)]


def _is_stale(document: Document, base: Path) -> bool:
    if not document.mtime_ns:  # standard input has no file
        return False
    with suppress(OSError):
        file = base / file_of(document.path)
        status = file.stat()
        if status.st_size != document.size or not stat.S_ISREG(status.st_mode):
            return True
        return status.st_mtime_ns != document.mtime_ns and _sha256(file) != document.sha256
    return True


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
