"""The use cases ``models list``, ``pull`` and ``path``."""

from __future__ import annotations

from dataclasses import dataclass

from mctool.app.text_nets import Report
from mctool.core.records import Record
from mctool.nets.model_store import ModelFiles, resolve_model
from mctool.nets.model_store import list_models as list_built_in


@dataclass(frozen=True)
class ModelRecord(Record):
    """A model with a built-in alias; ``here`` tells whether it is on this machine, at ``path``."""

    name: str
    source: str
    license: str
    download_bytes: int
    disk_bytes: int
    here: bool
    path: str


@dataclass(frozen=True)
class ModelPath(Record):
    """Where a model lies on this machine."""

    name: str
    path: str


def list_models() -> list[ModelRecord]:
    """All models that have a built-in alias."""
    return [
        ModelRecord(
            name=model.name,
            source=model.source,
            license=model.licence,
            download_bytes=model.download_bytes,
            disk_bytes=model.disk_bytes,
            here=model.is_here,
            path=str(model.directory),
        )
        for model in list_built_in()
    ]


def pull_model(name: str, report: Report) -> ModelPath:
    """Fetch a model ahead of its first use.

    Args:
        name: As given to ``--model``.
        report: Takes a line when something slow begins.

    Raises:
        UsageError: The name is neither an alias nor shaped like a path or hub name.
        MismatchError: What is there is not a model that can be used.
        MissingBackendError: The model cannot be had.
        ResourceError: The cache cannot be written, or the disk is full.
    """
    return _path_of(resolve_model(name, report=report))


def locate_model(name: str) -> ModelPath:
    """Where a model lies, without the network; raises as :func:`pull_model`."""
    return _path_of(resolve_model(name, allow_download=False))


def _path_of(files: ModelFiles) -> ModelPath:
    return ModelPath(files.name, str(files.directory.absolute()))
