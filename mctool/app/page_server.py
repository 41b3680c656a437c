"""The page of a tree, live: a server for the browser on this machine, which reads text when it is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from mctool.app.page_text import text_of_range
from mctool.app.page_tokens import with_tokens
from mctool.core.errors import ResourceError
from mctool.core.page import Page
from mctool.nets.tokenizer import TextTokenizer
from mctool.render.html_page import render_page
from mctool.tree import Tree

LOOPBACK = "127.0.0.1"
MOST_TOKENS = 32_768
"""Longest range of one request for text."""


@contextmanager
def page_server(page: Page, tree: Tree, port: int, tokenizer: TextTokenizer | None = None) -> Iterator[HTTPServer]:
    """A server on the loopback interface; ``serve_forever`` answers one request after the other.

    ``/`` is the page; ``/text?start=TOKEN&end=TOKEN`` the text of the blocks in a range, as JSON. Only requests to
    this very address are answered, so that no other site can read the tree through a name that it points here.

    Args:
        page: What is shown.
        tree: Where text comes from; stays open.
        port: 0 for any that is free.
        tokenizer: That of the tree, to tell tokens apart.

    Raises:
        ResourceError: The port is taken.
    """
    body = render_page(page, is_live=True).encode()

    class Handler(BaseHTTPRequestHandler):
        """Answers for one page."""

        def do_GET(self) -> None:
            """Answer one request."""
            address = urlsplit(self.path)
            if self.headers.get("Host") not in (f"{LOOPBACK}:{port_in_use}", f"localhost:{port_in_use}"):
                self.send_error(HTTPStatus.FORBIDDEN)
            elif address.path == "/":
                self._send(body, "text/html; charset=utf-8")
            elif address.path == "/text" and (tokens := _range(address.query)) is not None:
                texts = text_of_range(tree, *tokens)
                if tokenizer is not None:
                    texts = [with_tokens(tree, tokenizer, text) for text in texts]
                self._send(json.dumps([text.to_json() for text in texts]).encode(), "application/json")
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _send(self, content: bytes, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

    try:
        server = HTTPServer((LOOPBACK, port), Handler)
    except OSError as error:
        raise ResourceError(f"cannot serve on port {port}: {error.strerror}", "name another --port") from error
    port_in_use = server.server_address[1]
    with server:
        yield server


def _range(query: str) -> tuple[int, int] | None:
    """The tokens that a request names; None where it names no range of a bearable length."""
    asked = parse_qs(query)
    try:
        start, end = (int(asked[name][0]) for name in ("start", "end"))
    except (KeyError, ValueError):
        return None
    return (start, end) if 0 <= start < end <= start + MOST_TOKENS else None
