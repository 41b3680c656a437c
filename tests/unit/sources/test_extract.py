"""Readers of document formats, in this process and in one of their own."""

import io
import json
import zipfile

import pytest
from document_makers import make_docx, make_epub, make_pdf, make_pptx, make_xlsx, make_zip
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mctool.sources.extract import extracted as extracted_module
from mctool.sources.extract.extracted import UnreadableError, quoted
from mctool.sources.extract.formats import extract, format_of
from mctool.sources.extract.isolated import Extractor

PAGE = "<!doctype html><body>{}</body>"


def html(body):
    return extract("html", PAGE.format(body).encode()).text


class TestHtml:
    """Pages as text."""

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ("a  <b>bold</b>,\n text", "a bold, text\n"),
            ("<p>one</p><p>two<br>three</p>", "one\n\ntwo\nthree\n"),
            ("<h2>A <i>head</i></h2>text", "## A head\n\ntext\n"),
            ("<ul><li>one<li><p>two</p></ul>end", "- one\n- two\n\nend\n"),
            ("<table><tr><th>a<th>b</tr><tr><td>1<td>2</table>", "a | b\n1 | 2\n"),
            ("x<pre>\n  two\n    lines\n</pre>y", "x\n\n  two\n    lines\n\n\ny\n"),
            ("<nav>menu</nav>text<footer>f</footer><script>s()</script><p hidden>h</p>", "text\n"),
            ("<div>around</div><main>inside</main>", "inside\n"),
            ("<nav>only this</nav>", "only this\n"),
            ("&lt;b&gt; &amp; &eacute;", "<b> & é\n"),
            ("", ""),
        ],
    )
    def test_text(self, body, text):
        assert html(body) == text

    def test_marks_stand_at_headings(self):
        read = extract("html", PAGE.format("intro<h1>One</h1>a<h2>Two &amp; a half</h2>b").encode())
        assert [read.text[start:].split("\n")[0] for start, _ in read.marks] == ["intro", "# One", "## Two & a half"]
        assert [label for _, label in read.marks] == ["start", '§ "One"', '§ "Two & a half"']

    def test_declared_encoding_and_deep_nesting(self):
        page = "<html><head><meta charset='windows-1251'></head><body>Привет</body>".encode("cp1251")
        assert extract("html", page).text == "Привет\n"
        assert html("<div>" * 3000 + "deep") == "deep\n"

    @given(st.text(st.characters(codec="utf-8"), max_size=300))
    @settings(deadline=None, max_examples=50)
    def test_anything_is_a_page(self, source):
        data = f"<html>{source}".encode()
        try:
            read = extract("html", data)
        except UnreadableError:
            return
        assert all(0 <= start <= len(read.text) for start, _ in read.marks)

    @pytest.mark.parametrize(
        ("source", "key"),
        [
            (b"<!DOCTYPE html><p>x", "html"),
            ("<html>".encode("utf-16"), "html"),
            (b"<p>a fragment</p>", None),
            (b"<html>{% block x %}", None),
            (b"<?php echo 1 ?><html>", None),
        ],
    )
    def test_only_whole_pages_are_documents(self, source, key):
        assert format_of("a.HTML", source) == key


class TestEpub:
    """Books."""

    CHAPTERS = (("One", "<p>It began.</p>"), ("Two", "<p>It ended.</p><aside>A note.</aside>"))

    @pytest.mark.parametrize("contents", ["nav", "ncx", "none"])
    def test_chapters(self, contents):
        read = extract("epub", make_epub(self.CHAPTERS, contents))
        assert read.text == "## One\n\nIt began.\n\n## Two\n\nIt ended.\n\nA note.\n"
        assert dict(read.marks)[read.text.index("## Two")] == 'ch. "Two"'

    def test_hidden_fonts_are_fine_and_hidden_text_is_not(self):
        hidden = '<encryption><CipherReference URI="OEBPS/{}"/></encryption>'
        book = make_epub(self.CHAPTERS, extra={"META-INF/encryption.xml": hidden.format("font.otf")})
        assert "It began." in extract("epub", book).text
        book = make_epub(self.CHAPTERS, extra={"META-INF/encryption.xml": hidden.format("text/part%200.xhtml")})
        with pytest.raises(UnreadableError, match="it is encrypted"):
            extract("epub", book)

    def test_entity_bombs_are_refused(self):
        entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
        bomb = f'<!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><container>&e8;</container>'
        with pytest.raises(UnreadableError, match="its XML cannot be read"):
            extract("epub", make_zip({"META-INF/container.xml": bomb}))


