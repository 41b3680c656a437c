"""Files that change: what ``ask`` tells, ``ask --refresh``, ``ingest --watch``, and sources that need ``--yes``."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from ask_contract import COMPASS, SOURCES

from mctool.app import guard
from mctool.tree import Tree


@pytest.fixture
def tree(letters_tree):
    return letters_tree


FOCUS = ("--no-answer", "--json")


class TestStale:
    """What ``ask`` tells about files that changed."""

    def test_changed_and_missing_files_are_told(self, tree, run_cli, project):
        assert run_cli("ask", COMPASS, *FOCUS).err == ""
        (project / "bom.txt").write_text("other")
        (project / "windows.txt").unlink()
        done = run_cli("ask", COMPASS, *FOCUS)
        assert sorted(done.json["tree"]["stale"]) == ["bom.txt", "windows.txt"]
        told = "2 documents changed since the last ingest (bom.txt, windows.txt); ask with --refresh"
        assert told in done.err
        assert told in run_cli("ask", COMPASS, "--no-answer").err
        assert run_cli("ask", COMPASS, "-q", *FOCUS).err == ""

    def test_it_is_told_once_for_many_questions(self, tree, run_cli, project):
        (project / "bom.txt").write_text("other")
        lines = (json.dumps({"question": COMPASS}) + "\n") * 3
        done = run_cli("ask", "--questions", "-", *FOCUS, stdin=lines.encode())
        assert done.err.count("changed since the last ingest") == 1

    def test_content_decides_where_only_the_time_differs(self, tree, run_cli, project):
        file = project / "bom.txt"
        os.utime(file, ns=(1, 1))
        assert run_cli("ask", COMPASS, *FOCUS).json["tree"]["stale"] == []
        file.write_bytes(bytes(reversed(SOURCES["bom.txt"])))
        assert run_cli("ask", COMPASS, *FOCUS).json["tree"]["stale"] == ["bom.txt"]

    def test_a_directory_in_the_place_of_a_file(self, tree, run_cli, project):
        (project / "bom.txt").unlink()
        (project / "bom.txt").mkdir()
        assert run_cli("ask", COMPASS, *FOCUS).json["tree"]["stale"] == ["bom.txt"]


class TestRefresh:
    """``ask --refresh``."""

    def test_changed_documents_are_read_and_missing_ones_retired(self, tree, run_cli, project, monkeypatch):
        (project / "windows.txt").write_text("The password is barracuda.\n" * 3)
        (project / "bom.txt").unlink()
        (project / "new.txt").write_text("The new file is about a parrot.\n")
        (project / "elsewhere").mkdir()
        monkeypatch.chdir(project / "elsewhere")
        result = run_cli("ask", "What is the password?", "--refresh", *FOCUS).json
        assert "barracuda" in result["citations"][0]["text"]
        assert result["tree"]["stale"] == []
        with Tree.open(tree) as opened:
            assert {document.path for document in opened.documents} == {"new.txt", *SOURCES} - {"bom.txt"}
            assert opened.history()[-1].sources == ["(refresh)"]
        assert run_cli("verify").code == 0

    def test_what_is_new_is_chosen_as_it_was(self, run_cli, project, monkeypatch):
        for name in ("src/a.py", "docs/a.md", "docs/old/b.md", "c.txt"):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(f"This is {name}.\n")
        monkeypatch.chdir(project / "src")
        assert run_cli("ingest", ".", "-t", project / ".mctool", "--include", "*.py").code == 0
        assert run_cli("ingest", "../docs", "-t", project / ".mctool", "--exclude", "old").code == 0
        assert run_cli("ingest", "../c.txt", "-t", project / ".mctool").code == 0
        for name in ("src/new.py", "src/new.md", "docs/new.md", "docs/old/new.md", "new.txt"):
            (project / name).write_text(f"This is {name}.\n")
        monkeypatch.chdir(project)
        assert run_cli("ask", "new", "--refresh", *FOCUS).code == 0
        with Tree.open(project / ".mctool") as opened:
            paths = {document.path for document in opened.documents}
            history = [past.sources for past in opened.history()]
        assert paths == {"src/a.py", "src/new.py", "docs/a.md", "docs/new.md", "c.txt"}
        assert history == [["src", "--include=*.py"], ["docs", "--exclude=old"], ["c.txt"], ["(refresh)"]]

    def test_nothing_changed_commits_nothing(self, tree, run_cli):
        with Tree.open(tree) as before:
            generation = before.generation
        assert run_cli("ask", COMPASS, "--refresh", *FOCUS).code == 0
        with Tree.open(tree) as after:
            assert after.generation == generation

    def test_standard_input_and_what_cannot_be_read_stay(self, tree, run_cli, project):
        run_cli("ingest", "-", "--name", "chat.md", stdin=b"The parrot is called Polly.\n")
        (project / "code").rename(project / "kept")
        (project / "code").symlink_to(project / "code")  # a loop: no telling what was there
        result = run_cli("ask", "What is the parrot called?", "--refresh", *FOCUS).json
        assert result["citations"][0]["path"] == "chat.md"
        with Tree.open(tree) as opened:
            assert "code/reader.py" in [document.path for document in opened.documents]

    def test_what_became_binary_is_told_and_retired(self, tree, run_cli, project):
        (project / "bom.txt").write_bytes(bytes(range(256)) * 9)
        done = run_cli("ask", COMPASS, "--refresh", *FOCUS)
        assert done.code == 0
        assert "not refreshed: bom.txt cannot be ingested" in done.err
        with Tree.open(tree) as opened:
            assert "bom.txt" not in [document.path for document in opened.documents]

    def test_without_a_tree(self, run_cli, project):
        assert run_cli("ask", COMPASS, "--refresh").code == 3


class TestGuardRails:
    """What needs ``--yes``."""

    def test_home_and_what_holds_it(self, run_cli, project, monkeypatch):
        (project / "a.txt").write_text("Some text.\n")
        monkeypatch.setenv("HOME", str(project))
        done = run_cli("ingest", ".")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert ". is your home directory; name directories in it, or add --yes" in done.err
        assert "/ is a directory that holds your home" in run_cli("ingest", "/").err
        assert "is a directory that holds your home" in run_cli("ask", "Why?", "-f", project.parent).err
        assert not (project / ".mctool").exists()
        assert run_cli("ingest", "a.txt").code == 0
        assert run_cli("ingest", ".", "--yes", "--json").json["documents"]["unchanged"] == 1

    def test_too_many_files_or_bytes(self, run_cli, project, monkeypatch):
        for number in range(3):
            (project / f"{number}.txt").write_text("Some text.\n")
        monkeypatch.setattr(guard, "MAX_FILES", 2)
        done = run_cli("ingest", ".")
        assert done.code == 2
        assert "there are 3 files of 0.0 GB to read (more than 2 files or 1 GB)" in done.err
        assert not (project / ".mctool").exists()
        assert run_cli("ingest", ".", "--dry-run").code == 0
        assert run_cli("ingest", "0.txt", "1.txt").code == 0
        assert run_cli("ingest", ".").code == 0  # only one is left to read
        monkeypatch.setattr(guard, "MAX_BYTES", 10)
        (project / "0.txt").write_text("Some longer text.\n")
        assert run_cli("ingest", ".").code == 2
        assert run_cli("ingest", ".", "-y").code == 0


class Watching:
    """A process that watches; its results come as JSON lines."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mctool", "ingest", *arguments, "--watch", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def next_counts(self):
        documents = json.loads(self.process.stdout.readline())["documents"]
        return tuple(documents[name] for name in ("added", "updated", "unchanged", "retired"))

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


