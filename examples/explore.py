# ruff: noqa: D100
# Cells for an editor that runs them one by one (VS Code, Spyder, `jupytext --to notebook`); also runs as a whole.

# %% A tree of the files beside this one
import os
import tempfile
from pathlib import Path

import mctool
from mctool.app.ask import Reader
from mctool.core.config import DEFAULT_MODEL, AskConfig, FocusConfig

MODEL = os.environ.get("MCTOOL_MODEL", DEFAULT_MODEL)
place = tempfile.TemporaryDirectory()
tree = Path(place.name) / ".mctool"
report = mctool.ingest(Path(__file__).parent, tree=tree, model=MODEL)
print(f"{report.documents.added} documents, {report.tokens:,} tokens, nodes {report.nodes}")

# %% What is in it
with mctool.open_tree(tree) as opened:
    for document in opened.documents:
        print(f"{document.n_tokens:6,} tokens  {document.path}")

# %% One question, with the refocus steps that led to the answer
reader = Reader(tree, MODEL)
answer = reader.ask("Which script fails a CI job?", AskConfig())
for step in answer.focus.iterations:
    print(f"{step.expanded} expanded, {step.collapsed} collapsed, cost {step.cost}")
print(answer.answer, [(citation.path, citation.start_line) for citation in answer.citations])

# %% The same with a window that is filled to the brim
wide = reader.ask("Which script fails a CI job?", AskConfig(focus=FocusConfig(w_max=384).filled()))
print(f"{answer.usage.prompt_tokens} tokens read before, {wide.usage.prompt_tokens} now")

# %% Done
reader.tree.close()
place.cleanup()
