"""PDF files: the text of each page."""

from __future__ import annotations

import re
from typing import Any

from mctool.sources.extract.extracted import Extracted, TextBuilder, UnreadableError

MAX_PAGES = 20_000

_WRONG_PASSWORD = 4
"""FPDF_ERR_PASSWORD."""

_HYPHEN_AT_LINE_END = re.compile("[\ufffe\x02](?:\r?\n)?")
"""How PDFium gives a hyphen that breaks a word in two."""


def read_pdf(data: bytes) -> Extracted:
    """The text of all pages, each a place.

    Raises:
        UnreadableError: It is damaged, encrypted, or has too many pages.
    """
    import pypdfium2

    builder = TextBuilder()
    try:
        with pypdfium2.PdfDocument(data) as pdf:
            if len(pdf) > MAX_PAGES:
                raise UnreadableError(f"it has {len(pdf):,} pages, more than {MAX_PAGES:,}")
            for number in range(len(pdf)):
                text = _page_text(pdf[number])
                if text:
                    if builder.n_chars:
                        builder.add("\n")
                    builder.mark(f"p. {number + 1}")
                    builder.add(f"{text}\n")
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _WRONG_PASSWORD:
            raise UnreadableError("it is encrypted") from error
        raise UnreadableError(str(error)) from error
    return builder.result()


def _page_text(page: Any) -> str:
    text_page = page.get_textpage()
    text: str = _HYPHEN_AT_LINE_END.sub("", text_page.get_text_bounded())
    text_page.close()
    page.close()
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
