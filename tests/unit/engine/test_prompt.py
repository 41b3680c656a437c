import pytest

from mctool.engine.prompt import chosen_style, prompt_ids, style_of
from mctool.nets.model_store import ModelFiles
from mctool.nets.tokenizer import TextTokenizer


@pytest.mark.parametrize(
    "question",
    [
        "Why did the keeper leave?",
        "why?",
        "I found a ring. Why is it warm?",
        "Who killed the captain and why?",
        "Explain the protocol of the lock file.",
        "Please explain how locks work",
        "Can you describe the harbour?",
        "Could you please summarize chapter two?",
        "Summarise the letters",
        "List the ships of the harbour.",
        "Compare the two piers.",
        "Tell me about the storm.",
        "How do I open a tree?",
        "How does the lens score entries?",
        "How did the ship sink?",
        "How can one repair a tree?",
        "How is a gist made?",
        "how are letters sent",
        "How to resume an ingest?",
        "In this story, how was the pier lost?",
        "When the storm came how did he reach the pier?",
        "What happens when the disk is full?",
        "What happened to the old pier?",
        "What would happen if the lock were gone?",
        "What does --dry-run do?",
        "What did the captain do with the compass?",
        "What do keepers do?",
        "What is the difference between a gist and an entry?",
        "What are the differences between the two ships?",
        "What is the purpose of the catalog?",
        "What is read_lines() for?",
    ],
)
def test_questions_that_ask_for_an_explanation_are_answered_in_sentences(question):
    assert style_of(question) == "long"


@pytest.mark.parametrize(
    "question",
    [
        "Who gave the ring to Bilbo?",
        "Where is the emerald compass?",
        "What is the password?",
        "When did the zeppelin land?",
        "How many ships did the keeper see?",
        "How much did the boat cost?",
        "How long was the pier?",
        "How old is the captain?",
        "How far is it to the harbour?",
        "How often do ships come?",
        "How big was the storm?",
        "How tall is the lighthouse?",
        "how large are the shards",
        "Return the number of boats.",
        "Which function parses the header and lists the fields?",
        "Which function knows how to resume?",
        "Return a tuple, list or dict of the fields",
        "Who knows why the ship sank?",
        "What did the man who wanted to do good eat?",
        "What do whales eat?",
        "Whylah Falls is where?",
        "listing of ships",
        "open_harbour",
        "",
    ],
)
def test_questions_that_ask_for_a_fact_are_answered_in_a_few_words(question):
    assert style_of(question) == "short"


@pytest.mark.parametrize("question", ["Why?", "Who?"])
def test_a_style_that_was_asked_for_goes_before_the_question(question):
    assert [chosen_style(question, style) for style in ("short", "long")] == ["short", "long"]
    assert chosen_style(question, "auto") == style_of(question)


def test_the_question_stands_between_the_history_and_the_answer(tiny_model_dir):
    tokenizer = TextTokenizer.load(ModelFiles("tiny", tiny_model_dir))
    for style, ending in (("short", "Short answer:"), ("long", "Answer:")):
        head, tail = prompt_ids(tokenizer, "Who, {then}?", style)
        assert tokenizer.decode(head) == "Text: "
        assert tokenizer.decode(tail) == f"\nQuestion: Who, {{then}}?\n{ending}"
