"""Where the key encoder is looked for; without torch. It belongs to no base model."""

from __future__ import annotations

import os
from pathlib import Path

from mctool.nets.weights_folder import ENVIRONMENT_VARIABLE, find_card

FOLDER = "lens"
CARD_FILE = "keys.json"


def find_key_encoder() -> Path | None:
    """The folder of the key encoder: in the package, or under $MCTOOL_WEIGHTS where that is set; None without one.

    A directory of nets without a key encoder stands for a run without one, unlike for nets of a base model.

    Raises:
        MismatchError: $MCTOOL_WEIGHTS names no directory.
    """
    card = find_card(FOLDER, CARD_FILE)
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if card is None or (named and not card.is_relative_to(named)):
        return None
    return card.parent
