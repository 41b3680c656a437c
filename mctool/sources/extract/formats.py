"""Which files are documents that need a reader, which reader it is, and what has to be installed for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePath

from mctool.sources.extract.extracted import Extracted

INSTALL_DOCS = '`pip install "mctool[docs]"`'


@dataclass(frozen=True)
class Format:
    """A kind of document.

    Attributes:
        name: As it is written in messages.
        suffixes: Of file names, lower case.
        home: Module of this package with the reader, ``read_<key>(data) -> Extracted``.
        needs: Module of the extra ``docs`` that the reader needs; None for none.
    """

    name: str
    suffixes: tuple[str, ...]
    home: str
    needs: str | None = None


FORMATS = {
    "docx": Format("DOCX", (".docx",), "office", "docx"),
    "epub": Format("EPUB", (".epub",), "epub"),
    "html": Format("HTML", (".html", ".htm", ".xhtml"), "html"),
    "notebook": Format("notebook", (".ipynb",), "notebook"),
    "pdf": Format("PDF", (".pdf",), "pdf", "pypdfium2"),
    "pptx": Format("PPTX", (".pptx",), "office", "pptx"),
    "xlsx": Format("XLSX", (".xlsx",), "office", "openpyxl"),
}
_BY_SUFFIX = {suffix: key for key, form in FORMATS.items() for suffix in form.suffixes}

_PAGE = re.compile(rb"<(?:!doctype\s+html|html|body)\b", re.IGNORECASE)
_TEMPLATE = re.compile(rb"\{%|\{\{|<\?php|<%")
_HEAD_BYTES = 4096


def format_of(name: str, data: bytes) -> str | None:
    """The key of the format of a file; None when its bytes are its text.

    HTML is a document when it is a whole page; parts of pages and templates are source code.

    Args:
        name: Name of the file.
        data: Its bytes.
    """
    key = _BY_SUFFIX.get(PurePath(name).suffix.lower())
    if key == "html":
        head = data[:_HEAD_BYTES].replace(b"\0", b"")  # so that it is found in UTF-16, too
        return key if _PAGE.search(head) and not _TEMPLATE.search(head) else None
    return "pdf" if key is None and data.startswith(b"%PDF-") else key


def missing_reader(key: str) -> str | None:
    """Why documents of a format cannot be read here; None when they can."""
    form = FORMATS[key]
    if form.needs is None or _is_installed(form.needs):
        return None
    return f"{form.name} needs {INSTALL_DOCS}"


def missing_reader_of(name: str) -> str | None:
    """Why a file cannot be read here, going by its name; None when it can, or is no document of these formats."""
    key = _BY_SUFFIX.get(PurePath(name).suffix.lower())
    return None if key is None else missing_reader(key)


def extract(key: str, data: bytes) -> Extracted:
    """Read a document of a format, in this process.

    Raises:
        UnreadableError: It cannot be opened. Damaged files make some readers raise other errors, too.
    """
    home = import_module(f"mctool.sources.extract.{FORMATS[key].home}")
    read: Callable[[bytes], Extracted] = getattr(home, f"read_{key}")
    return read(data)


@cache
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None
