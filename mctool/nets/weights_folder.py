"""Where the nets that belong to a base model are looked for, and how their cards are read and written; without torch.

A model's folder is ``<root>/<model>``. Roots are the directory that the environment variable ``MCTOOL_WEIGHTS`` names,
then the package. A net is there when its card is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mctool.weights
from mctool.core.errors import MismatchError

ENVIRONMENT_VARIABLE = "MCTOOL_WEIGHTS"


def find_card(model_name: str, card_file: str) -> Path | None:
    """The card of a net of a model: under $MCTOOL_WEIGHTS, else in the package, else None.

    Args:
        model_name: Name of the base model, as records show it.
        card_file: Path of the card within the model's folder.

    Raises:
        MismatchError: $MCTOOL_WEIGHTS names no directory.
    """
    roots = [Path(mctool.weights.__path__[0])]
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        if not Path(named).is_dir():
            raise MismatchError(
                f"${ENVIRONMENT_VARIABLE} is {named}, which is no directory", "set it to one, or unset it"
            )
        roots.insert(0, Path(named))
    cards = (root / model_name.replace("/", "--") / card_file for root in roots)
    return next((card for card in cards if card.is_file()), None)


def read_fields(card: Path) -> dict[str, Any]:
    """The fields of a card.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a JSON object.
    """
    fields = json.loads(card.read_text(encoding="utf-8"))
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return fields


def write_fields(card: Path, fields: dict[str, Any]) -> None:
    """Write a card, whole or not at all."""
    write_whole(card, (json.dumps(fields, indent=2) + "\n").encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def net_mismatch(what: str, folder: Path, reason: str) -> MismatchError:
    """The error for a net of a model that is damaged or does not fit; ``what`` names the kind of net."""
    return MismatchError(
        f"{what} in {folder}: {reason}", f"reinstall mctool, or let ${ENVIRONMENT_VARIABLE} name a directory that fits"
    )
