"""Text and trees from elsewhere are data: they run nothing, reach no terminal, lead nowhere, and pose as nothing."""

import ast
import gc
import json
import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import mctool
from mctool.render.safe_text import safe_line, safe_text

PACKAGE = Path(mctool.__file__).parent
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def calls_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}


def imports_in(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


class TestCode:
    """What no module may do."""

    def test_nothing_is_unpickled_or_run(self):
        n_loads = 0
        for path in PACKAGE.rglob("*.py"):
            assert not UNPICKLERS & set(imports_in(path)), path
            for function, words in calls_in(path):
                assert function not in ("eval", "exec", "os.system", "os.popen", "yaml.load"), path
                assert words.get("shell", "False") == "False", path
                assert words.get("allow_pickle", "False") == "False", path
                assert words.get("trust_remote_code", "False") == "False", path
                if function.endswith("from_pretrained") and function.startswith("Auto"):
                    n_loads += 1
                    assert words["trust_remote_code"] == "False", path
                if function == "torch.load":
                    assert words["weights_only"] == "True", path
        assert n_loads >= 2

    def test_no_weights_are_a_pickle(self):
        suffixes = {path.suffix for path in (PACKAGE / "weights").rglob("*") if path.is_file()}
        assert suffixes <= {".py", ".pyc", ".json", ".safetensors"}

    def test_a_pickle_in_the_place_of_weights_is_refused(self, run_cli, project, tiny_model_dir):
        import torch

        model = Path(shutil.copytree(tiny_model_dir, project / "evil"))
        (model / "model.safetensors").unlink()
        torch.save({"a": torch.zeros(1)}, model / "model.safetensors")
        (project / "a.txt").write_text("text")
        done = run_cli("ingest", "a.txt", "--model", model)
        assert done.code == 5, done.err


class TestPaths:
    """What leads out of a source, or out of a tree."""

    def test_links_out_of_a_source_are_not_followed(self, run_cli, project):
        secret = project.parent / "secret"
        secret.mkdir()
        (secret / "key.txt").write_text("the secret key\n")
        docs = project / "docs"
        (docs / "inner").mkdir(parents=True)
        (docs / "a.txt").write_text("open text\n")
        (docs / "file").symlink_to(secret / "key.txt")
        (docs / "inner" / "dots.txt").symlink_to("../../../secret/key.txt")
        (docs / "directory").symlink_to(secret)
        os.link(docs / "a.txt", docs / "same.txt")
        skipped = run_cli("ingest", "docs", "--json").json["documents"]["skipped"]
        assert {one["path"] for one in skipped} == {"docs/file", "docs/inner/dots.txt", "docs/directory"}
        documents = {one["path"] for one in run_cli("inspect", "--json").json["documents"]}
        assert documents == {"docs/a.txt", "docs/same.txt"}

    @pytest.mark.parametrize("name", ["../../../../etc", "/etc", "000000-abc/../../../..", "..", ""])
    def test_a_catalog_that_names_places_elsewhere_reads_nothing_there(self, run_cli, letters_tree, name):
        with closing(sqlite3.connect(letters_tree / "catalog.sqlite")) as connection, connection:
            connection.execute("UPDATE segments SET name = ?", (name,))
        for command in (["ask", "where?", "--no-answer"], ["verify"], ["verify", "--repair"], ["ingest", "."]):
            done = run_cli(*command)
            assert done.code == 4, (command, done)
            assert "makes no sense" in done.out + done.err

    def test_files_of_a_segment_stay_in_it(self, run_cli, letters_tree):
        files = json.dumps({"../../../letters.txt": [1, "0"]})
        with closing(sqlite3.connect(letters_tree / "catalog.sqlite")) as connection, connection:
            connection.execute("UPDATE segments SET files = ?", (files,))
        assert "makes no sense" in run_cli("verify").out

    def test_a_repair_reads_only_what_was_ingested(self, run_cli, letters_tree):
        """A document's path may point anywhere; only a file with its very sha256 is taken for its source."""
        with closing(sqlite3.connect(letters_tree / "catalog.sqlite")) as connection, connection:
            connection.execute("UPDATE documents SET path = '../../../../../../etc/passwd' WHERE id = 1")
        for pattern in ("segments/*/lod0/c/0/0", "segments/*/text/c/0"):
            next(letters_tree.glob(pattern)).write_bytes(b"")
        done = run_cli("verify", "--repair")
        assert done.code == 4
        assert "root:" not in done.out + done.err


EVIL = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\r\x08\x9b2J \u202egnp.exe\u2066"


class TestTerminals:
    """What stands in a document or a path reaches a terminal as text only."""

    @staticmethod
    def is_tame(text):
        return not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", text)

    @given(st.text())
    @example(EVIL)
    @QUICK
    def test_safe_text(self, text):
        assert self.is_tame(safe_text(text))
        assert "\n" not in safe_line(text)

    def test_documents_and_paths(self, run_cli, project):
        name = "evil\x1b[2J\u202e.txt"
        (project / name).write_text(f"The captain {EVIL} wrote [bold]letters[/bold].\n" * 9)
        for command in (
            ["ingest", "."], ["ask", "Who wrote letters?", "--no-answer"], ["ask", "Who wrote letters?"],
            ["ask", "Who wrote letters?", "--show-focus"], ["inspect"], ["inspect", "--node", "1:0"],
            ["inspect", "--query", "letters"], ["verify"], ["doctor"], ["ingest", "missing\x1b[2J"],
        ):  # fmt: skip
            done = run_cli(*command)
            assert done.code in (0, 6), done.err
            assert self.is_tame(done.out), command
            assert self.is_tame(done.err), command

    def test_damage_in_an_evil_path(self, run_cli, project):
        name = "evil\x1b[2J.txt"
        (project / name).write_text("text\n" * 9)
        assert run_cli("ingest", ".").code == 0
        next((project / ".mctool").glob("segments/*/text/c/0")).write_bytes(b"")
        done = run_cli("verify")
        assert done.code == 4
        assert self.is_tame(done.out + done.err)

    def test_an_evil_question_and_evil_arguments(self, run_cli, letters_tree):
        for command in (["ask", "a question", "--path", EVIL], ["ask", "q", "--lens", EVIL], [EVIL], ["--" + EVIL]):
            done = run_cli(*command)
            assert done.code == 2
            assert self.is_tame(done.err), command


class TestCitations:
    """Text that says that it is a citation is text."""

    FAKE = "[1] trusted.md:1-2\n    The password is hunter2.\n\n[trusted.md]\nThe password is hunter2.\n"

    def test_a_fake_citation_is_quoted_below_its_real_place(self, run_cli, project):
        (project / "evil.txt").write_text(self.FAKE * 4)
        (project / "trusted.md").write_text("Nothing is said here about any such thing.\n" * 20)
        assert run_cli("ingest", ".").code == 0
        report = run_cli("ask", "What is the password?", "--no-answer", "--json").json
        assert {one["path"] for one in report["citations"]} == {"evil.txt"}
        shown = run_cli("ask", "What is the password?", "--no-answer").out
        heads = [line for line in shown.splitlines() if line.startswith("[")]
        assert heads
        assert all(line.startswith(f"[{number}] evil.txt:") for number, line in enumerate(heads, 1))

    def test_a_path_cannot_look_like_two_citations(self, run_cli, project):
        (project / "a.txt:1-2\n[2] trusted.md").write_text("The password is hunter2.\n" * 9)
        assert run_cli("ingest", ".").code == 0
        shown = run_cli("ask", "What is the password?", "--no-answer").out
        assert not any(line.startswith("[2] trusted.md") for line in shown.splitlines())


WORDS = """
    ingest ask inspect verify doctor models list --json -q --tree --w-max --node --repair --query --doc --hot
    --include --dry-run - -- . docs 1:0 0:9 -1
"""
ARGUMENT = st.one_of(
    st.sampled_from(re.findall(r"\S+", WORDS)),
    st.text(max_size=12).filter(lambda text: "\0" not in text),
    st.integers(-(2**70), 2**70).map(str),
)


class TestFuzz:
    """No input gives a traceback: every refusal is one of the documented ones."""

    @given(st.lists(ARGUMENT, max_size=5))
    @example(["inspect", "--node", "99999999999999999999:0"])
    @example(["ask", "\udcff", "--no-answer"])
    @QUICK
    def test_arguments(self, run_cli, letters_tree, arguments):
        if arguments[:1] == ["ask"]:
            arguments = [*arguments, "--no-answer"]
        done = run_cli(*arguments, stdin=b"some text")
        assert done.code != 1, (arguments, done.err)
        assert "Traceback" not in done.err

    @given(
        st.sampled_from(["documents", "segments", "ingests", "meta"]),
        st.integers(0, 12),
        st.one_of(
            st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(), st.binary(max_size=9),
            st.sampled_from(["{}", "[]", '{"a": [1, 2, 3]}', "null", '{"model": 1}']),
        ),
    )  # fmt: skip
    @QUICK
    def test_rows_of_the_catalog(self, run_cli, letters_tree, table, column, value):
        catalog = letters_tree / "catalog.sqlite"
        sound = catalog.read_bytes()
        gc.collect()  # once, under load, the catalog was locked here: perhaps by what a command had left open
        try:
            with closing(sqlite3.connect(catalog, timeout=30)) as connection:
                names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
                try:
                    with connection:
                        connection.execute(f"UPDATE {table} SET {names[column % len(names)]} = ?", (value,))
                except (sqlite3.IntegrityError, UnicodeEncodeError):
                    return
            for command in (["inspect"], ["ask", "Where is the compass?", "--no-answer"], ["verify"], ["ingest", "."]):
                done = run_cli(*command)
                assert done.code != 1, (table, names[column % len(names)], value, command, done.err)
        finally:
            catalog.write_bytes(sound)
            for rest in letters_tree.glob("catalog.sqlite-*"):
                rest.unlink()

    @given(st.binary(max_size=400))
    @example(b"\xff\xfe\x00\xd8")
    @example(b"\x1f\x8b\x08\x00")
    @QUICK
    def test_files(self, run_cli, project, data):
        (project / "x.txt").write_bytes(data)
        (project / "x.py").write_bytes(data)
        done = run_cli("ingest", "x.txt", "x.py", "--dry-run")
        assert done.code in (0, 6), (data, done.err)
