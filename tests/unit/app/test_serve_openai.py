"""Requests in the form of OpenAI's API."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mctool.app.serve.openai import MOST_NEW_TOKENS, parse_request
from mctool.core.config import AskConfig
from mctool.core.errors import UsageError
from mctool.engine.prompt import Turn

ASKED = [{"role": "user", "content": "Who owns the lighthouse?"}]


def parse(**request):
    return parse_request(json.dumps({"messages": ASKED} | request).encode(), AskConfig(seed=7))


def test_a_question_by_itself():
    request = parse()
    assert (request.question, request.turns, request.model) == ("Who owns the lighthouse?", (), None)
    assert request.config == AskConfig(seed=7)
    assert not request.stream


def test_options():
    request = parse(
        max_tokens=5, temperature=0.5, seed=3, stream=True, stream_options={"include_usage": True}, model="m", user="x",
        n=1, stop=None, top_p=1.0, response_format={"type": "text"},
    )  # fmt: skip
    assert request.config == AskConfig(max_new_tokens=5, temperature=0.5, seed=3)
    assert (request.stream, request.with_usage, request.model) == (True, True, "m")
    assert parse(max_tokens=5, max_completion_tokens=6).config.max_new_tokens == 6


def test_earlier_messages_count_when_the_question_leans_on_them():
    dialogue = [
        {"role": "system", "content": "Be kind."},
        *ASKED,
        {"role": "assistant", "content": "Henrik Brandt"},
        {"role": "user", "content": [{"type": "text", "text": "How old"}, {"type": "text", "text": "is he?"}]},
    ]
    request = parse(messages=dialogue)
    assert request.question == "How old\nis he?"
    assert request.turns == (Turn("Who owns the lighthouse?", "Henrik Brandt"),)
    dialogue[-1]["content"] = "Who runs the bakery?"
    assert parse(messages=dialogue).turns == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Why?"}, "messages"),
        ({"messages": ["Why?"]}, r"messages\[0\]"),
        ({"messages": [{"role": "wizard", "content": "Why?"}]}, "role"),
        ({"messages": [{"role": "user", "content": None}]}, "no text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "no text"),
        ({"messages": [{"role": "user", "content": " "}]}, "not a question"),
        ({"messages": [*ASKED, {"role": "assistant", "content": "Brandt"}]}, "not a question"),
        ({"max_tokens": 0}, "max_tokens 0"),
        ({"max_tokens": MOST_NEW_TOKENS + 1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens is not of type int"),
        ({"temperature": "warm"}, "temperature is not of type"),
        ({"temperature": -1}, "temperature"),
        ({"stream": 1}, "stream is not of type bool"),
        ({"n": 2}, "n cannot be 2"),
        ({"stop": ["."]}, "stop cannot be"),
        ({"tools": [{}]}, "tools cannot be"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_what_cannot_be_done_is_refused(change, told):
    with pytest.raises(UsageError, match=told):
        parse(**change)


NAMES = st.sampled_from(["messages", "role", "content", "stream", "seed", "n", "text"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=40) | VALUES)
def test_whatever_comes_is_a_request_or_refused(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        request = parse_request(body, AskConfig())
    except UsageError:
        return
    assert request.question.strip()
