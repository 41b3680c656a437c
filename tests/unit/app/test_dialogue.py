"""Which questions lean on earlier ones, and on which."""

import pytest

from mctool.app.dialogue import MOST_TURNS, refers_back, topic_of
from mctool.engine.prompt import TAILS, Turn, after_turns


@pytest.mark.parametrize(
    "question",
    [
        "How old is he?",
        "And the harbour?",
        "What about the goats?",
        "Why?",
        "Where exactly?",
        "Tell me more",
        "Why so?",
        "Where was she born?",
        "Which function calls it?",
        "How does that work?",
        "What are these?",
        "What is their name?",
    ],
)
def test_these_lean_on_what_was_asked_before(question):
    assert refers_back(question)


@pytest.mark.parametrize(
    "question",
    [
        "Who owns the lighthouse?",
        "What is the name of the ship that sank?",
        "Lighthouse?",
        "Is there a harbour in this village?",
        "Where is the function that closes sockets defined?",
        "Who wrote these letters?",
        "Why do ships sink?",
    ],
)
def test_these_stand_for_themselves(question):
    assert not refers_back(question)


OWNER = Turn("Who owns the lighthouse?", "Henrik Brandt")
AGE = Turn("How old is he?", "71")
BAKER = Turn("Who runs the bakery?", None)


def test_a_topic_goes_back_to_the_last_question_that_stands_for_itself():
    assert topic_of([BAKER, OWNER, AGE], "And when was he born?") == (OWNER, AGE)
    assert topic_of([OWNER, AGE], "Who runs the bakery?") == ()
    assert topic_of([], "Why?") == ()
    assert topic_of([OWNER, AGE, BAKER], "Where was she born?") == (BAKER,)


def test_a_topic_is_not_carried_for_ever():
    assert topic_of([OWNER] + [AGE] * 9, "Why?") == (AGE,) * MOST_TURNS


def test_answered_turns_come_before_the_question_in_the_prompt():
    prompt = TAILS["short"].format(question=after_turns([OWNER, BAKER], "How old is he?"))
    assert prompt == (
        "\nQuestion: Who owns the lighthouse?\nShort answer: Henrik Brandt\nQuestion: How old is he?\nShort answer:"
    )
    assert after_turns([], "How old is he?") == "How old is he?"


def test_a_long_turn_is_told_as_one():
    assert after_turns([Turn("Why do ships sink?", "They leak.")], "Why?") == (
        "Why do ships sink?\nAnswer: They leak.\nQuestion: Why?"
    )
