"""Say of every document of a folder what it is about, as JSON lines.

Run: python examples/summarise_folder.py FOLDER > summaries.jsonl
"""

import glob
import json
import os
import sys
import tempfile
from pathlib import Path

from mctool import ingest
from mctool.app.ask import Reader
from mctool.core.config import DEFAULT_MODEL, AskConfig

MODEL = os.environ.get("MCTOOL_MODEL", DEFAULT_MODEL)
QUESTION = "What is this text about? Explain."


def main(folder: str) -> None:
    """Make a tree of the folder in a temporary directory and ask the same of each document."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / ".mctool"
        ingest(folder, tree=tree, model=MODEL)
        with Reader(tree, MODEL) as reader:
            for document in reader.tree.documents:
                config = AskConfig(path_glob=glob.escape(document.path), style="long")
                report = reader.ask(QUESTION, config)
                summary = report.answer if report.supported else None
                print(json.dumps({"path": document.path, "tokens": document.n_tokens, "summary": summary}))


if __name__ == "__main__":
    main(sys.argv[1])
