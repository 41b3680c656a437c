"""The program in shell pipelines: real shells, real pipes, jq."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from ask_contract import COMPASS

ASK = f"mctool ask '{COMPASS}' --no-answer --json"


@pytest.fixture
def tree(letters_tree):
    return letters_tree


def test_an_answer_through_jq(tree, shell):
    line = "mctool ask 'compass swordfish zeppelin' --json --max-new-tokens 5 | jq -r '{fields}'"
    fields = "[.answer, .usage.prompt_tokens > 0, .seconds.total > .seconds.first_token] | @tsv"
    answer, has_read, has_times = shell.out(line.format(fields=fields), needs=["jq"]).rstrip("\n").split("\t")
    assert answer
    assert (has_read, has_times) == ("true", "true")


def test_questions_and_documents_from_pipes(tree, shell, tmp_path):
    cited = "jq -r '.citations[0] | \"\\(.path):\\(.start_line)\"'"
    assert shell.out(f"{ASK} | {cited}", needs=["jq"]).startswith("letters.txt:")
    asked = f"echo 'What is the password?' | mctool ask - --no-answer --json | {cited}"
    assert shell.out(asked).startswith("windows.txt:")
    document = f"cat letters.txt | mctool ask -f - '{COMPASS}' --no-answer --json | {cited}"
    assert shell.out(document, MCTOOL_CACHE=str(tmp_path / "cache")).startswith("stdin:")
    many = (
        """jq -nc '["compass", "zeppelin"] | to_entries[] | {id: .key, question: .value}' """
        "| mctool ask --questions - --no-answer --json | jq -c '[.id, .citations[0].path]'"
    )
    assert shell.out(many).splitlines() == ['[0,"letters.txt"]', '[1,"bom.txt"]']


def test_names_of_files_from_other_programs(project, shell):
    (project / "a b.txt").write_text("The compass lies here.\n")
    (project / "c.txt").write_text("The anchor lies there.\n")
    made = shell.out("find . -name '*.txt' -print0 | xargs -0 mctool ingest --json | jq .documents.added", needs=["jq"])
    assert made == "2\n"
    listed = shell.out("mctool inspect --json | jq -r '.documents[].path' | sort")
    assert listed == "a b.txt\nc.txt\n"


@pytest.mark.parametrize(
    "line",
    [
        "mctool inspect | head -1",
        f"{ASK} | head -c 10",
        "mctool config show --all | head -1",
        'for n in 1 2 3; do echo \'{"question": "compass"}\'; done | '
        "mctool ask --questions - --no-answer --json | head -c 10",
        "mctool ask compass --trace - --no-answer | head -1",
        "mctool --help | head -1",
    ],
)
def test_a_reader_that_has_enough_ends_everything_quietly(tree, shell, line):
    done = shell.run(f"set -o pipefail; {line}")
    assert (done.returncode, done.stderr) == (0, "")


def test_exit_codes_reach_the_shell(tree, shell):
    for arguments, code in [
        ("ask Why? -t nowhere", 3),
        ("ask", 2),
        ("ingest nowhere", 6),
        ("ask Qwertzuiop? --no-answer", 0),
        ("ask Why? --model ./nowhere", 5),
    ]:
        assert shell.run(f"mctool {arguments}").returncode == code, arguments
    done = shell.run("mctool ask Why? -t nowhere --json | jq .answer", needs=["jq"])
    assert done.stdout == ""
    assert done.stderr.startswith("mctool: ")


def test_closed_streams(tree, shell):
    lines = ["mctool ask - --no-answer <&-", "mctool ingest - <&- >/dev/null", "mctool inspect >&-"]
    done = shell.run("; ".join(f"{line}; echo $?" for line in lines))
    assert done.stdout.split() == ["2", "6", "0"]
    assert [line for line in done.stderr.splitlines() if line.startswith("mctool: ")] == [
        "mctool: the question is empty; ask something",
        "mctool: the input stream is empty; pipe some text into it",
    ]


def test_a_working_directory_that_is_gone(project, shell):
    done = shell.run("mkdir gone; cd gone; rmdir ../gone; mctool inspect")
    assert done.returncode == 2
    assert "the working directory does not exist any more" in done.stderr


def test_quiet_and_json_keep_stderr_empty(tree, shell):
    done = shell.run(f"{ASK} -q >/dev/null; mctool ingest . -q --json > /dev/null; MCTOOL_QUIET=1 mctool verify")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def in_terminal(command, environment):
    """What a command prints on a terminal; stdout and stderr are that terminal."""
    outer, inner = pty.openpty()
    with subprocess.Popen(command, stdout=inner, stderr=inner, env=os.environ | environment) as process:
        os.close(inner)
        parts = []
        try:
            while part := os.read(outer, 65536):
                parts.append(part)
        except OSError:  # the other end is closed
            pass
        os.close(outer)
        return process.wait(60), b"".join(parts)


MODULE = [sys.executable, "-m", "mctool"]


@pytest.mark.parametrize("command", [["inspect"], ["ask", COMPASS, "--no-answer", "--show-focus"], ["ingest", "."]])
def test_terminals(tree, command):
    code, plain = in_terminal([*MODULE, *command], {"TERM": "dumb"})
    assert code == 0
    assert b"\x1b" not in plain
    code, uncoloured = in_terminal([*MODULE, *command], {"TERM": "xterm-256color", "NO_COLOR": "1"})
    assert code == 0
    assert not any(f"\x1b[{colour}".encode() in uncoloured for colour in (*range(30, 38), *range(90, 98)))


def test_colours_are_there_where_they_can_be(tree):
    _, shown = in_terminal([*MODULE, "inspect"], {"TERM": "xterm-256color"})
    assert b"\x1b[" in shown


def asked(number, question):
    return (json.dumps({"id": number, "question": question}) + "\n").encode()


def test_each_question_of_a_pipe_is_answered_before_the_next_is_read(tree):
    command = [*MODULE, "ask", "--questions", "-", "--json", "--no-answer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        cited = []
        for number, question in enumerate([COMPASS, "zeppelin"]):
            process.stdin.write(asked(number, question))
            process.stdin.flush()
            result = json.loads(process.stdout.readline())  # waits for ever where the answer waits for more input
            assert result["id"] == number
            cited.append(result["citations"][0]["path"])
        assert process.poll() is None
        process.stdin.close()
        assert (process.stdout.read(), process.wait(60)) == (b"", 0)
    assert cited == ["letters.txt", "bom.txt"]


def test_questions_through_a_named_pipe(tree, tmp_path):
    os.mkfifo(tmp_path / "asked")
    command = [*MODULE, "ask", "--questions", str(tmp_path / "asked"), "--no-answer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        with (tmp_path / "asked").open("wb", buffering=0) as pipe:
            for question in (COMPASS, "zeppelin"):
                pipe.write(asked(None, question))
                head = f"# {question}\n".encode()
                assert any(line == head for line in iter(process.stdout.readline, b""))
            pipe.close()
            process.stdout.read()
        assert process.wait(60) == 0


def test_an_interrupt_ends_with_130_and_without_a_word(tree):
    with subprocess.Popen([*MODULE, "ask", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(4)  # by now it waits for the question
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""


def test_an_interrupt_while_the_program_is_loaded(monkeypatch):
    from mctool.__main__ import run

    class Interrupting:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "mctool.cli", Interrupting())
    assert run() == 130
