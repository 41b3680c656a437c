"""Haystacks: real text cut into pages, and trees of it in which a needle stands at a depth.

Reading and keying a long text takes most of the time of a measurement, and it is done once for each length: the tree
holds every page as it is and, beside it, every version of it with a needle. The tree of one needle is a copy in which
all other versions are retired, so that only this needle is there to be found.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from mctool.app.evaluate.needle_facts import Needle
from mctool.app.evaluate.texts import copies
from mctool.core.records import DocumentCounts
from mctool.nets.tokenizer import TextTokenizer
from mctool.sources.corpus import Encode, Pack, SampleDocument, TokenDocument
from mctool.training.packed_tree import packed_tree
from mctool.tree import KeyBuilder, open_writer
from mctool.version import __version__

PAGE_CHARS = 4000
"""Longer documents are cut into pages at the ends of lines, so that a version of one costs little."""

_BREAK = re.compile(r"(?<=\n)|(?<=[.!?] )")
"""Where a sentence can be put in: at the start of a line, or after a sentence."""


@dataclass(frozen=True)
class Hidden:
    """Where a sentence was put: page of the haystack, and half-open characters in the version that holds it."""

    page: int
    start: int
    end: int


@dataclass(frozen=True)
class Trial:
    """One needle in the haystack.

    Attributes:
        needle: What is hidden.
        versions: Page -> its text with what of the needle stands there.
        needed: Where the answer stands, and the sentences that lead to it.
    """

    needle: Needle
    versions: dict[int, str]
    needed: list[Hidden]


def cut_pages(documents: Sequence[SampleDocument], encode: Encode, n_tokens: int) -> list[TokenDocument]:
    """Pages of documents, from the first on and again when they end, that hold just ``n_tokens``.

    Args:
        documents: Real text, at least one character of it.
        encode: The tokenizer.
        n_tokens: Tokens of all pages together; a page that is cut short may tokenise to one more.
    """
    pages: list[TokenDocument] = []
    left = n_tokens
    for document in copies(documents):
        for text in _pages_of(document.text):
            ids, starts = encode(text)
            if len(ids) > left:
                text = text[: int(starts[left])]
                ids, starts = encode(text)
            if text:
                pages.append(TokenDocument(document.path, text, ids, starts))
                left -= len(ids)
            if left <= 0 or not text:
                return pages
    raise AssertionError("copies have no end")


def _pages_of(text: str) -> Iterator[str]:
    """Parts of at most :data:`PAGE_CHARS`, cut at the ends of lines where there are any."""
    while text:
        end = text.rfind("\n", 0, PAGE_CHARS) + 1 if len(text) > PAGE_CHARS else len(text)
        end = end or PAGE_CHARS
        yield text[:end]
        text = text[end:]


def hide(needle: Needle, pages: Sequence[TokenDocument], depth: float, rng: np.random.Generator) -> Trial:
    """Put a needle into a haystack.

    Args:
        needle: Its first sentence goes to the depth, the others to depths that are drawn.
        pages: The haystack.
        depth: Share of the tokens that stand before the needle, from 0 to 1, but for the rest of a line or sentence.
        rng: Draws the depths.
    """
    by_page: dict[int, list[tuple[int, str]]] = {}
    for sentence in (needle.sentence, *needle.links, *needle.distractors):
        page, char = _place(pages, depth if sentence == needle.sentence else float(rng.random()))
        by_page.setdefault(page, []).append((char, sentence))
    versions, hidden = {}, {}
    for page, put in by_page.items():
        parts, at, length = [], 0, 0
        for char, sentence in sorted(put):
            before = pages[page].text[at:char]
            gap = " " if before and not before[-1].isspace() else ""
            parts += [before, gap, sentence, "\n" if not before or before.endswith("\n") else " "]
            length += len(before) + len(gap)
            hidden[sentence] = Hidden(page, length, length + len(sentence))
            length, at = length + len(sentence) + 1, char
        versions[page] = "".join([*parts, pages[page].text[at:]])
    stands = hidden[needle.sentence]
    start = stands.start + needle.sentence.index(needle.answer)
    answer = Hidden(stands.page, start, start + len(needle.answer))
    return Trial(needle, versions, [answer, *(hidden[link] for link in needle.links)])


def _place(pages: Sequence[TokenDocument], depth: float) -> tuple[int, int]:
    """The page and the character at which a sentence goes in, nearest to a depth."""
    starts = np.array([0, *accumulate(len(page.ids) for page in pages)])
    token = depth * starts[-1]
    page = min(int(np.searchsorted(starts, token, side="right")) - 1, len(pages) - 1)
    text = pages[page].text
    wanted = (token - starts[page]) / (starts[page + 1] - starts[page]) * len(text)
    breaks = [0, *(found.start() for found in _BREAK.finditer(text)), len(text)]
    return page, min(breaks, key=lambda char: abs(char - wanted))


class Haystack:
    """A tree of pages and of all their versions; use it in a ``with`` block.

    Args:
        pages: The text.
        trials: All needles that will be looked for.
        model: Name of the base model.
        tokenizer: Its tokenizer.
        key_builder: Makes lens keys; None for a tree without.
    """

    def __init__(
        self,
        pages: Sequence[TokenDocument],
        trials: Iterable[Trial],
        model: str,
        tokenizer: TextTokenizer,
        key_builder: KeyBuilder | None,
    ) -> None:
        self._documents: list[TokenDocument] = []
        self._number: dict[tuple[int, str], int] = {}
        texts: list[dict[str, None]] = [{page.text: None} for page in pages]
        for trial in trials:
            for page, text in trial.versions.items():
                texts[page][text] = None
        for page, versions in enumerate(texts):
            for text in versions:
                self._number[page, text] = len(self._documents)
                plain = pages[page]
                is_plain = text == plain.text
                encoded = (plain.ids, plain.char_starts) if is_plain else tokenizer.encode_with_offsets(text)
                self._documents.append(TokenDocument(plain.path, text, *encoded))
        self._pages = pages
        self._opening = packed_tree(Pack(self._documents, []), model, tokenizer, key_builder)
        self._stack = ExitStack()

    def __enter__(self) -> Haystack:
        self._tree = self._stack.enter_context(self._opening)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def path_of(self, page: int, trial: Trial) -> str:
        """The path under which the tree of a trial holds a page."""
        return self._tree.documents[self._number[page, self._text(page, trial)]].path

    @contextmanager
    def tree_of(self, trial: Trial) -> Iterator[Path]:
        """A tree that holds each page once, with the needle of one trial; it is gone after the block."""
        live = {self._number[page, self._text(page, trial)] for page in range(len(self._pages))}
        with tempfile.TemporaryDirectory(prefix="mctool-") as folder:
            place = Path(folder) / self._tree.path.name
            shutil.copytree(self._tree.path, place)
            if len(live) < len(self._documents):
                with open_writer(place) as writer:
                    retired = [one for number, one in enumerate(writer.documents) if number not in live]
                    for document in retired:
                        writer.retire(document)
                    writer.commit(["evaluation"], __version__, DocumentCounts(retired=len(retired)))
            yield place

    def _text(self, page: int, trial: Trial) -> str:
        return trial.versions.get(page, self._pages[page].text)


def shows(entries: Iterable[tuple[str | None, int | None, int | None]], path: str, start: int, end: int) -> bool:
    """Whether raw entries, as path and half-open characters, hold all of ``[start, end)`` of a document."""
    at = start
    for _, first, last in sorted((p, a, b) for p, a, b in entries if p == path and a is not None and b is not None):
        if first <= at < last:
            at = last
    return at >= end
