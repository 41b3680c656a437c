"""EPUB books: the text of the spine, with chapters by the table of contents."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urldefrag
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from selectolax.lexbor import LexborHTMLParser

from mctool.sources.extract.extracted import Extracted, UnreadableError, quoted
from mctool.sources.extract.html import PageText, html_text
from mctool.sources.extract.zips import open_zip

_FRONT = "front matter"
_XHTML = "application/xhtml+xml"
_NCX = "application/x-dtbncx+xml"
_START = ""
"""The anchor that stands for the start of a file."""


@dataclass(frozen=True)
class _Item:
    """A file of the book: its path in the zip, its media type, its properties."""

    path: str
    media_type: str
    properties: str


def read_epub(data: bytes) -> Extracted:
    """All text in reading order; a place is what the table of contents names, else what begins with a heading.

    Raises:
        UnreadableError: It is damaged or encrypted, or no EPUB.
    """
    with open_zip(data) as book:
        try:
            return _Book(book).read()
        except KeyError as error:
            raise UnreadableError(f"it lacks a file: {error.args[0]}") from error
        except (ParseError, DefusedXmlException, ValueError) as error:
            raise UnreadableError(f"its XML cannot be read: {error}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise UnreadableError("it is not a whole zip file") from error


class _Book:
    """One book that is being read."""

    def __init__(self, book: zipfile.ZipFile) -> None:
        self._book = book
        root = next(_named(fromstring(book.read("META-INF/container.xml")), "rootfile"), None)
        if root is None or not root.get("full-path"):
            raise UnreadableError("it does not say where its contents are")
        package_path = root.get("full-path", "")
        package = fromstring(book.read(package_path))
        self._items = {
            item.get("id", ""): _Item(
                _resolved(package_path, item.get("href", "")), item.get("media-type", ""), item.get("properties", "")
            )
            for item in _named(package, "item")
        }
        refs = (self._items.get(ref.get("idref", "")) for ref in _named(package, "itemref"))
        self._spine = list(dict.fromkeys(item.path for item in refs if item is not None and item.media_type == _XHTML))
        self._refuse_encrypted()

    def read(self) -> Extracted:
        contents = self._contents()
        out = PageText(None if contents else lambda name: f"ch. {quoted(name)}")
        out.builder.mark(_FRONT)
        for path in self._spine:
            page = LexborHTMLParser(html_text(self._book.read(path)))
            anchors = contents.get(path, {})
            if page.body is not None:
                if _START in anchors:
                    out.begin(anchors[_START])
                out.take(page.body, whole=True, anchors=anchors)
        return out.result()

    def _refuse_encrypted(self) -> None:
        """Books may hide fonts; one that hides its text cannot be read."""
        try:
            encryption = fromstring(self._book.read("META-INF/encryption.xml"))
        except KeyError:
            return
        hidden = {unquote(element.get("URI", "")) for element in _named(encryption, "CipherReference")}
        if hidden & set(self._spine):
            raise UnreadableError("it is encrypted")

    def _contents(self) -> dict[str, dict[str, str]]:
        """The table of contents: path -> anchor -> label; empty when there is none."""
        labels: dict[str, dict[str, str]] = {}
        for base, href, title in self._entries():
            target, anchor = urldefrag(href)
            if title.strip():
                labels.setdefault(_resolved(base, target), {}).setdefault(unquote(anchor), f"ch. {quoted(title)}")
        return labels if labels.keys() & set(self._spine) else {}

    def _entries(self) -> Iterator[tuple[str, str, str]]:
        """Entries of the table of contents: the path of the file that holds it, the reference, the title."""
        for item in self._items.values():
            if "nav" in item.properties.split():
                navs = LexborHTMLParser(html_text(self._book.read(item.path))).css("nav")
                tables = [nav for nav in navs if nav.attributes.get("epub:type") == "toc"] or navs[:1]
                for link in (link for nav in tables for link in nav.css("a[href]")):
                    yield item.path, link.attributes.get("href") or "", link.text()
                return
        for item in self._items.values():
            if item.media_type == _NCX:
                for point in _named(fromstring(self._book.read(item.path)), "navPoint"):
                    title = next(_named(point, "text"), None)
                    source = next(_named(point, "content"), None)
                    if title is not None and source is not None:
                        yield item.path, source.get("src", ""), title.text or ""
                return


def _named(root: Element, name: str) -> Iterator[Element]:
    """Elements of a name at or below another, whatever their namespace."""
    return (element for element in root.iter() if str(element.tag).rpartition("}")[2] == name)


def _resolved(base: str, href: str) -> str:
    """The path in the zip that a reference in the file ``base`` stands for; of no reference, the file itself."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(href))) if href else base
