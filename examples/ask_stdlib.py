"""Ask several questions about Python's own source code through the Python API.

Run: python examples/ask_stdlib.py
"""

import sysconfig
import tempfile
from pathlib import Path

from mctool import ingest
from mctool.app.ask import Reader
from mctool.core.config import AskConfig

QUESTIONS = (
    "What does the skipkeys argument of json.dumps do?",
    "Where are duplicate boundaries in multipart messages detected?",
)


def main() -> None:
    """Make a tree in a temporary directory and answer the questions, loading the model once."""
    library = Path(sysconfig.get_path("stdlib"))
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / ".mctool"
        report = ingest(library / "json", library / "email", tree=tree)
        print(f"{report.tokens:,} tokens, {report.tokens_per_second:,.0f} tokens/s")
        with Reader(tree) as reader:
            for question in QUESTIONS:
                answer = reader.ask(question, AskConfig())
                print(f"\n{question}\n  {answer.answer}")
                for citation in answer.citations:
                    print(f"  {citation.path}:{citation.start_line}-{citation.end_line}")


if __name__ == "__main__":
    main()
