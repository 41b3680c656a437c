"""HTML pages: their main text, with headings.

Tried instead, November 2026: trafilatura 2.3. On 28 pages of the documentation of Node.js and npm, whose Markdown is
there to compare with, it finds .939 and .961 of the sequences of three words, against .949 and .976 here; on chapters
of the Rust book it leaves out .16 of what is found here. In turn .034 and .042 of its text are menus and the like,
against .141 and .067 here, and more where a page marks nothing as navigation. Text that is lost cannot be found, while
a menu is just not asked for; and it takes 5 times as long and eleven packages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mctool.sources.decode import decode
from mctool.sources.extract.extracted import Extracted, TextBuilder, UnreadableError, quoted


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_DROPPED = _tags("audio button canvas dialog embed head iframe noscript object script select style svg template video")
_AROUND = _tags("aside footer nav")
_AROUND_ROLES = _tags("banner complementary contentinfo navigation search")
_PARAGRAPHS = _tags("blockquote dl figure hr ol p pre table ul")
_LINES = _tags(
    "address article aside body br caption dd details div dt fieldset figcaption footer form header legend li main nav "
    "optgroup option section summary tbody tfoot thead tr"
)
_HEADINGS = {f"h{level}": f"{'#' * level} " for level in range(1, 7)}
_CELLS = frozenset({"td", "th"})
_SPACE = re.compile(r"[ \t\r\n\f]+")


def read_html(data: bytes) -> Extracted:
    """The main text of a page: ``<main>`` where there is one, else the body without what stands around the text."""
    page = LexborHTMLParser(html_text(data))
    mains = page.css("main, [role=main]")
    root = mains[0] if len(mains) == 1 else page.body
    out = PageText(lambda name: f"§ {quoted(name)}")
    if root is not None:
        out.take(root, whole=False)
        if not out.builder.n_chars:
            out.take(root, whole=True)
    return out.result()


def html_text(data: bytes) -> str:
    """The decoded source of a page.

    Raises:
        UnreadableError: It is no text.
    """
    decoded = decode(data)
    if isinstance(decoded, str):
        raise UnreadableError(decoded)
    return decoded.text


class PageText:
    """Writes elements as text: paragraphs, ``#`` headings, ``-`` lists, rows of tables as lines."""

    def __init__(self, label: Callable[[str], str] | None = None) -> None:
        """Take the function from a heading to the label of what follows it; None leaves headings unmarked."""
        self.builder = TextBuilder()
        self._label = label
        self._breaks = 0
        self._has_space = False
        self._pre_depth = 0
        self._at_bullet = False
        self._next_label: str | None = None

    def begin(self, label: str) -> None:
        """Mark a place that begins with what comes next."""
        self._next_label = label

    def take(self, root: LexborNode, *, whole: bool, anchors: Mapping[str, str] | None = None) -> None:
        """Write all below an element, after an empty line.

        Args:
            root: The element.
            whole: Keep navigation, side notes and footers.
            anchors: Id of an element -> label of the place that begins there.
        """
        self._break(2)
        for node, begins in _walk(root, whole):
            if node.is_text_node:
                self._write(node.text_content or "")
            elif begins:
                if anchors and node.id and node.id in anchors:
                    self.begin(anchors[node.id])
                self._enter(node)
            else:
                self._leave(node.tag or "")

    def result(self) -> Extracted:
        """All that was written."""
        if self.builder.n_chars:
            self.builder.add("\n")
        return self.builder.result()

    def _enter(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _HEADINGS:
            self._break(2)
            name = " ".join((node.text(separator="") or "").split())
            if name:
                self._flush()
                if self._label is not None:
                    self.builder.mark(self._label(name))
                self.builder.add(_HEADINGS[tag])
        elif tag in _CELLS:
            if _has_cell_before(node):
                self._write(" | ")
        else:
            self._break(2 if tag in _PARAGRAPHS else 1 if tag in _LINES else 0)
        if tag == "li":
            self._flush()
            self.builder.add("- ")
            self._at_bullet = True
        self._pre_depth += tag == "pre"

    def _leave(self, tag: str) -> None:
        self._pre_depth -= tag == "pre"
        self._break(2 if tag in _PARAGRAPHS or tag in _HEADINGS else 1 if tag in _LINES and tag != "br" else 0)

    def _write(self, text: str) -> None:
        if self._pre_depth:
            self._flush()
            self.builder.add(text)
            return
        words = _SPACE.sub(" ", text)
        if words.startswith(" "):
            self._has_space = True
        if words.strip(" "):
            self._flush()
            self.builder.add(words.strip(" "))
            self._has_space = words.endswith(" ")

    def _break(self, n_lines: int) -> None:
        """Ask for line ends before what comes next; 2 make an empty line."""
        self._breaks = max(self._breaks, n_lines)

    def _flush(self) -> None:
        """Write the space or the line ends that were asked for; none of them at the start."""
        if self._breaks and self.builder.n_chars and not self._at_bullet:
            self.builder.add("\n" * self._breaks)
        elif self._has_space and not self._breaks and self.builder.n_chars:
            self.builder.add(" ")
        if self._next_label is not None:
            self.builder.mark(self._next_label)
        self._breaks, self._has_space, self._at_bullet, self._next_label = 0, False, False, None


def _walk(root: LexborNode, whole: bool) -> Iterator[tuple[LexborNode, bool]]:
    """All that is below an element in order, without what is no text; elements once as they begin and once as they end.

    It does not recurse: pages nest as deeply as they like.
    """
    node = root.first_child
    while node is not None:
        yield node, True
        if node.first_child is not None and _holds_text(node, whole):
            node = node.first_child
            continue
        if node.is_element_node:
            yield node, False
        while node.next is None:
            node = node.parent
            if node is None or node.mem_id == root.mem_id:
                return
            yield node, False
        node = node.next


def _holds_text(node: LexborNode, whole: bool) -> bool:
    attributes = node.attributes
    if node.tag in _DROPPED or "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return False
    return whole or (node.tag not in _AROUND and attributes.get("role") not in _AROUND_ROLES)


def _has_cell_before(node: LexborNode) -> bool:
    before = node.prev
    while before is not None:
        if before.tag in _CELLS:
            return True
        before = before.prev
    return False
