"""Texts and questions that every machine has: the source code of Python's standard library.

A question is the first sentence of a function's docstring, which is deleted from the text; the place of the answer is
the body, the answer the name of the function as ``json/decoder.py:JSONDecoder.decode``.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from itertools import accumulate
from pathlib import Path, PurePath

from mctool.app.evaluate.lookups import asked_once, worth_asking
from mctool.core.errors import MissingBackendError
from mctool.sources.corpus import Question, Sample, SampleDocument

SET_NAME = f"Python {sys.version_info.major}.{sys.version_info.minor} standard library"

MODULES = (
    "argparse", "ast", "asyncio", "calendar", "codecs", "collections", "concurrent", "configparser", "csv",
    "dataclasses", "datetime", "difflib", "doctest", "email", "enum", "fractions", "ftplib", "functools", "gettext",
    "heapq", "html", "http", "imaplib", "importlib", "inspect", "ipaddress", "json", "logging", "mailbox",
    "multiprocessing", "optparse", "pathlib", "pdb", "pickle", "platform", "queue", "random", "re", "sched",
    "selectors", "shelve", "shutil", "smtplib", "socket", "ssl", "statistics", "string", "subprocess", "tarfile",
    "tempfile", "textwrap", "threading", "tokenize", "traceback", "typing", "unittest", "urllib", "weakref", "wsgiref",
    "xml", "xmlrpc", "zipfile", "zoneinfo",
)  # fmt: skip
"""Modules and packages of the standard library; those that this Python lacks are left out."""

_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def modules() -> dict[str, list[SampleDocument]]:
    """The files of each module that is here, without tests; paths as in an import, ``json/decoder.py``.

    Raises:
        MissingBackendError: This Python comes without the source code of its library.
    """
    root = Path(sysconfig.get_path("stdlib"))
    found: dict[str, list[SampleDocument]] = {}
    for module in MODULES:
        files = [root / f"{module}.py"] if (root / f"{module}.py").is_file() else sorted((root / module).rglob("*.py"))
        documents = [
            SampleDocument(file.relative_to(root).as_posix(), text)
            for file in files
            if not any(part.startswith("test") for part in file.relative_to(root).parts[:-1])
            and (text := file.read_text("utf-8"))
        ]
        if documents:
            found[module] = documents
    if not found:
        raise MissingBackendError(f"there is no source code of Python's library in {root}", "give texts with --data")
    return found


def docstrings() -> list[SampleDocument]:
    """The prose of the library: for each file with docstrings these alone, as ``json/decoder.txt``.

    Raises as :func:`modules`.
    """
    documents = []
    for document in (one for of_module in modules().values() for one in of_module):
        nodes = [node for node in ast.walk(ast.parse(document.text)) if isinstance(node, (ast.Module, *_NAMED))]
        found = [text for node in nodes if (text := ast.get_docstring(node))]
        if found:
            path = PurePath(document.path).with_suffix(".txt").as_posix()
            documents.append(SampleDocument(path, "".join(f"{text}\n\n" for text in found)))
    return documents


def packages() -> list[Sample]:
    """One sample for each module, without questions. Raises as :func:`modules`."""
    return [Sample(module, documents) for module, documents in modules().items()]


def lookups() -> list[Sample]:
    """One sample for each module, with questions from the docstrings of its functions.

    Sentences that stand in several docstrings are left out. Raises as :func:`modules`.
    """
    samples = []
    for module, documents in modules().items():
        parts = [_strip(document, number) for number, document in enumerate(documents)]
        questions = [question for _, asked in parts for question in asked]
        samples.append(Sample(module, [document for document, _ in parts], questions))
    return asked_once(samples)


def _strip(document: SampleDocument, number: int) -> tuple[SampleDocument, list[Question]]:
    """A file without the docstrings that questions are made of, and these questions."""
    found = sorted(worth_asking(document.text), key=lambda one: one.docstring)
    removed = [0, *accumulate(end - start for start, end in (one.docstring for one in found))]
    cuts = [one.docstring for one in found]

    def moved(place: int) -> int:
        return place - removed[sum(start < place for start, _ in cuts)]

    bounds = [0, *(place for cut in cuts for place in cut), len(document.text)]
    kept = "".join(document.text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True))
    questions = [
        Question(
            f.sentence, number, moved(f.body[0]), moved(f.body[1]), any_block=True,
            answer=f"{document.path}:{f.name}", def_start=moved(f.start),
        )
        for f in found
    ]  # fmt: skip
    return SampleDocument(document.path, kept), questions
