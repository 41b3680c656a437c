import builtins

import pytest

from mctool.app import telemetry
from mctool.app.ask import Reader
from mctool.app.listeners import Listeners
from mctool.core.config import AskConfig
from mctool.core.errors import UsageError

pytest.importorskip("opentelemetry.sdk")
SECRET = "xylophone"


@pytest.fixture
def exported(monkeypatch):
    """The spans of the test, in the order in which they end."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", lambda: provider.get_tracer("test"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    return exporter.get_finished_spans


@pytest.fixture
def reader(project, run_cli, tiny_model_dir):
    (project / "story.txt").write_text(f"The keeper of the lighthouse owns a {SECRET}. " * 20)
    assert run_cli("ingest", "story.txt").code == 0
    with Reader(project / ".mctool", str(tiny_model_dir), "cpu") as reader:
        yield reader


def test_an_answer_is_a_span_with_its_parts_below(reader, exported):
    heard = []
    config = AskConfig(max_new_tokens=4)
    report = reader.ask("Who owns the lighthouse?", config, Listeners(on_stage=heard.append))
    *parts, whole = exported()
    assert whole.name == "mctool.ask"
    assert whole.parent is None
    assert {part.name for part in parts} == {
        f"mctool.{name}" for name in ("load", "words", "lens", "refocus", "prefill", "decode")
    }
    assert all(part.parent.span_id == whole.context.span_id for part in parts)
    assert all(whole.start_time <= part.start_time <= part.end_time <= whole.end_time for part in parts)
    assert [f"mctool.{stage.name}" for stage in heard] == [part.name for part in parts]
    steps = [part for part in parts if part.name == "mctool.refocus"]
    swap_rates = [step.attributes["mctool.refocus.swap_rate"] for step in steps]
    assert swap_rates == [step.swap_rate for step in report.focus.iterations]
    assert whole.attributes["gen_ai.usage.input_tokens"] == report.usage.prompt_tokens > 0
    assert whole.attributes["gen_ai.request.model"] == report.model
    assert whole.attributes["mctool.focus.iterations"] == len(steps)
    (decode,) = (part for part in parts if part.name == "mctool.decode")
    assert decode.attributes["mctool.decode.tokens"] == report.usage.completion_tokens


def test_no_text_leaves_the_process(reader, exported):
    reader.ask("Who owns the lighthouse?", AskConfig(max_new_tokens=4))
    told = " ".join(f"{span.name} {dict(span.attributes)} {span.events}" for span in exported())
    assert SECRET not in told
    assert "lighthouse" not in told


def test_a_failure_is_told_by_its_kind(reader, exported):
    with pytest.raises(UsageError):
        reader.ask("Who owns the lighthouse?", AskConfig(path_glob="none/*"))
    whole = exported()[-1]
    assert whole.attributes["error.type"] == "usage"
    assert not whole.status.is_ok
    assert not whole.events


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_switch_it(monkeypatch, variables, wanted):
    for name in (*telemetry.ENDPOINTS, "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert telemetry.wants_spans() == wanted


def test_without_the_extra_the_answer_comes_and_the_user_is_told_once(reader, monkeypatch):
    told, plain = [], builtins.__import__
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(reader, "_report", told.append)

    def refuse(name, *arguments, **options):
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return plain(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    telemetry._tracer.cache_clear()
    try:
        assert [reader.focus("Who owns the lighthouse?", AskConfig()).citations != [] for _ in range(2)] == [True, True]
    finally:
        telemetry._tracer.cache_clear()
    assert [line for line in told if "spans" in line] == [
        'spans are not exported: OpenTelemetry is not installed; pip install "mctool[otel]"'
    ]
