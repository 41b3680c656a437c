"""Chat completions in the form of OpenAI's API: requests into questions, reports into responses.

Source: the API reference of OpenAI, "Create chat completion". Of a request, the last message is the question, earlier
ones count when it leans on them; system messages change nothing. What would change the answer and cannot be done is
refused, the rest is ignored. A response has one more field, ``mctool``: the report of the question.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any

from mctool.app.dialogue import topic_of
from mctool.core.config import AskConfig
from mctool.core.errors import MctoolError, UsageError
from mctool.core.records import AskReport
from mctool.engine.prompt import Turn

MOST_NEW_TOKENS = 1024
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "stop": (None, []),
    "tools": (None, []),
    "functions": (None, []),
    "logprobs": (None, False),
    "top_p": (None, 1),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "response_format": (None, {"type": "text"}),
}
"""Fields that cannot be honoured, and the values that ask for nothing."""

_ROLES = ("system", "developer", "user", "assistant")


@dataclass(frozen=True)
class ChatRequest:
    """A question from a client.

    Attributes:
        model: The name that the client gave; None for any.
        question: The last message.
        turns: The earlier ones that it leans on.
        config: How to answer.
        stream: Send pieces as they come.
        with_usage: Say at the end of a stream what was read and written.
    """

    model: str | None
    question: str
    turns: tuple[Turn, ...]
    config: AskConfig
    stream: bool
    with_usage: bool


def parse_request(body: bytes, config: AskConfig) -> ChatRequest:
    """Read a request.

    Args:
        body: JSON.
        config: How questions are answered where the request does not say otherwise.

    Raises:
        UsageError: It is no request, or asks for what cannot be done.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is not JSON: {error}") from error
    if not isinstance(request, dict):
        raise UsageError("the body is not a JSON object")
    for name, neutral in _NEUTRAL.items():
        if request.get(name) not in neutral:
            raise UsageError(f"{name} cannot be {json.dumps(request[name])[:80]} here", "leave it out")
    turns, question = _turns(request.get("messages"))
    options = _typed(request, "stream_options", dict) or {}
    return ChatRequest(
        model=_typed(request, "model", str),
        question=question,
        turns=topic_of(turns, question),
        config=_config(request, config),
        stream=bool(_typed(request, "stream", bool)),
        with_usage=bool(_typed(options, "include_usage", bool)),
    )


def _typed(request: dict[str, Any], name: str, *kinds: type) -> Any:
    """A field of one of some types, or None."""
    value = request.get(name)
    if value is None or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
        return value
    raise UsageError(f"{name} is not of type {' or '.join(kind.__name__ for kind in kinds)}")


def _config(request: dict[str, Any], config: AskConfig) -> AskConfig:
    most = _typed(request, "max_completion_tokens", int)
    if most is None:
        most = _typed(request, "max_tokens", int)
    if most is not None:
        if not 1 <= most <= MOST_NEW_TOKENS:
            raise UsageError(f"max_tokens {most} is not between 1 and {MOST_NEW_TOKENS}")
        config = replace(config, max_new_tokens=most)
    temperature, seed = _typed(request, "temperature", int, float), _typed(request, "seed", int)
    return replace(
        config,
        temperature=config.temperature if temperature is None else float(temperature),
        seed=config.seed if seed is None else seed,
    )


def _turns(messages: Any) -> tuple[list[Turn], str]:
    """The turns of a dialogue, and the question at its end."""
    if not isinstance(messages, list) or not messages:
        raise UsageError("messages is not a list of messages")
    turns: list[Turn] = []
    asked: str | None = None
    for number, message in enumerate(messages):
        role, text = _message(number, message)
        if role == "user":
            if asked is not None:
                turns.append(Turn(asked, None))
            asked = text
        elif role == "assistant" and asked is not None:
            turns.append(Turn(asked, text))
            asked = None
    if asked is None or not asked.strip():
        raise UsageError("the last message is not a question of the user")
    return turns, asked


def _message(number: int, message: Any) -> tuple[str, str]:
    """Role and text of a message; the text may come in parts."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise UsageError(f"messages[{number}] has no role out of {', '.join(_ROLES)}")
    content = message.get("content")
    if content is None and message["role"] == "assistant":
        content = ""
    if isinstance(content, list):
        parts = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content
        ]
        content = "\n".join(parts) if all(isinstance(part, str) for part in parts) else None
    if not isinstance(content, str):
        raise UsageError(f"messages[{number}] has no text as content", "images and sound cannot be read")
    return message["role"], content


def error_body(error: MctoolError) -> dict[str, Any]:
    """An error as OpenAI's API tells it."""
    kind = "invalid_request_error" if isinstance(error, UsageError) else "server_error"
    return {"error": {"message": str(error), "type": kind, "param": None, "code": error.kind}}


class Completion:
    """The response to one request, whole or in pieces."""

    def __init__(self, model: str, request: ChatRequest) -> None:
        self._request = request
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, report: AskReport) -> dict[str, Any]:
        """The response to a request that does not stream."""
        message = {"role": "assistant", "content": report.answer, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._reason(report)}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(report),
            "mctool": _details(report),
        }

    def piece(self, text: str) -> bytes:
        """An event that adds text to the answer."""
        return self._event([{"index": 0, "delta": {"content": text}, "finish_reason": None}])

    def first(self) -> bytes:
        """The event that begins a stream."""
        return self._event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])

    def last(self, report: AskReport) -> bytes:
        """The events that end a stream."""
        choice = {"index": 0, "delta": {}, "finish_reason": self._reason(report)}
        events = self._event([choice], mctool=_details(report))
        if self._request.with_usage:
            events += self._event([], usage=_usage(report))
        return events + b"data: [DONE]\n\n"

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return server_sent({**self._head, "object": "chat.completion.chunk", "choices": choices, **more})

    def _reason(self, report: AskReport) -> str:
        return "length" if report.usage.completion_tokens >= self._request.config.max_new_tokens else "stop"


def server_sent(value: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode("utf-8", "backslashreplace")


def _usage(report: AskReport) -> dict[str, int]:
    read, written = report.usage.prompt_tokens, report.usage.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _details(report: AskReport) -> dict[str, Any]:
    """The report without the entries of the working context, which are many."""
    details = report.to_json()
    del details["focus"]["entries"]
    return details
