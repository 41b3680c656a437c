import pytest

from mctool.core.inspection import (
    AccessSummary,
    HotSpan,
    NodeAccess,
    NodeReport,
    NodeSpan,
    TreeDocument,
    TreeIngest,
    TreeReport,
)
from mctool.render.tree_panels import bytes_text, render_documents, render_hot, render_node, render_tree


def document(place, path=None):
    tokens = 100 * (place + 1)
    return TreeDocument(
        path or f"docs/{place}.md", tokens, 4, place * 1000, place * 1000 + tokens, 0, 7, 400, 400, "utf-8"
    )


def report(n_documents=2, n_ingests=1, gistnet="abcdef0123456789"):
    ingest = TreeIngest("2026-01-02T03:04:05+00:00", 1.25, ["docs"], "0", 2, 0, 0, 1, 0, 900)
    return TreeReport(
        tree="/home/me/.mctool",
        model="tiny",
        tokens=900,
        documents=[document(place) for place in range(n_documents)],
        blocks=29,
        nodes={"lod1": 29, "lod2": 1},
        bytes_on_disk=1800,
        bytes_by_array={"text": 900, "lod0": 512},
        codec="zstd level 3",
        history=[ingest] * n_ingests,
        fingerprint={"tokenizer": "0123456789abcdef", "gistnet": gistnet, "d_model": 64},
        generation=n_ingests,
        access=AccessSummary(2, 1200, 1, 0),
    )


def test_a_tree_tells_its_facts(draw):
    assert draw(render_tree(report()), 100) == [
        "tree       /home/me/.mctool, generation 1",
        "model      tiny",
        "tokenizer  0123456789ab",
        "gists      width 64, GistNet abcdef012345",
        "tokens     900 in 2 documents",
        "nodes      29 LOD0, 29 LOD1, 1 LOD2",
        "on disk    1.8 kB, 2.0 bytes a token, zstd level 3 (lod0 512 B, text 900 B)",
        "touched    2 nodes: expanded 1,200, collapsed 1, cited 0 times",
        "",
        "documents, all",
        "tokens  lines   size  path",
        "   200      7  400 B  docs/1.md",
        "   100      7  400 B  docs/0.md",
        "",
        "ingests, all",
        "      when (UTC)  added  updated  retired  tokens  seconds  sources",
        "2026-01-02 03:04      2        0        1     900      1.2  docs",
    ]


def test_long_lists_are_cut_and_say_so(draw):
    lines = draw(render_tree(report(n_documents=30, n_ingests=9, gistnet=None)), 100)
    assert "documents, the 8 largest of 30" in lines
    assert "ingests, the 5 latest of 9" in lines
    assert sum("docs/" in line for line in lines) == 8
    assert "gists      none: windows show raw text only" in lines


def test_documents_show_their_ranges_and_whole_paths(draw):
    path = "a/very/long/path/" * 4 + "\x1b[31mx.py"
    lines = draw(render_documents([document(3, path)]), 60)
    assert lines[1].startswith("3,000-3,400       4     400      7  400 B  a/very/")
    folded = "".join(line[len(lines[0]) - len("path") :] for line in lines[1:])
    assert folded == path.replace("\x1b", "␛")


def test_hot_spans_and_none(draw):
    spans = [
        HotSpan(1, 17, 544, 576, "a.py", 3, 5, NodeAccess(9, 1, 2)),
        HotSpan(3, 0, 0, 32_768, None, None, None, NodeAccess(1, 0, 0)),
    ]
    assert draw(render_hot(spans), 100)[1:] == [
        "1:17         9          1      2  a.py:3-5",
        " 3:0         1          0      0  tokens 0-32,768, several documents",
    ]
    assert draw(render_hot([]), 100) == ["focus has not touched anything yet"]


def node(spans):
    return NodeReport(
        tree="t",
        lod=2,
        index=3,
        start_token=3072,
        end_token=4096,
        blocks=32,
        parent=[3, 0],
        children=[[1, index] for index in range(96, 128)],
        access=NodeAccess(1, 2, 3),
        gist_norm=4.9962,
        spans=spans,
    )


def test_a_node_tells_its_place_and_text(draw):
    span = NodeSpan("a.py", 3072, 3584, 10, 12, 100, 200, 16, 16, "def f():\n    return 1\n")
    cut = NodeSpan("b.py", 3584, 4096, 1, 9, 0, 90, 16, 4, "x = 1\n")
    assert draw(render_node(node([span, cut])), 80) == [
        "node      2:3 (LOD2)",
        "tokens    3,072-4,096 (1,024, 32 blocks)",
        "parent    3:0",
        "children  32, from 1:96 to 1:127",
        "gist      norm 5.00",
        "touched   expanded 1, collapsed 2, cited 3 times",
        "",
        "a.py:10-12",
        "    def f():",
        "        return 1",
        "",
        "b.py:1-9  the first 4 of 16 blocks",
        "    x = 1",
    ]


def test_a_node_of_many_documents_shows_some(draw):
    spans = [NodeSpan(f"{place}.py", 0, 32, 1, 1, 0, 9, 1, 0, "") for place in range(11)]
    assert draw(render_node(node(spans)), 80)[-1] == "and 3 more documents"


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_951, "1.0 MB"), (5e12, "5.0 TB")],
)
def test_sizes_are_for_people(n_bytes, text):
    assert bytes_text(n_bytes) == text
