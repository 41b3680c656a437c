"""The use case ``evaluate substitution``: held-out texts by domain for :mod:`mctool.engine.substitution`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mctool.app.evaluate.sets import Split, require_split
from mctool.app.evaluate.standard_library import modules
from mctool.app.evaluate.texts import read_texts
from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MissingBackendError, UsageError
from mctool.engine.substitution import (
    GAP_TOKENS,
    SubstitutionConfig,
    SubstitutionReport,
    measure_substitution,
)
from mctool.nets.base_model import BaseModel
from mctool.nets.checkpoint import load_embedding_table
from mctool.nets.model_store import resolve_model
from mctool.nets.tokenizer import TextTokenizer
from mctool.nets.weights import load_gistnet
from mctool.sources.corpus import IntArray, SampleDocument

MAX_DOCUMENTS = 24
"""Documents of a domain that windows are drawn from."""


@dataclass(frozen=True)
class SubstitutionRun:
    """What is measured, on what.

    Attributes:
        data: Data files; none for the source code of Python's standard library.
        split: Which records of the data files.
        domain: The domain of all texts; None for the one that the name of their set tells.
        measure: What is measured.
        model: The base model.
        device: Where it computes.
        dtype: Number type of its weights.
    """

    data: tuple[Path, ...] = ()
    split: Split = "all"
    domain: str | None = None
    measure: SubstitutionConfig = field(default_factory=SubstitutionConfig)
    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        require_split(self.split)
        if self.domain is not None and self.domain not in self.measure.horizons:
            raise UsageError(f"--domain {self.domain} is not one of {', '.join(self.measure.horizons)}")


def domain_of(name: str) -> str:
    """The domain that the name of a set tells: ``code*`` code, ``books*novels*`` narrative, others expository."""
    if name.startswith("code"):
        return "code"
    return "narrative" if name.startswith("books") and "novels" in name else "expository"


def evaluate_substitution(
    run: SubstitutionRun,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> SubstitutionReport:
    """Measure what gists give back of the text that they stand for.

    Args:
        run: What is measured, on what.
        progress: Told the windows done and the windows in all.
        report: Takes a line when something slow begins.

    Raises:
        SourceError: A data file cannot be read.
        UsageError: A domain has too few texts that are long enough.
        MissingBackendError: The model is not here, or it has no GistNet.
    """
    files = resolve_model(run.model, report=report)
    tokenizer = TextTokenizer.load(files)
    documents = _documents(run, tokenizer)
    model = BaseModel.load(files, run.device, run.dtype)
    gistnet = load_gistnet(files.name, load_embedding_table(files), model.device, tokenizer.fingerprint)
    if gistnet is None:
        raise MissingBackendError(f"there is no GistNet for {files.name}", "measure the default model, or train one")
    return measure_substitution(model, gistnet.net, documents, run.measure, progress)


def _documents(run: SubstitutionRun, tokenizer: TextTokenizer) -> Mapping[str, list[IntArray]]:
    """Token ids of documents by domain."""
    domains: dict[str, list[SampleDocument]] = {}
    if run.data:
        for name, documents in read_texts(run.data, run.split).items():
            domains.setdefault(run.domain or domain_of(name), []).extend(documents)
    else:  # single files of the library are short
        joined = {module: "\n".join(document.text for document in files) for module, files in modules().items()}
        domains[run.domain or "code"] = [SampleDocument(module, text) for module, text in joined.items()]
    return {domain: _long_documents(documents, tokenizer, domain, run.measure) for domain, documents in domains.items()}


def _long_documents(
    documents: Sequence[SampleDocument], tokenizer: TextTokenizer, domain: str, measure: SubstitutionConfig
) -> list[IntArray]:
    """Documents in random order, as long as the longest window, until there are enough of them."""
    n_tokens = 1 + max(measure.n_blocks) * BLOCK_TOKENS + GAP_TOKENS + measure.horizons[domain]
    found: list[IntArray] = []
    for place in np.random.default_rng(measure.seed).permutation(len(documents)).tolist():
        text = documents[place].text
        if len(text) < n_tokens:  # a token has a character or more, all but always
            continue
        ids, _ = tokenizer.encode_with_offsets(text)
        if len(ids) >= n_tokens:
            found.append(ids.astype(np.int64))
        if len(found) == MAX_DOCUMENTS:
            break
    return found
