"""All checks of the project, in one command: style, types, floors, tests.

Run it with the Python of an environment in which ``mctool[test]`` is installed. Arguments are passed to pytest.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS = {
    "style": [BIN / "ruff", "check", "."],
    "format": [BIN / "ruff", "format", "--check", "."],
    "types": [BIN / "mypy"],
    "floors": [BIN / "lint-imports"],
    "tests": [sys.executable, "-m", "pytest", "-q", *sys.argv[1:]],
}


def main() -> int:
    """Run every check, also after one has failed, and tell how each ended."""
    codes, notes = {}, []
    for name, command in CHECKS.items():
        start = time.perf_counter()
        print(f"== {name}", flush=True)
        codes[name] = subprocess.run(command, cwd=ROOT, check=False).returncode
        notes.append(f"{name} {'ok' if codes[name] == 0 else 'FAILED'} in {time.perf_counter() - start:.0f} s")
    print("; ".join(notes))
    return int(any(codes.values()))


if __name__ == "__main__":
    sys.exit(main())