def test_office_documents():
    read = extract("docx", make_docx(["before", (2, "Head"), [["a", "b"], ["", "d"]], "after"]))
    assert (read.text, read.marks) == ("before\n## Head\na | b\n | d\nafter\n", ((0, "start"), (7, '§ "Head"')))
    read = extract("pptx", make_pptx([("T", "one\ntwo", "say it"), ("U", "x", "")]))
    assert (read.text, read.marks[1][1]) == ("T\none\ntwo\nNotes: say it\n\nU\nx\n", "slide 2")
    read = extract("xlsx", make_xlsx({"A b": [["x", None, 1.5], [], [0.1 + 0.2]], "Empty": []}))
    assert (read.text, read.marks) == ("# A b\nx |  | 1.5\n0.3\n", ((0, 'sheet "A b"'),))


def test_pages_of_a_pdf():
    read = extract("pdf", make_pdf([["one", "two"], [], ["three"]]))
    assert (read.text, read.marks) == ("one\ntwo\n\nthree\n", ((0, "p. 1"), (9, "p. 3")))


def test_code_points_that_are_no_characters_are_replaced_in_place():
    cells = {"cells": [{"source": "a\ud800b\0"}, {"source": "c"}]}
    read = extract("notebook", json.dumps(cells).encode())
    assert read.text == "a\ufffdb\ufffd\n\nc\n"
    assert read.text[{label: start for start, label in read.marks}["cell 2"]] == "c"


def test_text_is_bounded(monkeypatch):
    monkeypatch.setattr(extracted_module, "MAX_CHARS", 100)
    with pytest.raises(UnreadableError, match="more than 100 characters"):
        extract("notebook", json.dumps({"cells": [{"source": "x" * 101}]}).encode())


def test_zip_bombs_are_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(60_000_000))
    with pytest.raises(UnreadableError, match="it unpacks to 60 MB, more than is safe"):
        extract("docx", out.getvalue())


def test_long_names_are_shortened():
    assert quoted("a\n  b") == '"a b"'
    assert len(quoted("x" * 500)) == 82


class TestExtractor:
    """The process that readers run in."""

    def test_goes_on_after_broken_files(self):
        with Extractor() as extractor:
            for _ in range(2):
                with pytest.raises(UnreadableError, match="zip"):
                    extractor.extract("docx", b"junk")
                assert extractor.extract("pdf", make_pdf([["one"]])).marks == ((0, "p. 1"),)

    def test_starts_anew_when_a_reader_crashes_or_fails(self):
        with Extractor() as extractor:
            extractor.extract("notebook", b'{"cells": []}')
            extractor._process.kill()
            extractor._process.wait()
            with pytest.raises(UnreadableError, match="its reader crashed"):
                extractor.extract("notebook", b'{"cells": []}')
            with pytest.raises(UnreadableError, match="its reader failed over it"):
                extractor.extract("no such format", b"")
            assert extractor.extract("notebook", b'{"cells": [{"source": "a"}]}').text == "a\n"

    def test_a_slow_reader_is_ended(self, monkeypatch, tmp_path):
        # The module runs as __main__, so it is the patched one that has to be started.
        (tmp_path / "slow_worker.py").write_text(
            "import mctool.sources.extract.worker as w\nw.CPU_SECONDS = 0.2\n"
            "def slow(key, data):\n    while True: pass\nw.extract = slow\nw.main()\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr("mctool.sources.extract.isolated._WORKER", "slow_worker")
        with Extractor() as extractor, pytest.raises(UnreadableError, match="reading it takes more than 60 s"):
            extractor.extract("notebook", b"{}")


@given(st.binary(max_size=200), st.sampled_from(["epub", "docx", "xlsx", "pptx", "notebook"]))
@example(b"PK\x05\x06" + bytes(18), "docx")
@settings(deadline=None, max_examples=40)
def test_noise_is_unreadable(data, key):
    with pytest.raises(UnreadableError):
        extract(key, data)
