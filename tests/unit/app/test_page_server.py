import http.client
import json
import threading

import pytest

import mctool
from mctool.app.page import page_of_tree
from mctool.app.page_server import LOOPBACK, page_server
from mctool.core.errors import ResourceError

TEXT = "".join(f"Night {night}: the lamp burned for {night} hours.\n" for night in range(80))


@pytest.fixture(scope="module")
def tree(tiny_model_dir, tiny_weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "lamp.txt").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MCTOOL_WEIGHTS", str(tiny_weights))
        mctool.ingest("lamp.txt", tree=folder / ".mctool", model=str(tiny_model_dir), device="cpu")
    with mctool.open_tree(folder) as tree:
        yield tree


@pytest.fixture(scope="module")
def get(tree):
    """Ask a running server: path and Host header to status and body."""
    with page_server(page_of_tree(tree, []), tree, 0) as server:
        worker = threading.Thread(target=server.serve_forever)
        worker.start()
        port = server.server_address[1]

        def ask(path, host=f"{LOOPBACK}:{port}"):
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            status, body = answer.status, answer.read().decode()
            connection.close()
            return status, body

        ask.port = port
        yield ask
        server.shutdown()
        worker.join()


def test_the_page_may_ask_for_text(get):
    status, body = get("/")
    assert status == 200
    assert "connect-src 'self'" in body
    assert 'data-live="true"' in body


def test_text_of_a_range_is_exact(get, tree):
    status, body = get("/text?start=40&end=130")
    (run,) = json.loads(body)
    assert status == 200
    assert run["start_token"] == 32
    assert run["blocks"] == [tree.text(block, block + 1) for block in range(1, 5)]
    assert run["start_line"] == tree.span(1, 2).start_line
    total = tree.timeline.total_tokens
    assert len(json.loads(get(f"/text?start=0&end={total + 999}")[1])[0]["blocks"]) == tree.timeline.total_blocks
    assert json.loads(get(f"/text?start={total}&end={total + 9}")[1]) == []


@pytest.mark.parametrize(
    "path",
    ["/text", "/text?start=5&end=5", "/text?start=-1&end=5", "/text?start=0&end=99999", "/text?start=a&end=b", "/x"],
)
def test_nonsense_is_not_found(get, path):
    assert get(path)[0] == 404


def test_other_names_for_this_machine_are_refused(get):
    assert get("/", host=f"localhost:{get.port}")[0] == 200
    assert get("/", host="evil.example")[0] == 403
    assert get("/text?start=0&end=9", host=f"evil.example:{get.port}")[0] == 403


def test_a_port_that_is_taken_is_told(get, tree):
    with (
        pytest.raises(ResourceError, match="cannot serve on port"),
        page_server(page_of_tree(tree, []), tree, get.port),
    ):
        pass
