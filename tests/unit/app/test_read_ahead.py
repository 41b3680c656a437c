"""Reading ahead of the consumer."""

import threading

from mctool.app import read_ahead as module
from mctool.app.read_ahead import read_ahead
from mctool.app.scan import SourceFile
from mctool.core.records import Skipped
from mctool.sources import FoundFile, SourceOptions, TextDocument


def files_in(directory, texts):
    files = []
    for number, text in enumerate(texts):
        path = directory / f"{number}.txt"
        path.write_text(text)
        files.append(SourceFile(FoundFile(path, len(text), 1), path.name, path.name))
    return files


def test_keeps_the_order_and_tells_why_there_is_no_text(tmp_path):
    files = files_in(tmp_path, [f"text {number}" for number in range(90)])
    files[7].file.path.unlink()
    files[8].file.path.write_text(" \n")
    read = list(read_ahead(files, SourceOptions()))
    assert [found for found, _, _ in read] == files
    assert all(seconds > 0 for _, _, seconds in read)
    texts = [content.text for _, [(_, content)], _ in read if isinstance(content, TextDocument)]
    assert texts == [f"text {number}" for number in range(90) if number not in (7, 8)]
    assert isinstance(read[7][1][0][1], Skipped)
    assert read[8][1][0][1].reason == "empty"


def test_reads_only_so_many_bytes_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BYTES_AHEAD", 100)
    seen = []
    real = module.read_document
    monkeypatch.setattr(module, "read_document", lambda *arguments: seen.append(1) or real(*arguments))
    reading = read_ahead(files_in(tmp_path, ["x" * 60] * 20), SourceOptions())
    next(reading)
    reading.close()
    assert len(seen) <= 3


def test_a_consumer_that_stops_ends_the_thread(tmp_path):
    reading = read_ahead(files_in(tmp_path, ["text"] * 50), SourceOptions())
    next(reading)
    reading.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read")]


def test_nothing_to_read():
    assert list(read_ahead([], SourceOptions())) == []
