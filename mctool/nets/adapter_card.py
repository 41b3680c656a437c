"""The LoRA adapter that belongs to a base model, and what is known of it; without torch.

An adapter is a folder with ``card.json`` and the two files that peft writes. That of a model is ``lora/`` in the
model's folder, see :mod:`mctool.nets.weights_folder`. An adapter teaches its base model to refuse by silence: where the
text does not hold the answer, an end token comes first.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mctool.core.errors import MismatchError
from mctool.core.evidence import Evidence
from mctool.nets.model_cache import weight_files
from mctool.nets.model_store import ModelFiles
from mctool.nets.weights_folder import find_card, net_mismatch, read_fields, write_fields

CARD_FILE = "card.json"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
KINDS = ("short", "long", "code")
"""What is read: prose for an answer of one of two styles, or code."""

_FOLDER = "lora"
_LONGEST_HEADER = 100_000_000
"""Bytes; what the format allows."""


@dataclass(frozen=True)
class SupportRule:
    """Log odds that a window holds an answer: ``silence`` x log odds of silence + ``share`` x share + ...

    The reader alone is easily misled, the lens alone knows only how alike words are; together they are wrong half as
    often. See :class:`mctool.core.evidence.Evidence`.
    """

    silence: float
    share: float
    similarity: float
    bias: float

    def odds(self, silence: float, evidence: Evidence) -> float:
        """The log odds; at least 0 when the question is to be answered."""
        found = self.share * evidence.share + self.similarity * evidence.similarity
        return self.silence * silence + found + self.bias


@dataclass(frozen=True)
class AdapterCard:
    """What is known of an adapter.

    Attributes:
        model: Name of the base model.
        tokenizer_sha256: Fingerprint of the tokenizer that it was trained with.
        base_sha256: :func:`base_fingerprint` of the model that it was trained on; None is not checked.
        rank: Rank of the updates.
        trained_questions: Questions that it was trained on.
        silence: By kind of reading, the log odds of silence, log P - log(1 - P), above which a question is refused.
        figures: Measured figures by name.
        support: By kind of reading, what decides in place of ``silence`` where the lens has found evidence.
    """

    model: str
    tokenizer_sha256: str
    base_sha256: str | None
    rank: int
    trained_questions: int
    silence: dict[str, float]
    figures: dict[str, float] = field(default_factory=dict)
    support: dict[str, SupportRule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rank < 1 or self.trained_questions < 0:
            raise MismatchError(
                f"adapter card for {self.model}: rank {self.rank} or trained_questions {self.trained_questions} "
                "makes no sense"
            )
        if set(self.silence) != set(KINDS) or any(math.isnan(odds) for odds in self.silence.values()):
            raise MismatchError(
                f"adapter card for {self.model}: silence {self.silence} is not a number for each of {', '.join(KINDS)}"
            )

    def support_odds(self, silence: float, kind: str, evidence: Evidence | None = None) -> float:
        """Log odds that a text holds an answer; below 0 the question is to be refused.

        Args:
            silence: Log odds of silence after the text was read.
            kind: As what it was read, one of :data:`KINDS`.
            evidence: What the lens found; None where no lens has chosen the text.
        """
        if evidence is None or kind not in self.support:
            return self.silence[kind] - silence
        return self.support[kind].odds(silence, evidence)

    def to_json(self) -> dict[str, Any]:
        """The card as plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter on disk.

    Attributes:
        folder: Holds its card and its files.
        card: Its card.
        fingerprint: Names exactly this adapter.
    """

    folder: Path
    card: AdapterCard
    fingerprint: str

    def require(self, files: ModelFiles, tokenizer_sha256: str) -> None:
        """Check that the adapter was made for a model.

        Args:
            files: The model.
            tokenizer_sha256: Fingerprint of its tokenizer.

        Raises:
            MismatchError: It was made for another tokenizer or other weights, or the model's files are broken.
        """
        if self.card.tokenizer_sha256 != tokenizer_sha256:
            raise _other_model(
                self.folder, f"tokenizer {self.card.tokenizer_sha256[:12]}, the model has {tokenizer_sha256[:12]}"
            )
        if self.card.base_sha256 is not None and self.card.base_sha256 != (base := base_fingerprint(files)):
            raise _other_model(
                self.folder, f"a base model with weights {self.card.base_sha256[:12]}, this one has {base[:12]}"
            )


def find_adapter(model_name: str) -> AdapterFolder | None:
    """The adapter of a base model: under $MCTOOL_WEIGHTS, else in the package, else None.

    Raises:
        MismatchError: It is damaged, or $MCTOOL_WEIGHTS names no directory.
    """
    card = find_card(model_name, f"{_FOLDER}/{CARD_FILE}")
    return read_adapter(card.parent) if card else None


def read_adapter(folder: Path) -> AdapterFolder:
    """The adapter in a folder.

    Raises:
        MismatchError: Its card is damaged or was written by a version with other fields, or a file cannot be read.
    """
    try:
        fields = read_fields(folder / CARD_FILE)
        rules = {kind: SupportRule(**rule) for kind, rule in fields.pop("support", {}).items()}
        card = AdapterCard(**fields, support=rules)
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise _mismatch(folder, f"{CARD_FILE} cannot be read ({error})") from error
    digest = hashlib.sha256()
    for name in ADAPTER_FILES:
        try:
            digest.update((folder / name).read_bytes())
        except OSError as error:
            raise _mismatch(folder, f"{name} cannot be read ({error.strerror})") from error
    return AdapterFolder(folder, card, digest.hexdigest())


def write_adapter_card(folder: Path, card: AdapterCard) -> None:
    """Write the card of an adapter beside the files that peft wrote, which makes the folder one that is found."""
    write_fields(folder / CARD_FILE, card.to_json())


def base_fingerprint(files: ModelFiles) -> str:
    """A fingerprint of the weights of a model that costs no time: sha256 of its vectors (norms and biases).

    Training moves all of them, so models that differ in any matrix differ here; the matrices are not read.

    Raises:
        MismatchError: A file is missing or broken.
    """
    vectors: dict[str, bytes] = {}
    for name in weight_files(files.directory):
        path = files.directory / name
        try:
            with path.open("rb") as file:
                vectors |= dict(_vectors(file))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MismatchError(f"{path} is not a complete safetensors file: {error}", "get the model again") from error
    digest = hashlib.sha256()
    for name in sorted(vectors):
        digest.update(f"{name}\n".encode())
        digest.update(vectors[name])
    return digest.hexdigest()


def _vectors(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each tensor with one dimension, of a file in the safetensors format."""
    length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes")
    header = json.loads(file.read(length))
    for name, described in header.items():
        if name == "__metadata__" or len(described["shape"]) != 1:
            continue
        start, end = described["data_offsets"]
        file.seek(8 + length + start)
        data = file.read(end - start)
        if len(data) != end - start:
            raise ValueError(f"{name} is cut short")
        yield name, data


def _mismatch(folder: Path, reason: str) -> MismatchError:
    return net_mismatch("adapter", folder, reason)


def _other_model(folder: Path, reason: str) -> MismatchError:
    return MismatchError(f"adapter in {folder}: made for {reason}", "run with --no-lora, or use the model it is for")
