"""The use case ``evaluate answers``: is the answer right, and is it refused where there is none?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from mctool.app.evaluate.answer_questions import Asked, AskedTree, DrawConfig, draw_questions
from mctool.app.evaluate.answer_rows import AnswerDetail, AnswerRow, gold_answer, score, summarise
from mctool.app.evaluate.answer_systems import BUDGETS, SYSTEMS, Site, open_system
from mctool.app.evaluate.answer_windows import ChunkRankings, RawWindows
from mctool.app.evaluate.measured_nets import MeasuredNets
from mctool.app.evaluate.sets import Listener, chosen_sets, load_minilm
from mctool.app.key_nets import KeyNets
from mctool.app.lenses import Lenses
from mctool.app.text_nets import TextNets
from mctool.core.config import DEFAULT_MODEL, AskConfig
from mctool.core.errors import ResourceError, UsageError
from mctool.core.records import Record
from mctool.nets.adapter_card import AdapterFolder, find_adapter, read_adapter
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.training.packed_tree import packed_tree
from mctool.tree import Tree

ALSO_PLAIN = ("bm25 1024", "hybrid 1024", "ask")
"""Systems that are measured without the adapter too where there is one."""

PLAIN = " (no adapter)"


@dataclass(frozen=True)
class AnswerEvaluationConfig:
    """What is measured.

    Attributes:
        data: Data files; none for lookups in Python's standard library.
        sets: Only sets whose name contains one of these; none for all.
        draw: Which questions are asked.
        systems: Only systems whose name contains one of these; none for all.
        model: The base model.
        device: Where it computes.
        dtype: Number type of its weights.
        adapter: Folder of the adapter; None for the one that is known for the model.
        lora: Measure with an adapter.
        minilm: Measure hybrid retrieval, where MiniLM is installed.
        max_new_tokens: Most tokens of an answer.
        details: File for every single answer, as JSON Lines; None for none.
        window_gists: Measure ``ask`` with up to so many gists in its window, too; 0 does not.
        documented: Ask for functions that have kept their docstrings, in place of the questions of the data.
    """

    data: tuple[Path, ...] = ()
    sets: tuple[str, ...] = ()
    draw: DrawConfig = field(default_factory=DrawConfig)
    systems: tuple[str, ...] = ()
    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "auto"
    adapter: Path | None = None
    lora: bool = True
    minilm: bool = True
    max_new_tokens: int = AskConfig.max_new_tokens
    details: Path | None = None
    window_gists: int = 0
    documented: bool = False

    def __post_init__(self) -> None:
        if self.adapter is not None and not self.lora:
            raise UsageError("--adapter and --no-lora exclude each other", "leave one out")
        if self.max_new_tokens < 1:
            raise UsageError(f"--max-new-tokens {self.max_new_tokens} is not positive")
        if self.window_gists < 0:
            raise UsageError(f"--window-gists {self.window_gists} is negative")


@dataclass(frozen=True)
class AnswerSet(Record):
    """What a set was measured on; the last three count questions."""

    set: str
    trees: int
    tokens: int
    answerable: int
    adversarial: int
    foreign: int


@dataclass(frozen=True)
class AnswerEvaluation(Record):
    """Result of ``mctool evaluate answers``; ``adapter`` is the fingerprint of the adapter, None without one."""

    rows: list[AnswerRow]
    sets: list[AnswerSet]
    model: str
    adapter: str | None


@dataclass(frozen=True)
class _Entrant:
    """A system with or without the adapter, and the name that rows show."""

    name: str
    system: str
    adapter: bool
    gists: bool = False

    def is_asked(self, asked: Asked) -> bool:
        """Whether there is anything to ask: there are no blocks of an answer that nothing holds."""
        return self.system != "oracle" or asked.kind == "answerable"


def evaluate_answers(config: AnswerEvaluationConfig, listener: Listener | None = None) -> AnswerEvaluation:
    """Measure answers.

    Args:
        config: What is measured.
        listener: Who is told of the progress.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: No set or no system fits, or a set has no answerable questions.
        MissingBackendError: The model, or what a data file needs, is not here.
        MismatchError: The adapter cannot be used with the model.
        ResourceError: The details cannot be written.
    """
    with ExitStack() as stack:
        stream = None
        if config.details is not None:
            try:
                stream = stack.enter_context(config.details.open("w", encoding="utf-8"))
            except OSError as error:
                raise ResourceError(
                    f"cannot write --details {config.details}: {error.strerror}", "name another file"
                ) from error
        return _Run(config, listener or Listener(), stream).run()


class _Run:
    """One measurement, and what it needs throughout."""

    def __init__(self, config: AnswerEvaluationConfig, listener: Listener, details: TextIO | None) -> None:
        self._config, self._listener, self._stream = config, listener, details
        self._files = resolve_model(config.model, report=listener.report)
        self._tokenizer = TextTokenizer.load(self._files)
        self._adapter = self._find_adapter()
        self._nets = {
            on: MeasuredNets(self._files, self._tokenizer, config.device, config.dtype, self._adapter if on else None)
            for on in (True, False)
        }
        wanted = self._wanted()
        sets = chosen_sets(config.data, config.sets, config.documented)
        self._minilm = load_minilm() if config.minilm and any("hybrid" in one.system for one in wanted) else None
        self._entrants = self._possible(wanted)
        looks = any(entrant.system in ("ask", "oracle") for entrant in self._entrants)
        self._rerankers = KeyNets.find(config.device)
        self._key_nets = self._rerankers if looks else None
        self._trees = {
            name: draw_questions(samples, self._tokenizer.encode_with_offsets, config.draw)
            for name, samples in sets.items()
        }
        for name, trees in self._trees.items():
            if not trees:
                raise UsageError(f"{name} has no questions with a place and an answer", "choose others: --set, --split")
        self._done = 0
        self._text_nets = TextNets(self._files, config.device, self._listener.report)
        self._known = sum(self._count(tree) for trees in self._trees.values() for tree in trees)

    def run(self) -> AnswerEvaluation:
        adapter = self._adapter.fingerprint if self._adapter else None
        result = AnswerEvaluation([], [], self._files.name, adapter)
        for name, trees in self._trees.items():
            details = [detail for tree in trees for detail in self._measure(name, tree)]
            for entrant in self._entrants:
                own = [detail for detail in details if detail.system == entrant.name]
                result.rows.append(summarise(own, entrant.adapter))
            result.sets.append(
                AnswerSet(
                    name,
                    len(trees),
                    sum(tree.documents.n_tokens for tree in trees),
                    *(sum(tree.count(kind) for tree in trees) for kind in ("answerable", "adversarial", "foreign")),
                )
            )
        return result

    def _find_adapter(self) -> AdapterFolder | None:
        config = self._config
        if not config.lora:
            return None
        if config.adapter is not None:
            return read_adapter(config.adapter)
        found = find_adapter(self._files.name)
        if found is None:
            self._listener.report(f"there is no adapter for {self._files.name}: all systems are measured without one")
        return found

    def _wanted(self) -> list[_Entrant]:
        """The systems that are asked for."""
        plain = [_Entrant(f"{name}{PLAIN}", name, adapter=False) for name in SYSTEMS]
        known = plain
        if self._adapter is not None:
            known = [_Entrant(name, name, adapter=True) for name in SYSTEMS]
            known += [entrant for entrant in plain if entrant.system in ALSO_PLAIN]
        if self._config.window_gists:
            known.append(_Entrant(f"ask +{self._config.window_gists} gists", "ask", known[0].adapter, gists=True))
        parts = self._config.systems
        called = {one.name for one in known}
        wanted = [one for one in known if not parts or any(_means(part.lower(), one.name, called) for part in parts)]
        if not wanted:
            names = "; ".join(entrant.name for entrant in known)
            raise UsageError(f"--system {', '.join(parts)} fits no system", f"there are: {names}")
        return wanted

    def _possible(self, wanted: list[_Entrant]) -> list[_Entrant]:
        """The systems that can be measured here; what is left out is told."""
        positions = self._nets[wanted[0].adapter].model.trained_positions
        possible = []
        for entrant in wanted:
            needed = BUDGETS.get(entrant.system, 0) + self._config.max_new_tokens
            if entrant.system.startswith("hybrid") and self._minilm is None:
                if self._config.minilm:
                    self._listener.report(f"{entrant.name} is left out: MiniLM is not installed")
            elif needed > positions:
                self._listener.report(
                    f"{entrant.name} is left out: it needs {needed} positions and {self._files.name} was trained with "
                    f"{positions}"
                )
            else:
                possible.append(entrant)
        if not possible:
            raise UsageError("none of the wanted systems can be measured here", "choose others with --system")
        return possible

    def _count(self, tree: AskedTree) -> int:
        return sum(entrant.is_asked(asked) for entrant in self._entrants for asked in tree.asked)

    def _measure(self, set_name: str, one: AskedTree) -> Iterator[AnswerDetail]:
        """Ask all systems all questions about one tree."""
        slow = "; MiniLM reads it, which takes minutes (--no-minilm)" if self._minilm else ""
        self._listener.report(
            f"{set_name}: a tree of {one.documents.n_tokens:,} tokens, {len(one.asked)} questions{slow}"
        )
        gists = (self._text_nets.fingerprint, self._text_nets) if self._config.window_gists else None
        with packed_tree(one.documents, self._files.name, self._tokenizer, self._key_nets, gists) as tree:
            golds = [self._gold(tree, asked) for asked in one.asked]
            site = Site(
                tree=tree,
                model=self._config.model,
                asked=one.asked,
                windows=RawWindows(tree, self._tokenizer, self._rerankers),
                chunks=ChunkRankings(tree, self._minilm) if self._ranks_chunks() else None,
                lenses=Lenses(tree, self._key_nets, self._listener.report),
                answer_tokens=max(self._config.max_new_tokens, *map(len, golds)),
                max_new_tokens=self._config.max_new_tokens,
            )
            for entrant in self._entrants:
                yield from self._ask(set_name, entrant, site, golds)

    def _ranks_chunks(self) -> bool:
        return any(entrant.system.startswith(("bm25", "hybrid")) for entrant in self._entrants)

    def _gold(self, tree: Tree, asked: Asked) -> list[int]:
        answer = gold_answer(tree, asked)
        return self._tokenizer.encode(f" {answer}") if answer else []

    def _ask(self, set_name: str, entrant: _Entrant, site: Site, golds: list[list[int]]) -> Iterator[AnswerDetail]:
        """Ask one system about one tree."""
        most = self._config.window_gists if entrant.gists else None
        with open_system(entrant.system, self._nets[entrant.adapter], site, most) as system:
            for asked, gold in zip(site.asked, golds, strict=True):
                if not entrant.is_asked(asked):
                    continue
                result = system.answer(asked, gold)
                detail = score(set_name, entrant.name, site.tree, asked, result, cites=entrant.system == "ask")
                if self._stream is not None:
                    self._stream.write(json.dumps(detail.to_json(), ensure_ascii=False) + "\n")
                    self._stream.flush()
                self._done += 1
                self._listener.progress(self._done, self._known)
                yield detail


def _means(part: str, name: str, names: set[str]) -> bool:
    """Whether a part of a name stands for a system; a whole name stands for that system alone."""
    return part == name if part in names else part in name
