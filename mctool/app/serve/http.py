"""The HTTP server: ``POST /v1/chat/completions``, ``GET /v1/models``, ``GET /healthz``."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mctool.app.serve.openai import ChatRequest, Completion, error_body, parse_request, server_sent
from mctool.app.serve.service import Service
from mctool.core.errors import MctoolError, ResourceError, TreeBusyError, TreeNotFoundError, UsageError
from mctool.core.records import AskReport

MOST_BODY_BYTES = 1_000_000
GRACE_SECONDS = 5
_STATUS: tuple[tuple[type[MctoolError], int], ...] = (
    (UsageError, 400),
    (TreeNotFoundError, 404),
    (TreeBusyError, 409),
    (ResourceError, 507),
)
_HEALTH = "/healthz"


class _GoneError(Exception):
    """The client of a stream went away."""


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 takes a free one. Without a token only programs on this machine are served.

    Raises:
        UsageError: The host is no loopback address and there is no token, or the port is none.
    """

    host: str
    port: int
    token: str | None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port {self.port} is not between 0 and 65535")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise UsageError("--token is not printable ASCII", "make one with `openssl rand -hex 16`")
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"--host {self.host} is open to other machines",
                "set a token (MCTOOL_TOKEN or --token), or leave --host out",
            )

    def listen(self) -> socket.socket:
        """A socket that listens there.

        Raises:
            UsageError: The address is taken, or is none of this machine.
        """
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise UsageError(
                f"cannot listen on --host {self.host} --port {self.port}: {error.strerror or error}",
                "take another port; 0 finds a free one",
            ) from error


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(service: Service, address: Address, report: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; requests that are worked on get a few seconds to end.

    Raises:
        UsageError: The address cannot be had.
        KeyboardInterrupt: The user pressed Ctrl-C.
    """
    with address.listen() as listening:
        host, port = listening.getsockname()[:2]
        report(f"serving http://{f'[{host}]' if ':' in host else host}:{port}/v1; end with Ctrl-C")
        config = uvicorn.Config(
            make_app(service, address.token),
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listening])


def make_app(service: Service, token: str | None) -> Starlette:
    """The application; it closes the service when it is shut down."""
    endpoints = _Endpoints(service)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        service.close()

    return Starlette(
        routes=[
            Route("/v1/chat/completions", endpoints.complete, methods=["POST"]),
            Route("/v1/models", endpoints.models),
            Route("/v1/models/{model:path}", endpoints.model),
            Route(_HEALTH, endpoints.health),
        ],
        middleware=[Middleware(_Gate, token=token)],
        exception_handlers={404: _no_such_place, 405: _no_such_place, 500: _bug, MctoolError: _tell},  # type: ignore[dict-item]
        lifespan=lifespan,
    )


def _failure(status: int, message: str, code: str, **headers: str) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return JSONResponse(body, status, headers=headers)


async def _no_such_place(request: Request, error: Any) -> Response:
    return _failure(error.status_code, f"there is no {request.method} {request.url.path}", "not-found")


async def _bug(_request: Request, error: Exception) -> Response:
    return _failure(500, f"internal error: {type(error).__name__}", "internal")


async def _tell(_request: Request, error: MctoolError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return JSONResponse(error_body(error), status)


class _Gate:
    """Lets in who has the token; without one, only what was meant for this machine, so that no web page gets in."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        if self._expected is not None:
            given = request.headers.get("authorization", "").encode("utf-8", "replace")
            if request.url.path == _HEALTH or hmac.compare_digest(given, self._expected):
                return None
            return _failure(401, "the token is missing or wrong", "unauthorized", **{"WWW-Authenticate": "Bearer"})
        origin = request.headers.get("origin")
        for name in (request.headers.get("host", ""), None if origin is None else urlsplit(origin).netloc):
            if name is not None and not is_loopback(urlsplit(f"//{name}").hostname or ""):
                return _failure(403, "only requests to this machine by its own programs are answered", "forbidden")
        return None


class _Endpoints:
    """What is behind the addresses."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, _request: Request) -> Response:
        """That requests are taken; waits for none of them."""
        return JSONResponse({"status": "ok", "model": self._name})

    async def models(self, _request: Request) -> Response:
        """The one model."""
        return JSONResponse({"object": "list", "data": [self._model]})

    async def model(self, request: Request) -> Response:
        """The model, by its name."""
        name = request.path_params["model"]
        return JSONResponse(self._model) if name == self._name else self._unknown(name)

    async def complete(self, request: Request) -> Response:
        """A chat completion."""
        body = await _body(request)
        if body is None:
            return _failure(413, f"the body is larger than {MOST_BODY_BYTES:,} bytes", "too-large")
        asked = parse_request(body, self._service.config.ask)
        if asked.model not in (None, self._name):
            return self._unknown(str(asked.model))
        completion = Completion(self._name, asked)
        if asked.stream:
            return await self._stream(asked, completion)
        report = await self._service.run(lambda: self._service.ask(asked.question, asked.config, asked.turns))
        return JSONResponse(completion.whole(report))

    async def _stream(self, asked: ChatRequest, completion: Completion) -> Response:
        """A stream of events; what goes wrong before the first piece is an ordinary error."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        loop, gone = asyncio.get_running_loop(), asyncio.Event()

        def on_text(text: str) -> None:
            if gone.is_set():
                raise _GoneError
            loop.call_soon_threadsafe(pieces.put_nowait, text)

        def answer() -> AskReport:
            if gone.is_set():
                raise _GoneError
            return self._service.ask(asked.question, asked.config, asked.turns, on_text)

        working = asyncio.ensure_future(self._service.run(answer))

        def ended(task: asyncio.Future[AskReport]) -> None:
            if not task.cancelled():
                task.exception()  # looked at, so that nobody complains when the client is gone
            pieces.put_nowait(None)

        working.add_done_callback(ended)
        first = await pieces.get()
        if first is None and working.exception() is not None:
            await working

        async def events() -> AsyncIterator[bytes]:
            try:
                yield completion.first()
                piece = first
                while piece is not None:
                    yield completion.piece(piece)
                    piece = await pieces.get()
                try:
                    report = await working
                except MctoolError as error:  # in the middle of an answer
                    yield server_sent(error_body(error))
                    return
                if not report.supported:
                    yield completion.piece(report.answer)
                yield completion.last(report)
            finally:
                gone.set()

        return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    @property
    def _name(self) -> str:
        return self._service.nets.files.name

    @property
    def _model(self) -> dict[str, Any]:
        return {"id": self._name, "object": "model", "created": 0, "owned_by": "mctool"}

    def _unknown(self, name: str) -> Response:
        return _failure(404, f"the model {name} is not served here; {self._name} is", "model_not_found")


async def _body(request: Request) -> bytes | None:
    """The body; None when it is too large."""
    parts: list[bytes] = []
    async for part in request.stream():
        parts.append(part)
        if sum(map(len, parts)) > MOST_BODY_BYTES:
            return None
    return b"".join(parts)
