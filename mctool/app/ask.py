"""The use case ``ask``: a question and a tree in, an answer with citations out.

A :class:`Reader` holds an open tree; it loads the base model with the first answer and keeps it for the next ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from mctool.app.answer_nets import AnswerNets
from mctool.app.asking import Asking
from mctool.app.key_nets import KeyNets
from mctool.app.lenses import Lenses
from mctool.app.listeners import Listeners
from mctool.app.stale import stale_documents
from mctool.app.telemetry import ask_span, exports_spans
from mctool.app.text_nets import TextNets
from mctool.app.trees import locate_tree
from mctool.core.config import DEFAULT_MODEL, AskConfig
from mctool.core.errors import TreeDamagedError, UsageError
from mctool.core.records import AskReport
from mctool.core.timeline import IntArray
from mctool.engine.prompt import Turn
from mctool.nets.model_store import resolve_model
from mctool.tree import LexicalIndex, Tree

W_MAX_CPU = 2048
W_MAX_ACCELERATOR = 8192


class Reader:
    """Answers questions about one tree.

    Args:
        tree: As given to ``--tree``; None for the nearest one.
        model: Name of the base model.
        device: Where it computes.
        dtype: Type of its weights.
        report: Takes a line for the user when something slow begins or something is amiss.
        lora: Answer with the adapter that is known for the model.
        nets: The model with its adapter, to share it between readers; ``lora`` is not looked at then.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The tree cannot be read.
        MismatchError: The tree was made with another model.
        MissingBackendError: The model is not here and cannot be had.
    """

    def __init__(
        self,
        tree: Path | None = None,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        dtype: str = "auto",
        report: Callable[[str], None] | None = None,
        lora: bool = True,
        nets: AnswerNets | None = None,
    ) -> None:
        self._report = report or (lambda _line: None)
        self._device, self._dtype, self._lora, self._shared = device, dtype, lora, nets
        self._counts = True
        self.tree = Tree.open(locate_tree(tree))
        try:
            self.text_nets = TextNets(resolve_model(model, report=self._report), device, self._report)
            self.text_nets.expect(self.tree.fingerprint)
        except BaseException:
            self.tree.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.tree.close()

    def load(self) -> None:
        """Load the base model now instead of with the first answer."""
        _ = self.answer_nets.model

    @property
    def default_w_max(self) -> int:
        """W_max where the user gives none, see :func:`default_w_max`."""
        return default_w_max(self._device)

    def focus(self, question: str, config: AskConfig, listeners: Listeners | None = None) -> AskReport:
        """Refocus for a question and stop there: a report without an answer. The base model is not loaded."""
        return self.ask(question, replace(config, max_new_tokens=0), listeners)

    def ask(
        self, question: str, config: AskConfig, listeners: Listeners | None = None, turns: Sequence[Turn] = ()
    ) -> AskReport:
        """Answer a question.

        Args:
            question: What is asked.
            config: How; with ``max_new_tokens`` 0 the report has focus and citations but no answer.
            listeners: Who is told what on the way.
            turns: What the question follows up: the lens looks for their words too, and the prompt begins with them.

        Raises:
            UsageError: The question is empty.
            BudgetTooSmallError: W_max cannot hold the question, a cover of the tree and a block of text.
        """
        if not question.strip():
            raise UsageError("the question is empty", "ask something")
        listeners = listeners or Listeners()
        if not self._exports_spans:
            return Asking(self, question, config, listeners, turns).run()
        with ask_span(listeners) as (heard, finish):
            return finish(Asking(self, question, config, heard, turns).run())

    @cached_property
    def answer_nets(self) -> AnswerNets:
        """The base model and its adapter, loaded with the first answer."""
        if self._shared is not None:
            return self._shared
        nets = self.text_nets
        return AnswerNets.of_model(nets.files, nets.tokenizer, self._device, self._dtype, self._lora)

    @cached_property
    def index(self) -> LexicalIndex:
        """Where the words of the tree stand."""
        index = LexicalIndex.open(self.tree)
        if not index.is_stored:
            self._report("the lexical index had to be made anew in memory; the next ingest will store it")
        return index

    @cached_property
    def lenses(self) -> Lenses:
        """Makes the lens for a question."""
        return Lenses(self.tree, KeyNets.find(self._device), self._report)

    @cached_property
    def _exports_spans(self) -> bool:
        return exports_spans(self._report)

    @cached_property
    def stale(self) -> list[str]:
        """Documents whose file has another size or time than when it was ingested, or is gone."""
        return stale_documents(self.tree)

    @cached_property
    def archived(self) -> IntArray:
        """Indices of the documents that cannot be searched, because their text is archived; told once."""
        hidden = self.tree.archived
        if len(hidden):
            what = "1 document is" if len(hidden) == 1 else f"{len(hidden):,} documents are"
            self._report(f"{what} archived and not searched; `mctool curate restore` brings the text back")
        return hidden

    def count_access(self, **nodes: Iterable[tuple[int, int]]) -> None:
        """Count access as long as the file of counts is sound; no answer depends on it."""
        if not self._counts:
            return
        try:
            self.tree.record_access(**nodes)
        except TreeDamagedError as error:
            self._counts = False
            self._report(f"access is not counted: {error.message}; delete the file to count anew")


def default_w_max(device: str) -> int:
    """W_max where the user gives none, by the device that the base model computes on; ``auto`` loads torch."""
    if device == "cpu":
        return W_MAX_CPU
    from mctool.nets.startup import gc_paused

    with gc_paused():
        from mctool.nets.device import choose_device
    return W_MAX_CPU if choose_device(device).type == "cpu" else W_MAX_ACCELERATOR
