"""Which lens looks at a tree: the hybrid one where it can, else the lexical one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from mctool.app.key_nets import KeyNets
from mctool.core.config import LensName
from mctool.core.errors import TreeDamagedError
from mctool.core.evidence import Evidence, TermHits
from mctool.core.timeline import IntArray
from mctool.engine.walk import KeyScores, score_by_walk, score_flat
from mctool.focus.entry_features import find_candidates
from mctool.focus.hybrid_lens import hybrid_lens, key_lens
from mctool.focus.lens import UtilityLens
from mctool.focus.lexical_lens import lexical_lens, shown_share
from mctool.focus.scored_lens import CANDIDATES, scored_lens
from mctool.tree import Tree, TreeKeys
from mctool.tree.centroids import FloatArray

FLAT_BLOCKS = 100_000
"""Most live blocks of a tree whose keys are all compared with a question; in larger ones, the walk chooses nodes."""

REKEY = "only its words are looked for; `mctool ingest --rekey` makes them"

_Asked = tuple[str, tuple[str, ...], bytes | None]
"""What scores depend on: the question, its terms, the documents that are searched."""


class Lenses:
    """Makes the lenses for questions to one tree; the key encoder is loaded with the first that needs it."""

    def __init__(
        self,
        tree: Tree,
        key_nets: KeyNets | None,
        report: Callable[[str], None],
        flat_blocks: int = FLAT_BLOCKS,
    ) -> None:
        """Take an open tree.

        Args:
            tree: The tree.
            key_nets: The key encoder; None without one.
            report: Takes a line for the user when the tree has no keys that can be used.
            flat_blocks: Most live blocks whose keys are all compared with a question.
        """
        self._tree = tree
        self._nets = key_nets
        self._report = report
        self._is_sound = True
        self._walks = tree.timeline.total_blocks > flat_blocks
        self._last: tuple[_Asked, KeyScores] | None = None

    def load(self, name: LensName, *, rerank: bool = False) -> None:
        """Load what the first lens of a name needs, which else is loaded with it; raises as :meth:`choose`.

        Args:
            name: The lens.
            rerank: Load the reranker, too, see :meth:`rerank`.
        """
        if name == "lexical":
            return
        has_keys = self._keys is not None
        if rerank and has_keys and self._nets is not None:
            self._nets.load_reranker()

    def choose(
        self, name: LensName, question: str, hits: Sequence[TermHits], documents: IntArray | None = None
    ) -> UtilityLens:
        """The lens for one question; its ``name`` tells which it is.

        Args:
            name: The lens that is asked for; without keys or a key encoder, it is the lexical one all the same.
            question: What is asked.
            hits: The places of the question's terms.
            documents: Indices of the live documents to search; None for all.

        Raises:
            MismatchError: The files of the key encoder are damaged.
            UsageError: The question holds half of a surrogate pair.
        """
        similarity = None if name == "lexical" else self._similarity(question, hits, documents)
        timeline = self._tree.timeline
        if similarity is None or self._nets is None:
            return lexical_lens(timeline, hits, documents)
        if name == "learned":
            return key_lens(timeline, similarity, documents)
        if self._nets.scorer is None:
            return hybrid_lens(timeline, hits, similarity, documents)
        candidates = find_candidates(timeline, hits, similarity, CANDIDATES, documents)
        return scored_lens(timeline, candidates, self._nets.scorer(candidates.features))

    def fixed_mix(self, question: str, hits: Sequence[TermHits]) -> UtilityLens:
        """Words and keys mixed as they are, to be measured beside LensNet; ValueError without keys."""
        similarity = self._similarity(question, hits, None)
        if similarity is None:
            raise ValueError("a tree without lens keys has no lens that mixes them in")
        return hybrid_lens(self._tree.timeline, hits, similarity)

    def evidence(
        self, question: str, hits: Sequence[TermHits], shown: IntArray, documents: IntArray | None = None
    ) -> Evidence | None:
        """How well blocks that are shown fit a question; None without keys that can be used.

        Args:
            question: What is asked.
            hits: The places of its terms.
            shown: Ranks of the blocks.
            documents: Indices of the live documents that were searched; None for all.
        """
        similarity = self._similarity(question, hits, documents)
        if similarity is None:
            return None
        timeline = self._tree.timeline
        if documents is not None:
            owners = timeline.document_of(timeline.blocks_at(np.arange(timeline.total_blocks)))
            similarity = similarity[np.isin(owners, documents)]
        return Evidence(shown_share(timeline, hits, shown), float(similarity.max(initial=-1.0)))

    def rerank(self, question: str, functions: Mapping[str, str]) -> Mapping[str, float]:
        """See :meth:`mctool.app.key_nets.KeyNets.rerank`; {} without nets, too."""
        return self._nets.rerank(question, functions) if self._nets is not None else {}

    @property
    def has_keys(self) -> bool:
        """Whether the hybrid lens can be had."""
        return self._keys is not None and self._is_sound

    @property
    def read_share(self) -> float:
        """Share of the LOD2 nodes of the tree whose keys were read for the last question; 0 before the first."""
        return self._last[1].share if self._last is not None else 0.0

    def _similarity(self, question: str, hits: Sequence[TermHits], documents: IntArray | None) -> FloatArray | None:
        """Of each live block's key and a question, shape [total_blocks]; None where there are no keys to use."""
        if self._nets is None or self._keys is None or not self._is_sound:
            return None
        asked: _Asked = (question, (), None)
        if self._walks:
            asked = (question, tuple(hit.term for hit in hits), None if documents is None else documents.tobytes())
        if self._last is not None and self._last[0] == asked:
            return self._last[1].similarity
        try:
            query = self._nets.query(question)
            if self._walks:
                found = score_by_walk(self._keys, self._tree.timeline, query, hits, documents)
            else:
                found = score_flat(self._keys, query)
        except TreeDamagedError as error:
            self._is_sound = False
            self._report(f"damaged lens keys: {error.message}; {REKEY} anew")
            return None
        self._last = asked, found
        return found.similarity

    @cached_property
    def _keys(self) -> TreeKeys | None:
        if self._nets is None or not self._tree.documents:
            return None
        keys = self._tree.keys(self._nets.fingerprint) if self._tree.layout.keys.is_dir() else None
        if keys is None:
            self._report(f"the tree has no lens keys of this version for all of its text: {REKEY}")
        return keys
