"""Office documents: text of Word files, slides of PowerPoint, sheets of Excel."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from mctool.sources.extract.extracted import Extracted, TextBuilder, UnreadableError, quoted
from mctool.sources.extract.zips import open_zip

MAX_CELLS = 5_000_000


def read_docx(data: bytes) -> Extracted:
    """Paragraphs and tables of the body in order; a place is what begins with a heading.

    Raises:
        UnreadableError: It is damaged, encrypted, or no DOCX file.
    """
    with _checked(data):
        from docx import Document
        from docx.table import Table

        builder = TextBuilder()
        for part in Document(io.BytesIO(data)).iter_inner_content():
            if isinstance(part, Table):
                builder.add(_table(row.cells for row in part.rows))
                continue
            level = _heading_level(part.style.name if part.style is not None else "")
            if level and part.text.strip():
                builder.mark(f"§ {quoted(part.text)}")
                builder.add(f"{'#' * level} ")
            builder.add(f"{part.text}\n")
        return builder.result()


def read_pptx(data: bytes) -> Extracted:
    """Text, tables and notes of each slide, which is a place.

    Raises:
        UnreadableError: It is damaged, encrypted, or no PPTX file.
    """
    with _checked(data):
        from pptx import Presentation

        builder = TextBuilder()
        for number, slide in enumerate(Presentation(io.BytesIO(data)).slides, 1):
            parts = [text for text in _shape_texts(slide.shapes) if text.strip()]
            if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                notes = slide.notes_slide.notes_text_frame.text
                parts += [f"Notes: {notes}"] if notes.strip() else []
            if parts:
                builder.add("\n" if builder.n_chars else "")
                builder.mark(f"slide {number}")
                builder.add("".join(f"{part.rstrip()}\n" for part in parts).replace("\v", "\n"))
        return builder.result()


def read_xlsx(data: bytes) -> Extracted:
    """The rows of each sheet, which is a place, as lines; formulas as the values that were stored with them.

    Raises:
        UnreadableError: It is damaged, encrypted, or no XLSX file, or has too many cells.
    """
    with _checked(data):
        from openpyxl import load_workbook

        builder, n_cells = TextBuilder(), 0
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what a file says of its size is often wrong
            lines: list[str] = []
            for row in sheet.iter_rows(values_only=True):
                n_cells += len(row)
                if n_cells > MAX_CELLS:
                    raise UnreadableError(f"it has more than {MAX_CELLS:,} cells")
                lines += [line] if (line := _row(_value(value) for value in row)) else []
            if lines:
                builder.add("\n" if builder.n_chars else "")
                builder.mark(f"sheet {quoted(sheet.title)}")
                builder.add(f"# {sheet.title}\n")
                for line in lines:
                    builder.add(line)
        book.close()
        return builder.result()


@contextmanager
def _checked(data: bytes) -> Iterator[None]:
    """Refuse what is no sound zip file; turn the errors of readers over damaged contents into ours."""
    open_zip(data).close()
    try:
        yield
    except (KeyError, ValueError, SyntaxError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UnreadableError(f"its contents make no sense ({type(error).__name__})") from error


def _heading_level(style: str) -> int:
    """1 to 6 for the styles of headings, whatever follows their name; else 0."""
    if style == "Title":
        return 1
    number = style.removeprefix("Heading ")
    return min(int(number), 6) if number != style and number.isdecimal() else 0


def _shape_texts(shapes: Iterable[Any]) -> Iterator[str]:
    for shape in shapes:
        if shape.has_text_frame:
            yield shape.text_frame.text
        elif shape.has_table:
            yield _table(row.cells for row in shape.table.rows)
        elif hasattr(shape, "shapes"):
            yield from _shape_texts(shape.shapes)


def _table(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as lines; a cell that was merged from several is written once."""
    lines = []
    for cells in rows:
        merged = {id(cell._tc): cell for cell in cells}
        lines.append(_row(" ".join(cell.text.split()) for cell in merged.values()))
    return "".join(lines)


def _row(values: Iterable[str]) -> str:
    """Cells as a line, without empty ones at its end; nothing for an empty row."""
    line = " | ".join(values).rstrip(" |")
    return f"{line}\n" if line.strip(" |") else ""


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return " ".join(f"{value:.15g}".split() if isinstance(value, float) else str(value).split())
