import pytest

import mctool
from mctool.app.citations import runs_by_text, runs_by_worth
from mctool.engine.runs import RawRun

NOTE = (
    "The harbour opens at dawn. Ships wait for the tide and for the pilot who brings them in.\n",
    "A compass lies in the blue drawer below the charts, says the mate who last saw it.\n",
    "The dawn chorus of gulls is loud, and nobody on the pier sleeps through it at all.\n",
)
CODE = (
    "import os\n\n\nclass Harbour:\n    def open(self, path):\n        return os.open(path, 0)\n\n    depth = 7\n",
    "\n\ndef close(path):\n    print('closing', path)\n    return open_harbour(path).depth + 1\n",
    "\n\nopen(1)\nopen_harbour(2)\nprint('the harbour is open, and so is the sea beyond')\n",
)


@pytest.fixture(scope="module")
def tree(tiny_model_dir, tiny_weights, tmp_path_factory):
    """Two documents whose paragraphs are runs of blocks."""
    folder = tmp_path_factory.mktemp("cited")
    (folder / "code").mkdir()
    (folder / "note.txt").write_text("".join(part * 3 for part in NOTE))
    (folder / "code" / "ships.py").write_text("".join(CODE))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MCTOOL_WEIGHTS", str(tiny_weights))
        mctool.ingest("note.txt", "code/ships.py", tree=folder / ".mctool", model=str(tiny_model_dir), device="cpu")
    with mctool.open_tree(folder) as tree:
        yield tree


def runs_of(tree, path):
    """Every block of a document as a run; the later the block, the better its score."""
    place, document = next((n, d) for n, d in enumerate(tree.documents) if d.path == path)
    first = document.first_block
    return [
        RawRun(place, block, block + 1, 0, 1, score=block - first) for block in range(first, first + document.n_blocks)
    ]


def text_of(tree, run):
    return tree.text(run.first_block, run.end_block)


def texts(tree, runs, answer):
    return [text_of(tree, run) for run in runs_by_text(runs, answer, tree)]


def test_runs_that_say_the_answer_come_first_and_then_the_best(tree):
    runs = runs_of(tree, "note.txt")
    by_score = [text_of(tree, run) for run in sorted(runs, key=lambda run: -run.score)]
    assert texts(tree, runs, "") == texts(tree, runs, "a zeppelin") == by_score
    found = texts(tree, runs, "In THE blue-drawer.")
    says = [text for text in by_score if "in the blue drawer" in text]
    assert found[: len(says)] == says
    assert found[len(says) :] == [text for text in by_score if text not in says]


def test_parts_of_words_do_not_say_an_answer(tree):
    runs = runs_of(tree, "note.txt")
    assert texts(tree, runs, "rawer") == texts(tree, runs, "the") == texts(tree, runs, "")


def test_a_place_in_code_is_cited_by_score(tree):
    runs = runs_of(tree, "note.txt") + runs_of(tree, "code/ships.py")
    by_score = texts(tree, runs, "")
    assert texts(tree, runs, "code/ships.py:Harbour.open") == by_score


def test_runs_that_are_worth_nothing_are_left_out(tree):
    runs = runs_of(tree, "note.txt")[:4]
    nats = dict(zip(runs, (0.05, 2.5, -1.0, 0.3), strict=True))
    asked = []
    assert runs_by_worth(runs, lambda run: asked.append(run) or nats[run]) == [(runs[1], 2.5), (runs[3], 0.3)]
    assert asked == runs
    assert runs_by_worth(runs, lambda run: nats[run] - 3) == [(runs[1], -0.5)]
    assert runs_by_worth([], lambda run: 1.0) == []
