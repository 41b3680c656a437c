"""``mctool chat``, from a pipe and on a terminal."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from ask_contract import COMPASS, assert_refused, assert_sound

PASSWORD = "What is the password?"
SHORT = ("--max-new-tokens", 4)


@pytest.fixture
def tree(letters_tree):
    return letters_tree


def lines(*said):
    return "".join(f"{line}\n" for line in said).encode()


def test_each_line_of_a_pipe_is_a_question(tree, run_cli, monkeypatch):
    from mctool.nets.base_model import BaseModel

    loads = []
    load = BaseModel.load
    monkeypatch.setattr(BaseModel, "load", lambda *arguments: loads.append(1) or load(*arguments))
    done = run_cli("chat", "--json", *SHORT, stdin=lines(COMPASS, "", PASSWORD, "/quit", "never asked"))
    assert (done.code, done.err) == (0, "")
    results = [json.loads(line) for line in done.out.splitlines()]
    assert [result["question"] for result in results] == [COMPASS, PASSWORD]
    for result in results:
        assert_sound(result)
    assert loads == [1]


def test_a_question_may_lean_on_the_one_before(tree, run_cli):
    """The lens looks for the words of both, and the prompt holds both; a question that stands for itself does not."""
    results = [
        json.loads(line)
        for line in run_cli(
            "chat", "--json", *SHORT, stdin=lines(PASSWORD, "Why so?", COMPASS)
        ).out.splitlines()
    ]  # fmt: skip
    alone = run_cli("ask", "Why so?", "--json", *SHORT).json
    assert not any("swordfish" in cited["text"] for cited in alone["citations"] + alone["nearest"])
    assert results[1]["question"] == "Why so?"
    assert any("swordfish" in cited["text"] for cited in results[1]["citations"] + results[1]["nearest"])
    compass = run_cli("ask", COMPASS, "--json", *SHORT).json
    assert results[2]["usage"] == compass["usage"]
    assert results[2]["citations"] == compass["citations"]


def test_commands(tree, run_cli):
    said = lines("compass swordfish zeppelin", "/why", "/focus", "/open letters.txt:151", "/open 1", "/help")
    done = run_cli("chat", *SHORT, stdin=said)
    assert (done.code, done.err.count("internal")) == (0, 0)
    assert re.search(r"\[1\] \S+:\d+-\d+  worth -?\d+\.\d+ nats", done.out) or "Nearest passages" in done.out
    assert "Focus after " in done.out
    assert ">   151  The captain hid the emerald compass under the third stair." in done.out
    assert "    143  Letter 142:" in done.out
    assert "/open PATH:LINE" in done.out


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("/focus", "nothing was asked yet"),
        ("/why", "nothing was asked yet"),
        ("/open 1", "nothing was asked yet"),
        ("/open", "/open needs a place"),
        ("/open letters.txt:9999", "has 301 lines, none is 9991"),
        ("/open nowhere.txt:1", "no document nowhere.txt"),
        ("/dance", "there is no command /dance"),
    ],
)
def test_from_a_pipe_what_makes_no_sense_ends_it(tree, run_cli, said, told):
    assert_refused(run_cli("chat", stdin=lines(said)), 2, told)


def test_files_instead_of_a_tree(project, run_cli, monkeypatch, tmp_path):
    monkeypatch.setenv("MCTOOL_CACHE", str(tmp_path / "cache"))
    (project / "a.txt").write_text("The compass lies under the stair.\n")
    done = run_cli("chat", "-f", "a.txt", "--json", *SHORT, stdin=lines("Where is the compass?"))
    assert done.json["tree"]["documents"] == 1
    assert_refused(run_cli("chat", "-f", "-", stdin=b""), 2, "standard input")
    assert_refused(run_cli("chat", stdin=b"Why?\n"), 3)


class Terminal:
    """A conversation on a pseudo-terminal."""

    def __init__(self, environment):
        self.outer, inner = pty.openpty()
        command = [sys.executable, "-m", "mctool", "chat", "--max-new-tokens", "4"]
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(inner)
        self.seen = ""

    def wait_for(self, text):
        """Read until the text has come since the last call."""
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.outer], [], [], 1)[0]:
                self.seen += os.read(self.outer, 65536).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]

    def wait_for_prompt(self):
        """Until readline listens: it shows its prompt just before, and Ctrl-C in between waits for the next key."""
        self.wait_for("> ")
        time.sleep(0.5)

    def say(self, keys):
        os.write(self.outer, keys)


def test_on_a_terminal(tree, tmp_path):
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "dumb"}
    terminal = Terminal(environment)
    terminal.wait_for("/help tells what else can be done")
    terminal.wait_for_prompt()
    terminal.say(b"half a quest\x03")  # Ctrl-C gives the line up
    terminal.wait_for_prompt()
    terminal.say(b"/dance\n")
    terminal.wait_for("there is no command /dance")
    terminal.say(b"emerald compass\n")
    terminal.wait_for("letters.txt:")
    terminal.wait_for("> ")
    terminal.say(b"\x04")  # Ctrl-D
    assert terminal.process.wait(30) == 0
    os.close(terminal.outer)
    history = (tmp_path / "state" / "mctool" / "chat_history").read_text()
    assert "emerald compass" in history


def test_an_interrupted_answer_returns_to_the_prompt(tree, run_cli, monkeypatch):
    from mctool.app.ask import Reader

    asked = []
    ask = Reader.ask

    def interrupted_once(self, question, *arguments):
        asked.append(question)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return ask(self, question, *arguments)

    typed = iter([COMPASS, PASSWORD])
    monkeypatch.setattr(Reader, "ask", interrupted_once)
    monkeypatch.setattr("builtins.input", lambda _prompt: next(typed, "/quit"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    done = run_cli("chat", "--json", *SHORT)
    assert done.code == 0
    assert asked == [COMPASS, PASSWORD]
    assert json.loads(done.out.strip().splitlines()[-1])["question"] == PASSWORD
