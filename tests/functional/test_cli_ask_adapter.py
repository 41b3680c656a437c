"""``mctool ask`` with an adapter, styles of answers, and refusals."""

import json
import shutil
from dataclasses import replace

import pytest
from ask_contract import COMPASS, assert_refused, assert_sound
from tiny_adapter import ALWAYS, NEVER, write_tiny_adapter

from mctool.engine.answer import decode_answer

SHORT = ("--max-new-tokens", 6)


@pytest.fixture
def tree(letters_tree):
    return letters_tree


@pytest.fixture
def adapter(tmp_path, tiny_weights, tiny_model_dir, monkeypatch):
    """Put an adapter with given thresholds where it is found; returns its folder."""
    root = shutil.copytree(tiny_weights, tmp_path / "weights")

    def put(short=NEVER, long=NEVER):
        monkeypatch.setenv("MCTOOL_WEIGHTS", str(root))
        return write_tiny_adapter(root, tiny_model_dir, short, long)

    return put


def test_answers_with_and_without_the_adapter(tree, run_cli, adapter):
    adapter()
    adapted, plain = (run_cli("ask", COMPASS, "--json", *SHORT, *more).json for more in ((), ("--no-lora",)))
    for result in (adapted, plain):
        assert_sound(result)
    assert len(adapted["lora"]) == 64
    assert isinstance(adapted["support"], float)
    assert (plain["lora"], plain["support"]) == (None, None)
    assert adapted["answer"] != plain["answer"]


def test_a_refusal_shows_the_nearest_passages(tree, run_cli, adapter):
    adapter(short=ALWAYS)
    result = run_cli("ask", COMPASS, "--json").json
    assert_sound(result)
    assert (result["supported"], result["answer"]) == (False, "The documents do not say.")
    assert "emerald compass" in result["nearest"][0]["text"]
    done = run_cli("ask", COMPASS)
    assert (done.code, done.out) == (0, "The documents do not say.\n")
    assert done.err.startswith("Nearest passages:\n[1] letters.txt:")
    assert "emerald compass" in done.err
    assert run_cli("ask", COMPASS, "-q").err == ""
    assert run_cli("ask", "Qwertzuiop?").err == ""


def test_the_terms_refuse_without_an_adapter_and_show_passages_too(tree, run_cli):
    strange = "Which quantum compass did Gryzwald polish on Neptune?"
    result = run_cli("ask", strange, "--json").json
    assert_sound(result)
    assert not result["supported"]
    assert "compass" in result["nearest"][0]["text"]
    done = run_cli("ask", strange, "--no-answer")
    assert done.out.startswith("No text in the documents speaks for an answer.\nNearest passages:\n[1] ")


@pytest.mark.parametrize(
    ("question", "style", "chosen"),
    [
        (COMPASS, "auto", "short"),
        (COMPASS, "long", "long"),
        ("Why is the compass under the stair?", "auto", "long"),
        ("Why is the compass under the stair?", "short", "short"),
    ],
)
def test_the_style_asks_another_way(tree, run_cli, adapter, question, style, chosen):
    adapter(**{chosen: ALWAYS})
    result = run_cli("ask", question, "--json", "--style", style, *SHORT).json
    assert_sound(result)
    assert (result["style"], result["supported"]) == (chosen, False)


def test_settings_come_from_the_environment_and_the_project_file(tree, run_cli, adapter, project, monkeypatch):
    adapter()
    (project / "mctool.toml").write_text('[ask]\nstyle = "long"\n')
    monkeypatch.setenv("MCTOOL_NO_LORA", "1")
    result = run_cli("ask", COMPASS, "--json", *SHORT).json
    assert (result["style"], result["lora"]) == ("long", None)


def test_what_is_refused(tree, run_cli, adapter):
    assert_refused(run_cli("ask", COMPASS, "--style", "florid"), 2, "--style florid is not one of auto, short, long")
    folder = adapter()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    assert_refused(run_cli("ask", COMPASS), 5, "adapter_model.safetensors")
    (folder / "card.json").write_text("{}")
    assert_refused(run_cli("ask", COMPASS), 5, "card.json")
    assert run_cli("ask", COMPASS, "--no-lora", *SHORT).code == 0
    assert run_cli("ask", COMPASS, "--no-answer").code == 0


def test_damaged_counts_of_access_are_told_once_and_do_not_keep_from_answering(tree, run_cli):
    whole = run_cli("ask", COMPASS, "--json", *SHORT).json
    for file in tree.glob("access.sqlite-*"):
        file.unlink()
    (tree / "access.sqlite").write_bytes(b"no database " * 400)
    done = run_cli("ask", COMPASS, "--json", *SHORT)
    assert done.code == 0
    assert done.json["answer"] == whole["answer"]
    assert done.json["citations"] == whole["citations"]
    assert done.err.count("access is not counted") == done.err.count("\n") == 1
    (tree / "access.sqlite").unlink()
    assert run_cli("ask", COMPASS, "--json", *SHORT).err == ""
    assert json.loads(run_cli("inspect", "--json").out)["access"]["expanded"] > 0


def test_a_function_that_is_made_up_gives_way_to_one_of_those_shown(run_cli, project, adapter, monkeypatch):
    adapter()

    def making_up(*args, on_text=None, **options):
        assert on_text is None  # a name is not shown before it is known to be one
        return replace(decode_answer(*args, **options), text="ship.py:Harbour.steer")

    monkeypatch.setattr("mctool.engine.answer.decode_answer", making_up)
    (project / "ship.py").write_text(
        "class Ship:\n    def sail(self, knots):\n        return knots * 2\n\n\ndef dock():\n    pass\n"
    )
    assert run_cli("ingest", "ship.py").code == 0
    done = run_cli("ask", "Which function makes the ship sail?", "--json", *SHORT)
    assert done.code == 0, done.err
    assert done.json["answer"] in {"ship.py:Ship", "ship.py:Ship.sail", "ship.py:dock"}
    streamed = run_cli("ask", "Which function makes the ship sail?", *SHORT)
    assert streamed.out == f"{done.json['answer']}\n"
