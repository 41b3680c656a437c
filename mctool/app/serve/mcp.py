"""The MCP server over standard input and output: tools ingest, ask, focus and read."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from mctool.app.serve.service import Service
from mctool.core.errors import MctoolError
from mctool.core.records import AskReport, Citation
from mctool.version import __version__

T = TypeVar("T")
_INSTRUCTIONS = """Answers questions about the documents of one MegaContext Tree, each answer with the exact lines it
rests on. `focus` finds the passages for a question without writing an answer, `ask` lets a small local model answer,
`read` gives lines of a document, `ingest` takes in files and directories or brings them up to date."""

Question = Annotated[str, Field(description="What is asked, as a whole sentence.")]
PathGlob = Annotated[str | None, Field(description="Search only documents whose path matches this glob.")]


def serve_mcp(service: Service) -> None:
    """Serve until standard input ends, or until Ctrl-C.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C; the request that was worked on is done.
    """
    interrupted = False

    def end_input(_signal: int, _frame: object) -> None:
        nonlocal interrupted
        interrupted = True
        os.write(wake, b"!")

    end, wake = os.pipe()
    # A thread that waits for input cannot be stopped, so input has to end.
    sys.stdin = io.TextIOWrapper(io.BufferedReader(_EndableInput(sys.stdin.fileno(), end)))
    before = signal.signal(signal.SIGINT, end_input)
    try:
        make_server(service).run("stdio")
    finally:
        signal.signal(signal.SIGINT, before)
        service.close()
    if interrupted:
        raise KeyboardInterrupt


class _EndableInput(io.RawIOBase):
    """A file descriptor that reads as ended once another one has something to read."""

    def __init__(self, source: int, end: int) -> None:
        self._source, self._end = source, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        ready, _, _ = select.select([self._source, self._end], [], [])
        if self._end in ready:
            return 0
        data = os.read(self._source, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def make_server(service: Service) -> MCPServer[Any]:
    """The server with its tools."""
    server: MCPServer[Any] = MCPServer("mctool", instructions=_INSTRUCTIONS, version=__version__, log_level="WARNING")
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    async def done(call: Callable[[], T]) -> T:
        """What a call gives; an error of mctool is told to the client."""
        try:
            return await service.run(call)
        except MctoolError as error:
            raise ToolError(str(error)) from error

    @server.tool(annotations=reads)
    async def ask(question: Question, path: PathGlob = None) -> dict[str, Any]:
        """Answer a question about the documents, with citations; says so when they do not hold an answer."""
        report = await done(lambda: service.ask(question, replace(service.config.ask, path_glob=path)))
        return {"answer": report.answer, "supported": report.supported, **_passages(report)}

    @server.tool(annotations=reads)
    async def focus(question: Question, path: PathGlob = None) -> dict[str, Any]:
        """Find the passages of the documents that a question is about, best first, without writing an answer."""
        config = replace(service.config.ask, path_glob=path, max_new_tokens=0)
        report = await done(lambda: service.ask(question, config))
        return {"supported": report.supported, **_passages(report)}

    @server.tool(annotations=reads)
    async def read(
        path: Annotated[str, Field(description="Path of a document, as in a citation.")],
        start_line: Annotated[int, Field(ge=1, description="First line, from 1.")] = 1,
        end_line: Annotated[int, Field(ge=1, description="Last line, inclusive.")] = 100,
    ) -> dict[str, Any]:
        """Lines of a document as it was ingested."""
        return (await done(lambda: service.read(path, start_line, end_line))).to_json()

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True, open_world_hint=False))
    async def ingest(
        sources: Annotated[list[str], Field(min_length=1, description="Files and directories on this machine.")],
    ) -> dict[str, Any]:
        """Take files and directories into the tree, or bring them up to date; only what changed is read."""
        report = await done(lambda: service.ingest(sources))
        documents = report.documents.to_json()
        documents["skipped"] = len(report.documents.skipped)
        return {
            "tree": report.tree,
            "documents": documents,
            "tokens": report.tokens,
            "tokens_added": report.tokens_added,
        }

    return server


def _passages(report: AskReport) -> dict[str, Any]:
    return {
        "citations": [_place(citation) for citation in report.citations],
        "nearest": [_place(citation) for citation in report.nearest],
        "stale": report.tree.stale,
    }


def _place(citation: Citation) -> dict[str, Any]:
    return {name: getattr(citation, name) for name in ("path", "start_line", "end_line", "text")}
