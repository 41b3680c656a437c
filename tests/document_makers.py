"""Makes documents of every format that mctool reads, sound and broken ones, with the writers of others.

Run: python tests/document_makers.py DIRECTORY [N_FILES]
"""

import gzip
import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

PDF_KEY = "secret"


def make_pdf(pages, password=None):
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, encrypt=password)
    for lines in pages:
        for number, line in enumerate(lines):
            canvas.drawString(72, 720 - 14 * number, line)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def make_zip(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def make_tar(members, mode="w:gz"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


_CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)


def make_epub(chapters, contents="nav", extra=None):
    """Chapters are (title, body); ``contents`` is nav, ncx or none."""
    names = [f"text/part%20{number}.xhtml" for number in range(len(chapters))]
    items = "".join(
        f'<item id="c{number}" href="{name}" media-type="application/xhtml+xml"/>' for number, name in enumerate(names)
    )
    items += '<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>' * (
        contents == "nav"
    )
    items += '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>' * (contents == "ncx")
    spine = "".join(f'<itemref idref="c{number}"/>' for number in range(len(chapters)))
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": _CONTAINER,
        "OEBPS/book.opf": f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest>'
        f"<spine>{spine}</spine></package>",
    }
    links = "".join(f'<a href="{name}#t">{title}</a>' for name, (title, _) in zip(names, chapters, strict=True))
    if contents == "nav":
        members["OEBPS/nav.xhtml"] = f'<html><body><nav epub:type="toc">{links}</nav></body></html>'
    points = "".join(
        f'<navPoint><navLabel><text>{title}</text></navLabel><content src="{name}"/></navPoint>'
        for name, (title, _) in zip(names, chapters, strict=True)
    )
    if contents == "ncx":
        members["OEBPS/toc.ncx"] = f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{points}</navMap></ncx>'
    for number, (title, body) in enumerate(chapters):
        members[f"OEBPS/text/part {number}.xhtml"] = (
            f'<html><head><title>x</title></head><body><h2 id="t">{title}</h2>{body}</body></html>'
        )
    return make_zip(members | (extra or {}))


def make_docx(parts):
    """Parts are strings, (level, heading), or lists of rows."""
    from docx import Document

    document = Document()
    for part in parts:
        if isinstance(part, tuple):
            document.add_heading(part[1], part[0])
        elif isinstance(part, list):
            table = document.add_table(len(part), len(part[0]))
            for row, values in enumerate(part):
                for column, value in enumerate(values):
                    table.cell(row, column).text = value
        else:
            document.add_paragraph(part)
    return _saved(document)


def make_pptx(slides):
    """Slides are (title, body, notes)."""
    from pptx import Presentation

    deck = Presentation()
    for title, body, notes in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, body
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    return _saved(deck)


def make_xlsx(sheets):
    """Sheets are name -> rows."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    return _saved(book)


def _saved(document):
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def make_notebook(cells):
    """Cells are (source, output text)."""
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
            "cells": [
                {
                    "cell_type": "code",
                    "source": source.splitlines(keepends=True),
                    "metadata": {},
                    "execution_count": 1,
                    "outputs": [{"output_type": "stream", "name": "stdout", "text": [output]}] if output else [],
                }
                for source, output in cells
            ],
        }
    ).encode()


def make_html(heading, text):
    return (
        f"<!doctype html><html><head><title>T</title><script>var x</script></head><body><nav>Menu</nav>"
        f"<h1>{heading}</h1><p>{text}</p><footer>Imprint</footer></body></html>"
    ).encode()


def sound(word):
    """One file of every format, each of which says that word."""
    says = f"The keeper of this file wrote {word} in the log."
    return {
        "notes.md": f"# Notes\n\n{says}\n".encode(),
        "plain.txt": f"{says}\n".encode(),
        "latin.txt": f"Ein schöner Gruß. {says}\n".encode("cp1252"),
        "guide.rst": f"Guide\n=====\n\n{says}\n".encode(),
        "paper.tex": f"\\section{{One}}\n{says}\n".encode(),
        "code.py": f'def keeper():\n    return "{says}"\n'.encode(),
        "page.html": make_html("Harbour", says),
        "book.pdf": make_pdf([["A first page."], [says]]),
        "novel.epub": make_epub([("One", "<p>It began.</p>"), ("Two", f"<p>{says}</p>")]),
        "letter.docx": make_docx(["Dear keeper,", (1, "Log"), says]),
        "talk.pptx": make_pptx([("Welcome", "Hello", ""), ("Log", says, "Speak slowly.")]),
        "table.xlsx": make_xlsx({"First": [["a", 1]], "Log book": [["who", "what"], ["keeper", says]]}),
        "lab.ipynb": make_notebook([("import os\n", ""), (f"print({says!r})\n", f"{says}\n")]),
        "diary.txt.gz": gzip.compress(f"{says}\n".encode()),
        "papers.zip": make_zip({"deep/one.txt": says, "deep/two.pdf": make_pdf([[says]])}),
        "papers.tar.gz": make_tar({"one.md": f"# One\n\n{says}\n".encode()}),
    }


def broken():
    """Files that cannot be opened, by name."""
    pdf = make_pdf([["A page."]])
    return {
        "cut.pdf": pdf[: len(pdf) // 3],
        "locked.pdf": make_pdf([["A page."]], password=PDF_KEY),
        "junk.docx": b"PK\x03\x04 junk",
        "old.xlsx": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600),
        "other.pptx": make_zip({"a": "b"}),
        "bare.epub": make_zip({"mimetype": "application/epub+zip"}),
        "list.ipynb": b"[1, 2]",
        "cut.gz": gzip.compress(b"text " * 999)[:30],
        "cut.zip": make_zip({"a.txt": "text"})[:40],
        "cut.tar.gz": make_tar({"a.txt": b"text " * 99})[:50],
    }


def empty():
    """Files that are sound but hold no text."""
    return {"blank.pdf": make_pdf([[]]), "blank.docx": make_docx([]), "blank.txt": b"", "photo.png": b"\x89PNG\0"}


def write_mixed(directory, n_files):
    """Fill a directory with sound, broken and empty files in turn; returns the number of the broken ones."""
    bad = broken()
    bad_names = set()
    written = number = 0
    while written < n_files:
        files = sound(f"word{number}") | (bad | empty() if number % 3 == 0 else {})
        for name, data in files.items():
            if written == n_files:
                break
            path = Path(directory) / f"set{number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            bad_names |= {str(path)} if name in bad else set()
            written += 1
        number += 1
    return len(bad_names)


if __name__ == "__main__":
    n_broken = write_mixed(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500)
    sys.stdout.write(f"{n_broken} of the files are broken\n")
