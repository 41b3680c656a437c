"""``python -m mctool``."""

from __future__ import annotations

import sys

from mctool.cli import main

sys.exit(main())
