"""Text for GistNet: token ids by domain, kept unpacked in a folder, and runs drawn from them at random."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mctool.core.errors import MismatchError, UsageError
from mctool.core.timeline import IntArray

IdArray = npt.NDArray[np.uint32]
TEXTS_FILE = "texts.json"


class GistTexts:
    """Documents of several domains.

    Args:
        domains: Token ids of the documents of each domain, shape [n] each.
    """

    def __init__(self, domains: Mapping[str, Iterable[IdArray]]) -> None:
        self._documents = {domain: list(documents) for domain, documents in domains.items()}
        if not any(self._documents.values()):
            raise UsageError("there is no text to train on", "give files of records with longer texts")

    @property
    def domains(self) -> list[str]:
        """Names of the domains that have text."""
        return [domain for domain, documents in self._documents.items() if documents]

    @property
    def n_tokens(self) -> int:
        """Tokens of all documents."""
        return sum(len(ids) for documents in self._documents.values() for ids in documents)

    @property
    def longest(self) -> int:
        """Tokens of the longest document."""
        return max(len(ids) for documents in self._documents.values() for ids in documents)

    def documents(self, domain: str) -> list[IdArray]:
        """The documents of a domain."""
        return self._documents[domain]

    def counts(self, vocab_size: int) -> npt.NDArray[np.float64]:
        """How often each token comes, one more than counted. Shape: [V]."""
        total = np.ones(vocab_size)
        for documents in self._documents.values():
            for ids in documents:
                total += np.bincount(ids, minlength=vocab_size)
        return total

    def draw(self, n_runs: int, n_tokens: int, rng: np.random.Generator, domain: str | None = None) -> IntArray:
        """Runs of tokens, each from one document; domains are drawn alike, documents by their length.

        Args:
            n_runs: How many.
            n_tokens: Length of each.
            rng: Decides.
            domain: The domain to draw from; None for all that have documents long enough.

        Returns:
            Token ids. Shape: [n_runs, n_tokens].

        Raises:
            UsageError: No document is long enough.
        """
        long = {
            name: fitting
            for name in ([domain] if domain else self.domains)
            if (fitting := [ids for ids in self._documents[name] if len(ids) >= n_tokens])
        }
        if not long:
            raise UsageError(f"no document has {n_tokens} tokens", "give longer texts")
        names = sorted(long)
        runs = np.empty((n_runs, n_tokens), np.int64)
        for row in runs:
            documents = long[names[rng.integers(len(names))]]
            room = np.array([len(ids) - n_tokens + 1 for ids in documents])
            place = int(rng.integers(room.sum()))
            number = int(np.searchsorted(np.cumsum(room), place, side="right"))
            start = int(rng.integers(room[number]))
            row[:] = documents[number][start : start + n_tokens]
        return runs


def write_texts(folder: Path, texts: GistTexts, recipe: object) -> None:
    """Keep texts in a folder, where they can be read without what made them.

    Args:
        folder: Exists.
        texts: The documents.
        recipe: What the texts were made of, as plain JSON types.
    """
    lengths = {}
    for domain in texts.domains:
        documents = texts.documents(domain)
        np.save(folder / f"texts-{domain}.npy", np.concatenate(documents).astype(np.uint32))
        lengths[domain] = [len(ids) for ids in documents]
    written = json.dumps({"recipe": recipe, "lengths": lengths})
    (folder / TEXTS_FILE).write_text(written + "\n", encoding="utf-8")


def read_texts(folder: Path, recipe: object) -> GistTexts | None:
    """Texts kept in a folder; None where there are none.

    Raises:
        MismatchError: They were made of something else, or are damaged.
    """
    path = folder / TEXTS_FILE
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["recipe"] != recipe:
            raise MismatchError(f"{folder} holds texts of other data or settings", "give another --out")
        domains = {}
        for domain, lengths in kept["lengths"].items():
            ids = np.load(folder / f"texts-{domain}.npy", mmap_mode="r")
            if len(ids) != sum(lengths):
                raise ValueError(f"{len(ids)} tokens of {domain} instead of {sum(lengths)}")
            domains[domain] = np.split(ids, np.cumsum(lengths)[:-1])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MismatchError(f"{path} cannot be used: {error}", "remove it, or give another --out") from error
    return GistTexts(domains)
