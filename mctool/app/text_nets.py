"""The model as an ingest needs it: its tokenizer at once, its GistNet only when there is something to make gists of.

Nothing here loads the base model itself, and torch is imported with the GistNet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from mctool.core.errors import MismatchError
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer
from mctool.tree import Fingerprint
from mctool.tree.content import IdArray, IntArray
from mctool.tree.gists import BoolArray, GistArray

if TYPE_CHECKING:
    from mctool.engine.gisting import TorchGistBuilder
    from mctool.nets.weights import LoadedGistNet

Report = Callable[[str], None]


def fingerprint_of(
    files: ModelFiles, tokenizer: TextTokenizer, d_model: int, gistnet: LoadedGistNet | None
) -> Fingerprint:
    """What a tree made with this model and GistNet carries, and must carry to be used with them."""
    return Fingerprint(
        model=files.name,
        tokenizer=tokenizer.fingerprint,
        vocab_size=tokenizer.vocab_size,
        d_model=d_model,
        gistnet=gistnet.fingerprint if gistnet else None,
    )


class TextNets:
    """Tokenizer and GistNet of a model.

    It is a ``GistBuilder`` for a tree that has gists: one that loads the net with the first gist that it has to make.

    Attributes:
        files: The model.
        tokenizer: Its tokenizer.
    """

    def __init__(self, files: ModelFiles, device: str, report: Report) -> None:
        """Load the tokenizer of a model.

        Args:
            files: The model.
            device: Where the GistNet is to run, as given to ``--device``.
            report: Takes a line for the user when the model has no GistNet.

        Raises:
            MismatchError: The tokenizer is missing or broken.
        """
        self.files = files
        self.tokenizer = TextTokenizer.load(files)
        self._device = device
        self._report = report
        self._expected: Fingerprint | None = None

    def expect(self, fingerprint: Fingerprint) -> None:
        """Check that a tree was made with this model, and, as soon as the GistNet is loaded, with that net.

        Raises:
            MismatchError: It was made with another model, tokenizer or GistNet.
        """
        known = Fingerprint(
            model=self.files.name,
            tokenizer=self.tokenizer.fingerprint,
            vocab_size=self.tokenizer.vocab_size,
            d_model=fingerprint.d_model,
            gistnet=fingerprint.gistnet,
        )
        fingerprint.require(self._loaded[1] if "_loaded" in self.__dict__ else known)
        self._expected = fingerprint

    @cached_property
    def _loaded(self) -> tuple[TorchGistBuilder | None, Fingerprint]:
        """The builder, None without a GistNet; and the whole fingerprint."""
        from mctool.nets.startup import gc_paused

        with gc_paused():
            from mctool.engine.gisting import TorchGistBuilder
            from mctool.nets.checkpoint import load_embedding_table
            from mctool.nets.device import choose_device
            from mctool.nets.weights import load_gistnet

        device = choose_device(self._device)
        table = load_embedding_table(self.files)
        gistnet = load_gistnet(self.files.name, table, device, self.tokenizer.fingerprint)
        fingerprint = fingerprint_of(self.files, self.tokenizer, table.shape[1], gistnet)
        if self._expected is not None:
            self._expected.require(fingerprint)
        if gistnet is None:
            self._report(f"no trained nets for {self.files.name}: windows will show raw text only")
        return (TorchGistBuilder(gistnet.net, table) if gistnet else None), fingerprint

    def load(self) -> None:
        """Load the GistNet unless it is here, and check it against the tree that is expected.

        Raises:
            MismatchError: The weights are broken, or the tree was made with another net.
            MissingBackendError: The device is not on this machine.
            UsageError: There is no such device.
        """
        _ = self._loaded

    @property
    def fingerprint(self) -> Fingerprint:
        """The whole fingerprint. Raises as :meth:`load` does."""
        return self._loaded[1]

    def leaves(self, ids: IdArray, n_tokens: IntArray) -> GistArray:
        """See ``GistBuilder``."""
        return self._builder.leaves(ids, n_tokens)

    def parents(self, gists: GistArray, live: BoolArray, lod: int) -> GistArray:
        """See ``GistBuilder``."""
        return self._builder.parents(gists, live, lod)

    @property
    def _builder(self) -> TorchGistBuilder:
        builder = self._loaded[0]
        if builder is None:
            raise MismatchError(
                f"there is no GistNet for {self.files.name}", "ingest the sources into a new tree (--tree PATH)"
            )
        return builder
