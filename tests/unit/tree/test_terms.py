from mctool.tree.terms import definition_terms, question_terms, terms


def test_words_are_stemmed_and_identifiers_split_and_kept_whole():
    assert terms("Parsing the JSONObject's http_server2") == [
        "pars", "the", "json", "object", "jsonobject", "s", "http", "server", "2", "http_server2",
    ]  # fmt: skip


def test_a_question_drops_stop_words_and_repeats():
    assert question_terms("What does the parser parse, and how does it parse?") == ["parser", "pars"]


def test_a_question_of_stop_words_alone_keeps_them():
    assert question_terms("Who is it?") == ["who", "is", "it"]


def test_definition_lines_are_found_in_several_languages():
    code = "x = 1\n    async def read_all(self):\npub fn main() {\nexport class Foo extends Bar\nundefined thing\n"
    assert [line for _, line in definition_terms(code)] == [
        ["async", "def", "read", "all", "read_all", "self"],
        ["pub", "fn", "main"],
        ["export", "class", "foo", "extend", "bar"],
    ]
    assert [code[start : start + 4] for start, _ in definition_terms(code)] == ["    ", "pub ", "expo"]


def test_letters_of_other_alphabets_are_terms():
    assert terms("Москва 東京") == ["москва", "東京"]
