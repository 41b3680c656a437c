"""What the servers do: one model, loaded once, and one request after the other, all in one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from mctool.app.answer_nets import AnswerNets
from mctool.app.ask import Reader
from mctool.app.ingest import IngestConfig, ingest
from mctool.app.listeners import Listeners
from mctool.app.read_lines import DocumentLines, read_lines
from mctool.app.trees import locate_tree
from mctool.core.config import DEFAULT_MODEL, AskConfig
from mctool.core.records import AskReport, IngestReport
from mctool.engine.prompt import Turn
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.tree import Layout

T = TypeVar("T")


@dataclass(frozen=True)
class ServiceConfig:
    """What is served.

    Attributes:
        tree: As given to ``--tree``; None for the nearest one.
        model: Name of the base model.
        device: Where it computes.
        dtype: Type of its weights.
        lora: Answer with the adapter that is known for the model.
        ask: How questions are answered where a request does not say otherwise.
    """

    tree: Path | None = None
    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "auto"
    lora: bool = True
    ask: AskConfig = field(default_factory=AskConfig)


class Service:
    """Answers for all clients. The tree is opened anew after every ingest, whoever did it.

    Methods but :meth:`run` are to be called in the one thread of ``run``.

    Attributes:
        config: What is served.
    """

    def __init__(self, config: ServiceConfig, report: Callable[[str], None]) -> None:
        """Open nothing yet; ``report`` takes a line for the user."""
        self.config = config
        self._report = report
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mctool")
        self._reader: Reader | None = None
        self._stamp: object = None

    async def run(self, call: Callable[[], T]) -> T:
        """Do something in the thread of the service, after what others asked for. Raises what the call raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def close(self) -> None:
        """Let the tree go, once the request that is worked on is done; those that wait are dropped."""
        self._thread.shutdown(cancel_futures=True)
        if self._reader is not None:
            self._reader.tree.close()

    @cached_property
    def nets(self) -> AnswerNets:
        """The model, shared by all readers; raises as :class:`Reader` does."""
        config = self.config
        files = resolve_model(config.model, report=self._report)
        return AnswerNets.of_model(files, TextTokenizer.load(files), config.device, config.dtype, config.lora)

    @property
    def reader(self) -> Reader:
        """A reader of the tree as of its last ingest; raises as :class:`Reader` does."""
        place = locate_tree(self.config.tree)
        stamp = (place, _stamp(Layout(place).catalog))
        if self._reader is None or stamp != self._stamp:
            if self._reader is not None:
                self._reader.tree.close()
                self._reader = None
            config = self.config
            self._reader = Reader(place, config.model, config.device, config.dtype, self._report, nets=self.nets)
            self._stamp = stamp
        return self._reader

    def ask(
        self, question: str, config: AskConfig, turns: Sequence[Turn] = (), on_text: Callable[[str], None] | None = None
    ) -> AskReport:
        """Answer a question; see :meth:`Reader.ask`."""
        return self.reader.ask(question, config, Listeners(on_text=on_text), turns)

    def ingest(self, sources: Sequence[str]) -> IngestReport:
        """Bring the tree up to date with sources; never a home directory or very many files.

        Raises:
            SourceError: A source is missing or cannot be read; the others were ingested.
            UsageError: Too much would be read.
            TreeBusyError: Another process is writing to the tree.
        """
        config = self.config
        result = ingest(
            IngestConfig(tuple(sources), config.tree, config.model, config.device, confirmed=False),
            report=self._report,
        )
        if result.error is not None:
            raise result.error
        return result.report

    def read(self, path: str, start_line: int, end_line: int) -> DocumentLines:
        """Lines of a document; see :func:`read_lines`."""
        return read_lines(self.reader.tree, path, start_line, end_line)


def _stamp(catalog: Path) -> list[tuple[int, int]]:
    """What changes with every commit: time and size of the catalog and of its log, unless that is empty."""
    stamp = []
    for file in (catalog, catalog.with_name(catalog.name + "-wal")):
        with suppress(FileNotFoundError):
            status = file.stat()
            if status.st_size:
                stamp.append((status.st_mtime_ns, status.st_size))
    return stamp
