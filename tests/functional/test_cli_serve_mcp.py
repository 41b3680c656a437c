"""``mctool serve --mcp``, driven by the client of the MCP SDK."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest
from ask_contract import COMPASS, SOURCES
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters


@pytest.fixture
def server(project):
    return StdioServerParameters(
        command=sys.executable, args=["-m", "mctool", "serve", "--mcp"], env=dict(os.environ), cwd=project
    )


def test_all_tools(server, project):
    for name, content in SOURCES.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(content)
    asyncio.run(use_all_tools(server))


async def use_all_tools(server):
    async with Client(server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"ask", "focus", "read", "ingest"}
        assert all(tool.description for tool in tools.values())

        async def call(name, **arguments):
            return await client.call_tool(name, arguments)

        done = await call("ask", question=COMPASS)
        assert done.is_error
        assert "there is no .mctool" in done.content[0].text

        done = await call("ingest", sources=["."])
        assert not done.is_error
        assert done.structured_content["documents"]["added"] == len(SOURCES)

        found = (await call("focus", question=COMPASS)).structured_content
        assert found["citations"][0]["path"] == "letters.txt"
        assert "emerald compass" in found["citations"][0]["text"]
        only = (await call("focus", question="password pier", path="windows.txt")).structured_content
        assert {cited["path"] for cited in only["citations"]} == {"windows.txt"}

        answered = (await call("ask", question=COMPASS)).structured_content
        assert answered["answer"]
        assert any("emerald compass" in cited["text"] for cited in answered["citations"] + answered["nearest"])

        lines = (await call("read", path="letters.txt", start_line=151, end_line=151)).structured_content
        assert lines["text"] == "The captain hid the emerald compass under the third stair."

        for name, arguments, told in [
            ("read", {"path": "nowhere.txt"}, "no document nowhere.txt"),
            ("ask", {"question": " "}, "the question is empty"),
            ("ingest", {"sources": ["nowhere"]}, "nowhere does not exist"),
            ("ingest", {"sources": ["/"]}, "holds your home"),
            ("focus", {"question": COMPASS, "path": "*.rs"}, "matches no document"),
        ]:
            done = await call(name, **arguments)
            assert done.is_error, name
            assert told in done.content[0].text


def test_the_end_of_input_ends_the_server(project):
    command = [sys.executable, "-m", "mctool", "serve", "--mcp"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_interrupt_ends_the_server(project):
    command = [sys.executable, "-m", "mctool", "serve", "--mcp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        request = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline()  # now it waits for more
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
