"""What a tree was made with; a tree is only used with the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from mctool.core.blocks import BLOCK_TOKENS
from mctool.core.errors import MismatchError

_FIXES = {
    "model": "use --model {mine}, or ingest the sources into a new tree (--tree PATH)",
    "gistnet": "use the GistNet that made the tree, or ingest the sources into a new tree (--tree PATH)",
}
_NEW_TREE = "ingest the sources into a new tree (--tree PATH)"


@dataclass(frozen=True)
class Fingerprint:
    """Identity of the model, tokenizer and net whose ids and gists a tree holds.

    Attributes:
        model: Name of the base model.
        tokenizer: sha256 of the tokenizer.
        vocab_size: Token ids are below this.
        d_model: Width of a gist.
        block_tokens: Tokens per block, K.
        gistnet: sha256 or card id of the GistNet; None for a tree without gists.
    """

    model: str
    tokenizer: str
    vocab_size: int
    d_model: int
    block_tokens: int = BLOCK_TOKENS
    gistnet: str | None = None

    def __post_init__(self) -> None:
        if self.vocab_size < 1 or self.d_model < 1:
            raise ValueError(f"vocab_size {self.vocab_size} and d_model {self.d_model} must be positive")
        if self.vocab_size > 2**32:
            raise ValueError(f"vocab_size {self.vocab_size} is beyond 32-bit token ids")

    @property
    def has_gists(self) -> bool:
        """Whether the tree holds gists (LOD1 and up)."""
        return self.gistnet is not None

    def to_json(self) -> dict[str, Any]:
        """The fingerprint as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Fingerprint:
        """Inverse of ``to_json``.

        Raises:
            TypeError: A field is missing or unknown.
            ValueError: A field has a value that makes no sense.
        """
        return cls(**data)

    def require(self, other: Fingerprint) -> None:
        """Check that ``other``, what is in use now, is what this tree was made with.

        Raises:
            MismatchError: A field differs; names the field, both values and the fix.
        """
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                fix = _FIXES.get(field.name, _NEW_TREE).format(mine=mine)
                raise MismatchError(f"the tree was made with {field.name} {mine!r}, but {theirs!r} is in use", fix)
