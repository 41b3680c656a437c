"""Spans go to the collector that the standard variable names, and nothing is loaded without it."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("opentelemetry.sdk")
PROGRAM = (
    "import sys; from mctool.cli import main; code = main(sys.argv[1:]); "
    "sys.exit(code or 100 * ('opentelemetry.sdk' in sys.modules))"
)
ASK = ("ask", "Who wrote letters?", "--no-answer", "--json")


@pytest.fixture
def collector():
    """Address of a collector, and the bodies that were sent to it."""
    bodies = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        worker = threading.Thread(target=server.serve_forever)
        worker.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", bodies
        server.shutdown()
        worker.join()


def ask(**variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | variables
    command = [sys.executable, "-c", PROGRAM, *ASK]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_collector_gets_the_spans(letters_tree, collector):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    address, bodies = collector
    done = ask(OTEL_EXPORTER_OTLP_ENDPOINT=address)
    assert done.returncode == 100, done.stderr
    assert json.loads(done.stdout)["citations"]
    ((path, body),) = bodies
    assert path == "/v1/traces"
    (sent,) = ExportTraceServiceRequest.FromString(body).resource_spans
    resource = {one.key: one.value.string_value for one in sent.resource.attributes}
    assert resource["service.name"] == "mctool"
    names = {span.name for span in sent.scope_spans[0].spans}
    assert names >= {"mctool.ask", "mctool.words", "mctool.lens", "mctool.refocus"}


def test_without_the_variable_nothing_is_loaded(letters_tree):
    done = ask()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["citations"]