class TestWatch:
    """``ingest --watch``."""

    def test_it_follows_changes_until_interrupted(self, run_cli, project):
        docs = project / "docs"
        docs.mkdir()
        (docs / "a.txt").write_text("The compass is here.\n")
        (project / "b.txt").write_text("A file of its own.\n")
        watching = Watching("docs", "b.txt")
        try:
            assert watching.next_counts() == (2, 0, 0, 0)
            (docs / "new.txt").write_text("Another file.\n")
            assert watching.next_counts() == (1, 0, 2, 0)
            (project / "b.new").write_text("The file was replaced.\n")
            (project / "b.new").rename(project / "b.txt")  # as editors do
            assert watching.next_counts() == (0, 1, 2, 0)
            (project / "unrelated.txt").write_text("Not a source.\n")
            (docs / "a.txt").unlink()
            assert watching.next_counts() == (0, 0, 2, 1)
        finally:
            code, err = watching.stop()
        assert code == 130
        assert "waiting for changes; end with Ctrl-C" in err
        assert "Traceback" not in err
        assert run_cli("verify").code == 0

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            (["-"], 2, "standard input"),
            (["nowhere"], 6, "does not exist"),
            ([".", "--dry-run"], 2, "--dry-run"),
        ],
    )
    def test_what_cannot_be_watched(self, run_cli, project, arguments, code, told):
        done = run_cli("ingest", *arguments, "--watch")
        assert (done.code, done.out) == (code, "")
        assert told in done.err

    def test_without_watchfiles(self, run_cli, project, monkeypatch):
        monkeypatch.setitem(sys.modules, "watchfiles", None)
        done = run_cli("ingest", ".", "--watch")
        assert done.code == 8
        assert 'pip install "mctool[watch]"' in done.err


def test_a_busy_tree_is_tried_again(project, run_cli, monkeypatch):
    """What a watching ingest cannot do now, it does when it can."""
    from mctool.app import ingest, watch
    from mctool.core.errors import TreeBusyError

    (project / "a.txt").write_text("Some text.\n")
    tries = []
    run = ingest.ingest

    def busy_once(*arguments):
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise TreeBusyError("another process is writing", "wait")
        return run(*arguments)

    monkeypatch.setattr(ingest, "ingest", busy_once)
    monkeypatch.setattr(watch, "watch_sources", lambda _config: iter([False, False, False]))
    done = run_cli("ingest", "a.txt", "--watch")
    assert done.code == 0
    assert len(tries) == 2
    assert "another process is writing" in done.err
    assert "1 new" in done.out
