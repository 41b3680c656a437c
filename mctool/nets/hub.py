"""Models from the Hugging Face hub, in the cache that all programs of this user share."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from mctool.core.config import DEFAULT_MODEL
from mctool.core.errors import MissingBackendError

_FILES = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model*.safetensors",
    "model.safetensors.index.json",
]


def find_snapshot(name: str) -> Path | None:
    """Directory of the model ``name`` in the local cache, maybe incomplete; None if there is none."""
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def download_snapshot(name: str) -> Path:
    """Fetch configuration, tokenizer and safetensors of the model ``name`` and return their directory.

    Raises:
        MissingBackendError: The hub has no such model or is out of reach, or the disk is full.
    """
    had_bars = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_FILES))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise MissingBackendError(
            f"the Hugging Face hub has no public model {name}",
            "check the name; for a gated model run `hf auth login` first",
        ) from error
    except (HTTPError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MissingBackendError(
            f"cannot get {name} from the Hugging Face hub: {lines[0]}",
            f"connect to the hub, give a local directory instead, or use --model {DEFAULT_MODEL}",
        ) from error
    finally:
        if had_bars:
            enable_progress_bars()
