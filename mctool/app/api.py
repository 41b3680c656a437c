"""The Python API: what the package exports."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from pathlib import Path

from mctool.app.ask import Reader
from mctool.app.ingest import IngestConfig
from mctool.app.ingest import ingest as run_ingest
from mctool.app.trees import locate_tree
from mctool.core.config import DEFAULT_MODEL, AskConfig, FocusConfig
from mctool.core.records import AskReport, IngestReport
from mctool.sources import SourceOptions
from mctool.tree import Tree


def open_tree(path: str | PathLike[str] | None = None) -> Tree:
    """Open a MegaContext Tree for reading, as of its last commit; close it, or use it in a ``with`` block.

    Args:
        path: The tree, or the directory that holds it as ``.mctool``; None for the nearest one at or above the
            working directory.

    Raises:
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The tree cannot be understood.
        MismatchError: A newer mctool made the tree.
    """
    return Tree.open(locate_tree(None if path is None else Path(path)))


def ingest(
    *sources: str | PathLike[str],
    tree: str | PathLike[str] | None = None,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    max_file_mb: float = 16.0,
) -> IngestReport:
    """Bring a tree up to date with files and directories, as ``mctool ingest`` does.

    Args:
        sources: Files and directories.
        tree: The tree; None for the nearest one, else a new ``.mctool`` in the working directory.
        model: Built-in alias, Hugging Face directory, .gguf file, or hub name.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        include: Only files of directories that match one of these patterns are taken.
        exclude: Files of directories that match one of these patterns are left out.
        max_file_mb: Larger files are skipped; millions of bytes.

    Raises:
        SourceError: A source is missing or cannot be read; the others were ingested.
        UsageError: An argument makes no sense.
        MismatchError: The tree was made with another model, tokenizer or GistNet.
        MissingBackendError: The model or the device is not here.
        TreeBusyError: Another process is writing to the tree.
        TreeDamagedError: The tree cannot be understood.
        ResourceError: Out of memory or disk; the tree is as it was.
    """
    config = IngestConfig(
        sources=tuple(fspath(source) for source in sources),
        tree=None if tree is None else Path(tree),
        model=model,
        device=device,
        options=SourceOptions(tuple(include), tuple(exclude), max_file_mb),
    )
    result = run_ingest(config)
    if result.error is not None:
        raise result.error
    return result.report


def ask(
    question: str,
    tree: str | PathLike[str] | None = None,
    *,
    config: AskConfig | None = None,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    dtype: str = "auto",
    lora: bool = True,
) -> AskReport:
    """Answer one question about a tree, as ``mctool ask`` does; use :class:`mctool.app.ask.Reader` for many.

    Args:
        question: What is asked.
        tree: The tree, or the directory that holds it; None for the nearest one.
        config: How; None for the defaults, with W_max by the device.
        model: The base model that the tree was made with.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        lora: Answer with the adapter that is known for the model.

    Raises:
        UsageError: An argument makes no sense.
        TreeNotFoundError: There is no tree.
        TreeDamagedError: The tree cannot be understood.
        MismatchError: The tree was made with another model or tokenizer.
        MissingBackendError: The model or the device is not here.
        ResourceError: Out of memory.
    """
    with Reader(None if tree is None else Path(tree), model, device, dtype, lora=lora) as reader:
        return reader.ask(question, config or AskConfig(FocusConfig(w_max=reader.default_w_max)))
