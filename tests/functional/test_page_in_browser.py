"""The page of ``inspect --html`` in a real browser without a window; skipped where there is no Chromium."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from headless import CHROMIUM, DRIVER, Browser

from mctool.app.page import page_of_tree
from mctool.app.page_server import page_server
from mctool.tree import Tree

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")
HOSTILE = "</script><script>document.title = 'taken'</script> \"quoted\" 'single' <!-- <b>bold</b> & \u2028 \\u003c"
DAYS = "".join(f"On day {day} the tide was {day % 12} feet high and the keeper wrote it down.\n" for day in range(90))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def opened(project, run_cli, browser):
    """Open the page that ``inspect`` writes for a tree of three documents; no error may be in the console after it."""
    (project / "tides.md").write_text(DAYS)
    (project / "hostile.txt").write_text(f"Zanzibar stands here: {HOSTILE}\n" * 3, encoding="utf-8")
    (project / "a'\"<i>name.txt").write_text("A name with quotes and a tag in it.\n")
    assert run_cli("ingest", ".").code == 0

    def open_page(*arguments, stdin=None):
        done = run_cli("inspect", *arguments, "--html", project / "page.html", stdin=stdin)
        assert done.code == 0, done.err
        browser.open((project / "page.html").as_uri())
        return browser

    yield open_page
    assert [entry for entry in browser.console() if entry["level"] != "DEBUG"] == []


def press(browser, *keys):
    browser.run("document.getElementById('map').focus()")
    browser.press(*keys)


def search(browser, words):
    browser.run("const box = document.getElementById('search'); box.value = ''; box.focus()")
    browser.press(*words)


def test_a_block_shows_its_exact_text_by_keyboard_alone(opened, project):
    browser = opened()
    press(browser, *["ArrowRight", "Enter"] * 4, *"+++", "ArrowRight")
    node = browser.text("entry-title").removeprefix("Entry ")
    assert node.startswith("0:")
    index = int(node.split(":")[1])
    with Tree.open(project / ".mctool") as tree:
        span = tree.span(index, index + 1)
    assert browser.text("entry-text") == span.text
    assert f"{span.path}:{span.start_line}-{span.end_line}" in browser.text("entry-facts")
    assert "raw text" in browser.run("return document.getElementById('map').ariaLabel")
    press(browser, "Escape")
    assert browser.text("range").startswith("tokens 0-")


def test_steps_of_a_query(opened, run_cli):
    question = "How high was the tide on day 17?"
    browser = opened("--query", question)
    focus = run_cli("inspect", "--query", question, "--json").json["focus"]
    last = len(focus["iterations"])
    assert browser.text("question") == question
    assert browser.text("step-title").startswith(f"{last} of {last}. Refocus")
    assert f"{focus['cost']:,} of {focus['w_max']:,} tokens" in browser.text("budget-text")
    raw = [entry for entry in focus["entries"] if entry["lod"] == 0]
    assert f"({len(raw)} blocks)" in browser.text("summary")
    press(browser, *"p" * (last + 2))
    assert browser.text("step-title") == f"0 of {last}. The first cover"
    assert browser.count("#step-back:disabled") == 1
    press(browser, "n")
    step = focus["iterations"][0]
    assert f"Refocus 1: {step['expanded']} expanded" in browser.text("step-title")


def test_keys_lead_to_citations_and_raw_text(opened, run_cli):
    question = "How high was the tide on day 17?"
    browser = opened("--query", question)
    report = run_cli("inspect", "--query", question, "--json").json
    cited = report["citations"][0]
    press(browser, "c")
    assert cited["text"].startswith(browser.text("entry-text"))
    assert browser.text("said").startswith(f"raw text, {cited['path']}:{cited['start_line']}-")
    raw = [entry["start_token"] for entry in report["focus"]["entries"] if entry["lod"] == 0]
    seen = set()
    for _ in raw:
        press(browser, "r")
        tokens = browser.text("entry-facts").split("tokens")[1]
        seen.add(int(tokens.split("-")[0].replace(",", "")))
    assert seen == set(raw)


def test_hovering_tells_the_source_and_tokens_are_told_apart(opened):
    browser = opened("--query", "How high was the tide on day 17?")
    press(browser, "c", *"++++++++")
    browser.run(
        "const box = document.getElementById('map').getBoundingClientRect();"
        "const place = {clientX: box.left + box.width / 2, clientY: box.top + 150, bubbles: true};"
        "document.getElementById('map').dispatchEvent(new PointerEvent('pointermove', place))"
    )
    tip = browser.text("tip").split("\n")
    assert tip[0].startswith("tides.md:")
    assert tip[1].startswith("raw text, 32 tokens, score ")
    tokens = browser.run("return tokensOf(state.selected.start).map((token) => token.text)")
    assert len(tokens) == 32
    assert "".join(tokens) == browser.text("entry-text")


def test_playing_ends_at_the_last_step(opened):
    browser = opened("--query", "How high was the tide on day 17?")
    browser.run("window.setInterval = (act) => { for (let n = 0; n < 50; n++) act(); return 0; }")
    browser.click("#play")
    assert browser.count("#play[aria-pressed=false]") == 1
    title = browser.text("step-title")
    assert title.split(" ")[0] == title.split(" ")[2].rstrip(".")


def test_documents_cannot_break_out_of_the_page(opened):
    browser = opened("--query", "Where does Zanzibar stand?")
    assert browser.run("return document.title").startswith("Where does Zanzibar stand?")
    search(browser, "zanzibar stands")
    found = browser.text("found")
    assert "Zanzibar stands here: </script><script>" in found
    assert browser.count("#found b, #found i, #citations b") == 0
    search(browser, "<i>name")
    assert "a'\"<i>name.txt" in browser.text("found")
    browser.click("#found button")
    assert "A name with quotes and a tag in it.\n" in browser.text("entry-text")


def test_the_table_tells_what_the_map_shows(opened, run_cli):
    question = "How high was the tide on day 17?"
    browser = opened("--query", question)
    entries = run_cli("inspect", "--query", question, "--json").json["focus"]["entries"]
    browser.run(
        "document.getElementById('table-details').open = true; "
        "document.getElementById('table-details').dispatchEvent(new Event('toggle'))"
    )
    assert browser.count("#table tr") == sum(entry["lod"] == 0 for entry in entries)
    browser.click("#table-all")
    assert browser.count("#table tr") == len(entries)
    assert f"{entries[-1]['start_token']:,}-{entries[-1]['end_token']:,}" in browser.text("table")


def test_a_trace_without_its_tree(opened, project, run_cli):
    assert run_cli("ask", "How high was the tide on day 17?", "--no-answer", "--trace", "t.jsonl").code == 0
    lines = [json.loads(line) for line in Path("t.jsonl").read_text(encoding="utf-8").splitlines()]
    lines[0]["tree"] = str(project / "gone")
    browser = opened("--trace", "-", stdin="".join(json.dumps(line) + "\n" for line in lines).encode())
    assert "the tree is gone" in browser.text("tree-facts")
    cited = lines[-1]["citations"][0]
    assert browser.text("citations").endswith(lines[-1]["citations"][-1]["text"])
    assert cited["text"].startswith(browser.text("entry-text"))


def test_a_live_page_reads_text_when_it_is_looked_at(opened, project, browser):
    with Tree.open(project / ".mctool") as tree:
        page = replace(page_of_tree(tree, []), texts=[], text_blocks=0)
        with page_server(page, tree, 0) as server:
            worker = threading.Thread(target=server.serve_forever)
            worker.start()
            try:
                browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
                press(browser, *["ArrowRight", "Enter"] * 4, *"+++", "ArrowRight")
                index = int(browser.text("entry-title").removeprefix("Entry 0:"))
                for _ in range(100):
                    if browser.text("entry-text"):
                        break
                    time.sleep(0.05)
                assert browser.text("entry-text") == tree.text(index, index + 1)
            finally:
                server.shutdown()
                worker.join()


def test_several_questions_of_a_trace(opened, run_cli):
    Path("asked.jsonl").write_text(
        '{"id": 1, "question": "How high was the tide on day 17?"}\n'
        '{"id": 2, "question": "Where does Zanzibar stand?"}\n'
    )
    assert run_cli("ask", "--questions", "asked.jsonl", "--no-answer", "--trace", "t.jsonl").code == 0
    browser = opened("--trace", "t.jsonl")
    assert browser.count("#questions option") == 2
    assert browser.text("question") == "How high was the tide on day 17?"
    browser.run(
        "const box = document.getElementById('questions');box.selectedIndex = 1; box.dispatchEvent(new Event('change'))"
    )
    assert browser.text("question") == "Where does Zanzibar stand?"
    assert "Zanzibar stands here" in browser.text("citations")
    assert browser.text("entry-facts").startswith("placehostile.txt:1-")


def test_light_and_dark(opened):
    browser = opened()
    colours = []
    for _ in range(2):
        colours.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
        browser.click("#theme")
    assert colours[0] != colours[1]


def frames_seen(browser):
    return browser.run(
        "const seen = (one) => getComputedStyle(one).visibility === 'visible';"
        "return [...document.querySelectorAll('.frame')].filter(seen).map((one) => one.classList[1])"
    )


def test_an_animation_shows_its_frames_in_turn_unless_motion_is_unwanted(project, run_cli, browser):
    (project / "tides.md").write_text(DAYS)
    assert run_cli("ingest", ".").code == 0
    file = project / "cast.svg"
    assert run_cli("inspect", "--query", "How high was the tide on day 17?", "--svg", file, "--animate").code == 0
    features = [{"name": "prefers-reduced-motion", "value": "no-preference"}]
    browser.command("Emulation.setEmulatedMedia", features=features)
    browser.open(file.as_uri())
    n_frames = browser.count(".frame")
    seen = []
    length = browser.run("return document.getAnimations()[0].effect.getComputedTiming().duration")
    for step in range(50):
        browser.run(
            "for (const one of document.getAnimations()) { one.pause(); one.currentTime = arguments[0] }",
            length * step / 50,
        )
        (frame,) = frames_seen(browser)
        seen += [frame] if frame not in seen else []
    assert seen == [f"frame-{number}" for number in range(n_frames)]
    browser.command("Emulation.setEmulatedMedia", features=[features[0] | {"value": "reduce"}])
    browser.open(file.as_uri())
    assert frames_seen(browser) == [f"frame-{n_frames - 1}"]
    assert browser.run("return document.getAnimations().length") == 0
    browser.command("Emulation.setEmulatedMedia", features=[])
    assert browser.console() == []


@pytest.mark.parametrize("width", [420, 1000, 1600])
def test_nothing_is_wider_than_the_window(opened, width):
    browser = opened("--query", "How high was the tide on day 17?")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.command("Emulation.setDeviceMetricsOverride", **size)
    try:
        assert browser.run("return document.documentElement.scrollWidth") <= width
    finally:
        browser.command("Emulation.clearDeviceMetricsOverride")
