"""``mctool serve``: the HTTP server, asked by curl's like and by a real process."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import httpx
import pytest
from ask_contract import COMPASS, assert_refused

PASSWORD = "What is the password?"


def chat(*said, **more):
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(said)]
    return {"messages": messages, "max_tokens": 4} | more


@pytest.fixture
def tree(letters_tree):
    return letters_tree


@pytest.fixture
def serve(tree):
    """Start servers; they are stopped at the end."""
    started = []

    def start(*options, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "mctool", "serve", "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | variables,
        )
        started.append(process)
        line = process.stderr.readline()
        found = re.search(r"http://(\S+):(\d+)/v1", line)
        assert found, line + process.stderr.read()
        return process, f"http://127.0.0.1:{found[2]}"

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def events_of(text):
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_everything_that_a_client_may_ask(serve, tree, tiny_model_dir):
    process, base = serve()
    name = tiny_model_dir.name
    with httpx.Client(base_url=base, timeout=60) as client:
        assert client.get("/healthz").json() == {"status": "ok", "model": name}
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [name]
        assert client.get(f"/v1/models/{name}").json()["object"] == "model"

        done = client.post("/v1/chat/completions", json=chat(COMPASS, model=name))
        assert done.status_code == 200
        whole = done.json()
        assert whole["object"] == "chat.completion"
        assert whole["choices"][0]["message"]["role"] == "assistant"
        report = whole["mctool"]
        assert whole["choices"][0]["message"]["content"] == report["answer"]
        assert any("emerald compass" in cited["text"] for cited in report["citations"] + report["nearest"])
        usage = whole["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 4
        assert whole["choices"][0]["finish_reason"] == ("length" if usage["completion_tokens"] == 4 else "stop")

        streamed = chat(COMPASS, stream=True, stream_options={"include_usage": True})
        done = client.post("/v1/chat/completions", json=streamed)
        assert done.headers["content-type"].startswith("text/event-stream")
        events = events_of(done.text)
        assert {event["object"] for event in events} == {"chat.completion.chunk"}
        assert len({event["id"] for event in events}) == 1
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1])
        assert text == whole["choices"][0]["message"]["content"]
        assert events[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
        assert events[-1]["usage"] == usage

        lean = client.post("/v1/chat/completions", json=chat(PASSWORD, "swordfish", "Why so?")).json()["mctool"]
        assert any("swordfish" in cited["text"] for cited in lean["citations"] + lean["nearest"])

        check_refusals(client)
        check_a_new_ingest_is_seen(client, tree)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read() == ""


def check_refusals(client):
    for body, status, code in [
        (b"{", 400, "usage"),
        (b"[]", 400, "usage"),
        (b'{"messages": []}', 400, "usage"),
        (json.dumps(chat("Why? " * 3000)).encode(), 400, "budget-too-small"),
        (json.dumps(chat("Why? " * 3000, stream=True)).encode(), 400, "budget-too-small"),
        (json.dumps(chat(COMPASS, model="gpt-9")).encode(), 404, "model_not_found"),
        (b" " * 1_000_001, 413, "too-large"),
    ]:
        done = client.post("/v1/chat/completions", content=body)
        error = done.json()["error"]
        assert (done.status_code, error["code"], error["type"]) == (status, code, "invalid_request_error")
        assert error["message"]
    assert client.get("/v1/nowhere").status_code == 404
    assert client.get("/v1/chat/completions").json()["error"]["code"] == "not-found"
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert client.get("/v1/models", headers=headers).status_code == 403
    assert client.get("/v1/models", headers={"Origin": "http://localhost:3000"}).status_code == 200


def check_a_new_ingest_is_seen(client, tree):
    (tree.parent / "parrot.txt").write_text("The parrot is called Polly.\n")
    subprocess.run([sys.executable, "-m", "mctool", "ingest", "parrot.txt", "-q"], check=True, cwd=tree.parent)
    report = client.post("/v1/chat/completions", json=chat("What is the parrot called?")).json()["mctool"]
    assert "parrot.txt" in [cited["path"] for cited in report["citations"] + report["nearest"]]


def test_a_token_and_requests_at_the_same_time(serve):
    _, base = serve("--host", "0.0.0.0", MCTOOL_TOKEN="open-sesame")
    assert httpx.get(f"{base}/healthz", timeout=60).status_code == 200
    for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": "Bearer \xe9"}):
        done = httpx.get(f"{base}/v1/models", headers={k: v.encode("latin-1") for k, v in headers.items()}, timeout=60)
        assert (done.status_code, done.headers["www-authenticate"]) == (401, "Bearer")
    answers = {}

    def ask(question):
        headers = {"Authorization": "Bearer open-sesame", "Host": "anything.example"}
        done = httpx.post(f"{base}/v1/chat/completions", json=chat(question), headers=headers, timeout=60)
        answers[question] = done.json()["mctool"]["question"]

    threads = [threading.Thread(target=ask, args=[question]) for question in (COMPASS, PASSWORD, "zeppelin")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {question: question for question in (COMPASS, PASSWORD, "zeppelin")}


def test_a_client_that_leaves_stops_its_answer(serve):
    _, base = serve()
    with httpx.Client(base_url=base, timeout=60) as client:
        long = chat(COMPASS, stream=True, max_tokens=1000, temperature=1)
        with client.stream("POST", "/v1/chat/completions", json=long) as streamed:
            next(streamed.iter_lines())
        assert client.post("/v1/chat/completions", json=chat(PASSWORD)).status_code == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(serve, shell):
    _, base = serve()
    line = f"curl -sf {base}/v1/chat/completions -d '{json.dumps(chat(PASSWORD))}' | jq -r .choices[0].message.role"
    assert shell.out(line, needs=["jq"]) == "assistant\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "open to other machines; set a token"),
        (["--host", "example.org"], "open to other machines"),
        (["--port", "70000"], "--port 70000"),
        (["--token", "é"], "--token"),
        (["--mcp", "--port", "1"], "--mcp speaks over standard input"),
        (["--lens", "psychic"], "--lens psychic"),
    ],
)
def test_what_is_not_served(tree, run_cli, arguments, told):
    assert_refused(run_cli("serve", *arguments), 2, told)


def test_a_port_that_is_taken(serve, run_cli):
    _, base = serve()
    port = base.rpartition(":")[2]
    assert_refused(run_cli("serve", "--port", port, "-q"), 2, "cannot listen on --host 127.0.0.1")


def test_without_a_tree_or_the_extra(project, run_cli, monkeypatch):
    assert_refused(run_cli("serve"), 3, "mctool ingest")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_refused(run_cli("serve"), 8, 'pip install "mctool[serve]"')


def test_tokens_are_not_shown(run_cli, project, monkeypatch):
    monkeypatch.setenv("MCTOOL_TOKEN", "open-sesame")
    done = run_cli("config", "show", "--json")
    assert "open-sesame" not in done.out
    assert "open-sesame" not in run_cli("serve", "--help").out
