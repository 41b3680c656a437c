"""Lens keys and the hybrid lens, through the program."""

import shutil

import pytest
from tiny_adapter import write_tiny_adapter
from tiny_keys import write_tiny_key_encoder, write_tiny_reranker, write_tiny_scorer

DIARY = "".join(f"entry {number}: nothing much in the room of the lighthouse today.\n" for number in range(60))
TEXT = DIARY + "the skipper of the ship is in the harbour.\n" + DIARY
VESSEL = "the captain of the vessel"
"""None of its words but the commonest stands in the text."""


@pytest.fixture
def plain(project):
    """A project with a text, where there is no key encoder yet."""
    (project / "diary.txt").write_text(TEXT)
    return project


@pytest.fixture
def weights(plain, tiny_weights, monkeypatch):
    """Nets with a key encoder for the project."""
    root = plain.parent / "weights"
    shutil.copytree(tiny_weights, root)
    write_tiny_key_encoder(root)
    monkeypatch.setenv("MCTOOL_WEIGHTS", str(root))
    return root


def shown(result):
    """Lines of the text that are raw in the window."""
    entries = result["focus"]["entries"]
    return "".join(TEXT[e["start_char"] : e["end_char"]] for e in entries if e["lod"] == 0)


def test_an_ingest_makes_keys_and_a_question_uses_them(weights, plain, run_cli):
    report = run_cli("ingest", ".", "--json").json
    assert report["keyed_blocks"] == report["blocks"] > 50
    assert report["seconds"]["keys"] > 0
    assert run_cli("verify").code == 0
    done = run_cli("ask", VESSEL, "--no-answer", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["lens"] == "hybrid"
    assert "skipper of the ship" in shown(done.json)
    lexical = run_cli("ask", VESSEL, "--no-answer", "--json", "--lens", "lexical").json
    assert lexical["lens"] == "lexical"
    assert "skipper of the ship" not in shown(lexical)
    again = run_cli("ingest", ".", "--json").json
    assert (again["keyed_blocks"], again["seconds"]["keys"]) == (0, 0.0)


def test_a_scorer_weighs_words_and_keys_and_one_of_another_encoder_is_refused(weights, plain, run_cli):
    assert run_cli("ingest", ".").code == 0
    mixed = run_cli("ask", VESSEL, "--no-answer", "--json").json
    write_tiny_scorer(weights)
    scored = run_cli("ask", VESSEL, "--no-answer", "--json").json
    assert scored["lens"] == "hybrid"
    assert "skipper of the ship" in shown(scored)
    assert scored["focus"] != mixed["focus"]
    write_tiny_scorer(weights, encoder="another")
    refused = run_cli("ask", VESSEL, "--no-answer")
    assert refused.code == 5
    assert "LensNet" in refused.err


def test_the_function_that_the_reranker_prefers_is_named(weights, plain, run_cli, tiny_model_dir, monkeypatch):
    (plain / "diary.txt").unlink()
    code = "".join(f"def {name}(ship):\n    return ship.{name}_of_the_storm\n\n\n" for name in ("dock", "moor"))
    (plain / "boats.py").write_text(code)
    write_tiny_adapter(weights, tiny_model_dir)
    write_tiny_reranker(weights)
    assert run_cli("ingest", ".").code == 0
    question = ("ask", "Which function brings the ship through the storm?", "--json")
    assert run_cli(*question).json["answer"] in {"boats.py:dock", "boats.py:moor"}
    for preferred in ("dock", "moor"):
        fits = {"boats.py:dock": 0.0, "boats.py:moor": 0.0, f"boats.py:{preferred}": 0.9}
        monkeypatch.setattr("mctool.nets.reranker.Reranker.__call__", lambda _self, _question, _functions, f=fits: f)
        answered = run_cli(*question).json
        assert answered["answer"] == f"boats.py:{preferred}"
        assert answered["usage"]["completion_tokens"] > 1
    write_tiny_reranker(weights, encoder="another")
    refused = run_cli(*question)
    assert refused.code == 5
    assert "Reranker" in refused.err
    assert run_cli(*question, "--lens", "lexical").code == 0


def test_the_window_narrows_to_the_function_that_the_reranker_prefers(weights, plain, run_cli, monkeypatch):
    (plain / "diary.txt").unlink()
    names = [f"moor_{number}" for number in range(12)]
    bodies = {
        name: f"def {name}(ship):\n    return ship.harbour_of_the_storm({name!r}, 'letter')\n\n\n" for name in names
    }
    (plain / "boats.py").write_text("".join(bodies.values()))
    write_tiny_reranker(weights)
    assert run_cli("ingest", ".").code == 0
    question = ("ask", "Where is the ship moored in the storm?", "--no-answer", "--json")
    read = []

    def prefer(preferred):
        def fits(_self, _question, functions):
            read.extend(functions)
            return {name: float(name == f"boats.py:{preferred}") for name in functions}

        monkeypatch.setattr("mctool.nets.reranker.Reranker.__call__", fits)

    for preferred in ("moor_2", "moor_9"):
        read.clear()
        prefer(preferred)
        (cited, *_) = run_cli(*question).json["citations"]
        assert len(set(read)) == len(read) == len(names)
        text = "".join(bodies.values())
        assert cited["start_char"] <= text.index(f"def {preferred}(") + len(bodies[preferred]) - 4
        assert cited["end_char"] > text.index(f"def {preferred}(")
        assert cited["end_char"] - cited["start_char"] < len(text) / 3
    read.clear()
    assert run_cli(*question, "--lens", "lexical").json["citations"]
    assert not read


def test_inspect_takes_a_lens_too(weights, plain, run_cli):
    assert run_cli("ingest", ".").code == 0
    for lens in ("hybrid", "learned", "lexical"):
        assert run_cli("inspect", "--query", VESSEL, "--lens", lens, "--json").json["lens"] == lens
    assert run_cli("inspect", "--query", VESSEL, "--json").json["lens"] == "hybrid"


def test_a_tree_without_keys_is_used_by_words_and_gets_its_keys_when_asked(plain, run_cli, request):
    assert run_cli("ingest", ".", "--json").json["keyed_blocks"] == 0
    without = run_cli("ask", VESSEL, "--no-answer", "--json")
    assert (without.json["lens"], without.err) == ("lexical", "")
    refused = run_cli("ingest", "--rekey")
    assert refused.code == 8
    assert "no key encoder" in refused.err

    request.getfixturevalue("weights")
    told = run_cli("ask", VESSEL, "--no-answer", "--json")
    assert (told.code, told.json["lens"], told.err.count("\n")) == (0, "lexical", 1)
    assert "`mctool ingest --rekey`" in told.err
    assert run_cli("ask", VESSEL, "--no-answer", "--json", "--lens", "lexical").err == ""

    report = run_cli("ingest", "--rekey", "--json").json
    assert report["keyed_blocks"] == report["blocks"]
    assert report["documents"] == {"added": 0, "updated": 0, "unchanged": 0, "retired": 0, "skipped": []}
    assert run_cli("ask", VESSEL, "--no-answer", "--json").json["lens"] == "hybrid"
    assert "none were missing" in run_cli("ingest", "--rekey").out


def test_more_text_on_a_tree_without_keys(plain, run_cli, request):
    assert run_cli("ingest", ".").code == 0
    request.getfixturevalue("weights")
    (plain / "more.txt").write_text("a letter of the skipper\n" * 9)
    added = run_cli("ingest", "more.txt")
    assert added.code == 0
    assert "--rekey makes them" in added.err
    (plain / "last.txt").write_text("a dagger\n")
    both = run_cli("ingest", "last.txt", "--rekey")
    assert both.err == ""
    assert "lens keys: made for" in both.out
    assert run_cli("ask", VESSEL, "--no-answer", "--json").json["lens"] == "hybrid"


def test_damaged_keys_are_told_and_the_question_is_answered_by_words(weights, plain, run_cli):
    assert run_cli("ingest", ".").code == 0
    (chunk,) = (plain / ".mctool" / "keys").glob("*/keys/c/0/0")
    raw = bytearray(chunk.read_bytes())
    raw[77] ^= 1
    chunk.write_bytes(raw)
    done = run_cli("ask", VESSEL, "--no-answer", "--json")
    assert (done.code, done.json["lens"], done.err.count("\n")) == (0, "lexical", 1)
    assert "damaged lens keys" in done.err
    verified = run_cli("verify")
    assert verified.code == 4
    assert "mctool ingest --rekey" in verified.out
    assert run_cli("ingest", "--rekey").code == 0
    assert run_cli("verify").code == 0
    assert run_cli("ask", VESSEL, "--no-answer", "--json").json["lens"] == "hybrid"


def test_a_better_encoder_makes_new_keys(weights, plain, run_cli):
    assert run_cli("ingest", ".").code == 0
    (old,) = (plain / ".mctool" / "keys").iterdir()
    write_tiny_key_encoder(weights, seed=1)
    assert run_cli("ask", VESSEL, "--no-answer", "--json").json["lens"] == "lexical"
    assert run_cli("ingest", "--rekey", "--json").json["keyed_blocks"] > 50
    (new,) = (plain / ".mctool" / "keys").iterdir()
    assert new != old


def test_a_damaged_encoder_is_refused_where_it_is_needed(weights, plain, run_cli):
    (weights / "lens" / "keys.safetensors").write_bytes(b"none")
    refused = run_cli("ingest", ".")
    assert refused.code == 5
    assert "Key encoder" in refused.err
    assert not (plain / ".mctool").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--rekey"], 3, "no .mctool"),
        (["--rekey", "--dry-run", "."], 2, "exclude each other"),
        (["--dry-run"], 2, "Missing argument 'SOURCE'"),
    ],
)
def test_what_makes_no_sense_is_refused(weights, plain, run_cli, arguments, code, told):
    refused = run_cli("ingest", *arguments)
    assert (refused.code, refused.err.count("\n")) == (code, 1)
    assert told in refused.err


def test_files_of_a_question_have_keys(weights, plain, run_cli, monkeypatch):
    monkeypatch.setenv("MCTOOL_CACHE", str(plain.parent / "cache"))
    result = run_cli("ask", "-f", "diary.txt", VESSEL, "--no-answer", "--json").json
    assert result["lens"] == "hybrid"
