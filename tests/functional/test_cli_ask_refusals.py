"""What ``mctool ask`` refuses: one line on stderr, nothing on stdout, and the exit code of the contract."""

import json
import shutil

import pytest
from ask_contract import COMPASS, assert_refused


@pytest.fixture
def tree(letters_tree):
    return letters_tree


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", '"a"', '{"id": 1}', '{"question": null}', '{"question": ["a"]}', '{"question": " "}', "[" * 99999],
)
def test_a_bad_line_of_questions_is_named(tree, run_cli, project, line):
    (project / "asked.jsonl").write_text(json.dumps({"question": COMPASS}) + f"\n\n{line}\n")
    assert_refused(run_cli("ask", "--questions", "asked.jsonl", "--json"), 2, "line 3")


def test_a_bad_line_of_a_pipe_comes_after_the_answers_to_those_before(tree, run_cli):
    stdin = (json.dumps({"id": 1, "question": COMPASS}) + "\n[2]\n").encode()
    done = run_cli("ask", "--questions", "-", "--json", "--no-answer", stdin=stdin)
    assert (done.code, done.json["id"]) == (2, 1)
    assert "line 2 of - is not a JSON object" in done.err


def test_questions_that_cannot_be_had(tree, run_cli, project):
    assert_refused(run_cli("ask", "--questions", "none.jsonl"), 6, "none.jsonl")
    assert_refused(run_cli("ask", "--questions", project), 6, str(project))
    (project / "latin.jsonl").write_bytes(b'{"question": "caf\xe9"}')
    assert_refused(run_cli("ask", "--questions", "latin.jsonl"), 6, "latin.jsonl")
    assert_refused(run_cli("ask", "-", stdin=b"caf\xe9?"), 6, "the question")
    (project / "empty.jsonl").write_bytes(b"\n")
    assert_refused(run_cli("ask", "--questions", "empty.jsonl"), 2, "holds no question")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "either a QUESTION or --questions"),
        (["Why?", "--questions", "-"], "either a QUESTION or --questions"),
        ([""], "the question is empty"),
        ([" \n"], "the question is empty"),
        (["Why?", "--colour", "red"], "--colour"),
        (["Why?", "more"], "more"),
        (["Why?", "--path", "*.rs"], "--path *.rs matches no document"),
        (["Why?", "--lens", "psychic"], "--lens psychic is not one of"),
        (["Why?", "--positions", "upside-down"], "--positions upside-down is not one of"),
        (["Why?", "--w-max", "0"], "--w-max 0"),
        (["Why?", "--w-max", "many"], "--w-max"),
        (["Why?", "--w-max", "40"], "--w-max 40 is too small"),
        (["Why? " * 2000], "--w-max 2048 is too small for a prompt of"),
        (["keeper", "--w-max", "2000", "--no-narrow"], "the model was trained with 512"),
        (["Why?", "--max-iterations", "0"], "--max-iterations 0"),
        (["Why?", "--n-diff", "0"], "--n-diff 0"),
        (["Why?", "--tau-expand", "-1"], "--tau-expand -1"),
        (["Why?", "--cooldown", "-1"], "--cooldown -1"),
        (["Why?", "--max-new-tokens", "-1"], "--max-new-tokens -1"),
        (["Why?", "--temperature", "-0.5"], "--temperature -0.5"),
        (["Why?", "--device", "abacus"], "--device 'abacus'"),
        (["keeper", "--dtype", "float7"], "--dtype 'float7'"),
        (["Why?", "--trace", "-", "--json"], "--trace - and --json"),
        (["Why?", "-f", "letters.txt", "-t", "."], "--file and --tree exclude each other"),
        (["-", "-f", "-"], "both read standard input"),
        (["caf\udce9 keeper?"], "surrogate"),
    ],
)
def test_bad_input_is_refused(tree, run_cli, arguments, told):
    assert_refused(run_cli("ask", *arguments), 2, told)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--tau-expand", "nan"), ("--tau-collapse", "nan"), ("--temperature", "nan"), ("--temperature", "inf")],
)
def test_numbers_that_are_none_are_refused(tree, run_cli, option, value):
    assert_refused(run_cli("ask", "keeper", option, value, "--no-answer"), 2, option)


def test_a_cover_beyond_the_budget_is_refused(tree, run_cli, monkeypatch):
    from mctool.focus import cover

    monkeypatch.setattr(cover, "TOP_LOD", 1)
    monkeypatch.setattr(cover.plan_cover, "__defaults__", (1,))
    assert_refused(run_cli("ask", "Why?", "--w-max", 100), 2, "coarsest cover of the tree needs")


def test_a_budget_that_shows_no_text_is_refused(tree, run_cli):
    assert_refused(run_cli("ask", COMPASS, "--w-max", 120), 2, "leaves no room for text")


def test_no_tree(project, run_cli):
    assert_refused(run_cli("ask", "Why?"), 3, "mctool ingest")
    assert_refused(run_cli("ask", "Why?", "-t", "nowhere"), 3, "nowhere")


def test_another_model_is_refused(tree, run_cli, tiny_model_dir, tmp_path):
    other = shutil.copytree(tiny_model_dir, tmp_path / "other-model")
    assert_refused(run_cli("ask", "Why?", "--model", other), 5, "other-model")


def test_a_file_that_is_missing(project, run_cli, monkeypatch, tmp_path):
    monkeypatch.setenv("MCTOOL_CACHE", str(tmp_path / "cache"))
    assert_refused(run_cli("ask", "Why?", "-f", "none.txt"), 6, "none.txt")
    (project / "a.txt").write_text("Something.\n")
    assert_refused(run_cli("ask", "Why?", "-f", "a.txt", "-f", "none.txt"), 6, "none.txt")


def test_a_trace_that_cannot_be_written(tree, run_cli, project):
    assert_refused(run_cli("ask", COMPASS, "--trace", project), 9, str(project))
    assert_refused(run_cli("ask", COMPASS, "--trace", "none/trace.jsonl"), 9, "none/trace.jsonl")
