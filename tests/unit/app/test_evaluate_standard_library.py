import ast
import re

from mctool.app.evaluate.standard_library import lookups, modules


def test_lookups_find_bodies_without_their_docstrings():
    samples = lookups()
    texts = {sample.id: [document.text for document in sample.documents] for sample in samples}
    asked = [(sample.id, question) for sample in samples for question in sample.questions]
    assert len(asked) > 500
    assert len({question.text for _, question in asked}) == len(asked)
    for module, question in asked:
        text = texts[module][question.document]
        body = text[question.start : question.end]
        assert question.any_block
        own_name = question.answer.rpartition(":")[2].rpartition(".")[2]
        assert re.match(rf"(async )?def {own_name}\b", text[question.def_start : question.start])
        assert 4 <= body.count("\n") + 1 <= 150
        assert ast.parse("def f():\n    " + body) if "\n" not in body else body.strip() == body


def test_only_the_docstrings_of_lookups_are_gone():
    originals = {document.path: document.text for documents in modules().values() for document in documents}
    for sample in lookups()[:5]:
        for document in sample.documents:
            removed = len(originals[document.path]) - len(document.text)
            assert removed >= 0
            assert (removed == 0) or len(ast.parse(document.text).body) == len(ast.parse(originals[document.path]).body)
